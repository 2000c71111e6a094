"""Trainers of an hourglass for the tiny MPII folder."""

import pytest
from trainer_cases import CPU, MEAN, STDDEV

from stacked_hourglass.annotations import load_mpii
from stacked_hourglass.people import People
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
