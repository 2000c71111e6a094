"""The baselines of 2D to 3D: the mean pose, nearest neighbours, and files that eval.py scores."""

import json

import pytest
import torch
from command_line import call, call_script, load_script
from pose_sets import all_poses

from utils.human36m.actions import ACTIONS, TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set


@pytest.fixture(scope="module")
def baselines():
    return load_script("scripts", "lifting_baselines")


@pytest.fixture(scope="module")
def training(tiny_h36m):
    return load_pose_set(find_sequences(tiny_h36m), TRAIN_SUBJECTS, ACTIONS)


def test_mean_is_that_of_all_samples(baselines, training):
    torch.testing.assert_close(
        baselines.mean_training_pose(training), all_poses(training)[1].mean(0), atol=1e-2, rtol=0
    )


def test_a_training_pose_finds_itself(baselines, training):
    """Also when moved and scaled in the image, which instance normalisation removes."""
    index = torch.arange(0, len(training), 7)
    poses_2d, poses_3d = training.poses(index)
    nearest = baselines.NearestNeighbour(training, count=len(training))
    assert len(nearest) == len(training)
    assert torch.equal(nearest(poses_2d), poses_3d)
    torch.testing.assert_close(nearest(2 * poses_2d + 100), poses_3d)


def test_a_search_among_few_always_takes_the_same_poses(baselines, training):
    nearest = baselines.NearestNeighbour(training, count=5)
    assert len(nearest) == 5
    again = baselines.NearestNeighbour(training, count=5)
    assert torch.equal(nearest.poses_3d, again.poses_3d)


def test_eval_scores_the_files(baselines, training, tiny_h36m, tmp_path):
    argv = ["--data_dir", tiny_h36m, "--output_dir", tmp_path, "--device", "cpu"]
    printed = call_script(baselines, *argv).succeeded().out
    test = load_pose_set(find_sequences(tiny_h36m), TEST_SUBJECTS, ACTIONS)
    assert f"{len(test)} test samples" in printed
    paths = [tmp_path / name / "3d_pose_estimations.pt" for name in ("mean_pose", "nearest_2d")]
    argv = ["--model_names", "mean", "nearest", "--output_dir", tmp_path / "eval", "--prediction_files", *paths]
    call("eval", "h36m_MPJPE", *argv).succeeded()
    scores = json.loads((tmp_path / "eval" / "mpjpe.json").read_text())
    error = (all_poses(test)[1] - baselines.mean_training_pose(training)).norm(dim=-1).mean().item()
    assert scores["mean"]["protocol_1"] == pytest.approx(error, rel=1e-4)
    assert 0 < scores["nearest"]["protocol_1"] < scores["mean"]["protocol_1"]


def test_no_such_folder(baselines, tmp_path):
    done = call_script(baselines, "--data_dir", tmp_path / "none", "--output_dir", tmp_path / "out")
    assert "none" in done.last_error()
    assert not (tmp_path / "out").exists()
