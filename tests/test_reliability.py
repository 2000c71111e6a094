"""The reliability curve and the threshold: by hand, and on a run with known errors."""

import json

import cv2
import numpy as np
import pytest
import torch
from command_line import call_script, load_script

from stacked_hourglass.annotations.mpii import load_mpii
from utils.predictions.prediction_files import load_predictions, save_metas, save_predictions


@pytest.fixture(scope="module")
def reliability():
    return load_script("scripts", "reliability")


def test_the_threshold_by_hand(reliability):
    """The second to the fifth joint are near and far in turn, so the fit pools them. One head size counts as near."""
    joints = reliability.Joints(np.array([0.1, 0.2, 0.25, 0.3, 0.4, 0.5]), np.array([9, 0.7, 9, 0.1, 9, 1.0]))
    np.testing.assert_allclose(reliability.calibrate(joints.near), [0, 0.5, 0.5, 0.5, 0.5, 1])
    assert joints.right.tolist() == [False, False, False, True, False, False]
    assert reliability.threshold_of(joints) == 0.5  # the pool is likely enough by half, not by three fifths


def test_no_joint_is_likely(reliability):
    joints = reliability.Joints(np.array([0.1, 0.2, 0.7]), np.array([2.0, 2, 2]))
    assert reliability.threshold_of(joints) == 0.7


def test_parts_have_equal_size(reliability):
    scores = np.linspace(0, 1, 40)
    errors = np.where(np.arange(40) < 20, 1.0, 0.25)
    parts = reliability.bins_of(reliability.Joints(scores, errors))
    assert [part["joints"] for part in parts] == [4] * 10
    assert [part["right_percent"] for part in parts] == [0] * 5 + [100] * 5
    assert [part["median_error_head_sizes"] for part in parts] == [1] * 5 + [0.25] * 5


@pytest.fixture
def run(tiny_mpii, tmp_path):
    """Half of the validation people are found, with confidence 0.8, the others are two head sizes off, with 0.2."""
    _, people = load_mpii(tiny_mpii)
    truth = torch.from_numpy(people.joints)
    off = 2 * torch.from_numpy(people.head_size)[:, None] * (torch.arange(len(people)) % 2)[:, None]
    found = truth + torch.stack([off, torch.zeros_like(off)], dim=-1)
    scores = torch.where(off > 0, 0.2, 0.8).expand(-1, 16)
    names = [path.name for path in people.image_paths]
    groups = {name: [k for k, other in enumerate(names) if other == name] for name in names}
    save_predictions(tmp_path / "2d_pose_estimations.pt", {name: found[group] for name, group in groups.items()})
    metas = {name: {"annotation_index": group, "scores": scores[group]} for name, group in groups.items()}
    save_metas(tmp_path / "metas.pt", metas)
    return tmp_path


def test_of_a_run(reliability, run, tiny_mpii):
    done = call_script(reliability, "--data_dir", tiny_mpii, "--run_dir", run, "--output_dir", run / "out").succeeded()
    found = json.loads((run / "out" / "reliability.json").read_text())
    assert found["threshold"] == pytest.approx(0.8)
    assert found["right_of_kept_percent"] == 100
    assert found["right_percent"] == pytest.approx(found["kept_percent"])
    assert 40 < found["right_percent"] < 60
    assert "PCKh@0.5" in done.out
    assert cv2.imread(str(run / "out" / "reliability.png")).std() > 5


def test_a_folder_without_such_a_run_is_named_in_a_line(reliability, run, tiny_mpii):
    save_metas(run / "metas.pt", {name: {} for name in load_predictions(run / "2d_pose_estimations.pt")})
    for folder, named in ((run, "is no annotated photo"), (run / "nowhere", "nowhere")):
        argv = ("--data_dir", tiny_mpii, "--run_dir", folder, "--output_dir", run / "out")
        assert named in call_script(reliability, *argv).last_error()
    assert not (run / "out").exists()
