"""Trainers of an hourglass for the tiny MPII folder, and `train.py hourglass_mpii` on it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from command_line import Result
from hourglass_training import NAME, launch_training
from option_effects import Run, refused_training, run_once
from trainer_cases import CPU, MEAN, STDDEV

from stacked_hourglass import trainer
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import People
from stacked_hourglass.trainer import (
    HourglassAugmentation,
    HourglassLosses,
    HourglassTargets,
    HourglassTrainer,
    HourglassValidation,
)
from utils.training.settings import Experiment, Optimisation


@pytest.fixture(scope="module")
def parts(tiny_mpii) -> tuple[People, People]:
    return load_mpii(tiny_mpii)


@pytest.fixture
def make_trainer(parts):
    """`make_trainer(HourglassTargets(sigma=2))`: a trainer of these settings for the tiny folder's people."""
    names = {
        HourglassTargets: "targets",
        HourglassLosses: "losses",
        HourglassAugmentation: "augmentation",
        HourglassValidation: "evaluation",
    }

    def make(
        *settings, optimisation: Optimisation | None = None, people: People | None = None, joints: int = 16
    ) -> HourglassTrainer:
        people = (people or parts[1]).first_joints(joints)
        named = {names[type(one)]: one for one in settings}
        experiment = Experiment("hourglass_mpii")
        return HourglassTrainer(people, CPU, MEAN, STDDEV, 4, optimisation or Optimisation(), experiment, **named)

    return make


@pytest.fixture
def one_picture(monkeypatch):
    """TensorBoard's PNG of several people would take a third of the time."""
    monkeypatch.setattr(trainer, "PICTURES", 1)


@pytest.fixture(scope="module")
def launch(tiny_mpii, tiny_clips) -> Callable[..., Result]:
    """`launch(FOLDER, "--lr", 1)`: a training of a small hourglass in this working directory, on data that fit it."""

    def launching(folder: Path, *argv: object, data_dir: Path | None = None) -> Result:
        return launch_training(folder, data_dir or (tiny_clips if "--add_attention" in argv else tiny_mpii), *argv)

    return launching


@pytest.fixture(scope="module")
def run(launch, tmp_path_factory) -> Callable[..., Run]:
    def training(*argv: object) -> Run:
        folder = tmp_path_factory.mktemp("run")
        return Run(folder, NAME, launch(folder, *argv).succeeded().out)

    return run_once(training)


@pytest.fixture
def fails(launch, tmp_path) -> Callable[..., str]:
    """`fails("--lr", 0)`: the one line of a training that ends with status 2 and writes nothing."""
    return partial(refused_training, launch, tmp_path / "failing")
