"""Trainings called from Python with arrays, without any command line."""

import numpy as np
import pytest
import torch

from stacked_hourglass import load_hourglass
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.hourglass import Architecture
from stacked_hourglass.train import train_hourglass
from twod_threed import load_lifter
from twod_threed.pose_pairs import PosePairs
from twod_threed.train import LifterShape, train_lifter
from utils.training.log_files import read_log
from utils.training.settings import Experiment, Loading, Optimisation


def test_an_hourglass_on_arrays_of_people(tiny_mpii, tmp_path):
    training, validation = load_mpii(tiny_mpii)
    experiment = Experiment("people", checkpoint_dir=tmp_path, tb_dir=tmp_path / "tb")
    averages = train_hourglass(
        training,
        validation,
        experiment,
        architecture=Architecture(stacks=1, features=8),
        optimisation=Optimisation(epochs=1),
        loading=Loading(train_batch_size=4, test_batch_size=4, workers=0),
        device="cpu",
    )
    assert 0 <= averages["PCKh@0.5"] <= 100
    assert load_hourglass(experiment.directory, "cpu").architecture == Architecture(stacks=1, features=8)


def poses(count: int, seed: int) -> PosePairs:
    rng = np.random.default_rng(seed)
    poses_3d = rng.normal(0, 300, (count, 17, 3))
    return PosePairs(500 + 0.2 * np.delete(poses_3d, 9, axis=1)[..., :2], poses_3d)


def test_a_lifter_on_arrays_of_poses(tmp_path):
    experiment = Experiment("lifter", checkpoint_dir=tmp_path, tb_dir=tmp_path / "tb")
    averages = train_lifter(
        poses(200, 0),
        poses(50, 1),
        experiment,
        shape=LifterShape(32, 1),
        optimisation=Optimisation(epochs=8, lr=5e-3, schedule=()),
        device="cpu",
    )
    _, rows = read_log(experiment.directory / "log.txt")
    assert set(averages) == {"loss", "MPJPE"}
    assert averages["MPJPE"] == pytest.approx(rows[-1]["val/MPJPE"], rel=1e-4)
    assert rows[-1]["val/MPJPE"] < 0.95 * rows[0]["val/MPJPE"]
    lifter = load_lifter(experiment.directory)
    assert lifter(lifter.normalisation.input(torch.randn(2, 16, 2))).shape == (2, 17, 3)


def test_pairs_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"expected \(N, 16, 2\) px and \(N, 17, 3\) mm"):
        PosePairs(np.zeros((4, 17, 2)), np.zeros((4, 17, 3)))
    with pytest.raises(ValueError, match="contain NaN or infinite values"):
        PosePairs(np.full((4, 16, 2), np.nan), np.zeros((4, 17, 3)))
    with pytest.raises(ValueError, match="cameras"):
        poses(4, 0).poses(torch.arange(2), augmentation=object())
