"""The baselines of 2D to 3D: hand-made neighbours, and files that eval.py scores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import load_script

from utils.human36m.actions import ACTIONS, TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.sample.human36m import make_h36m

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "lifting_baselines.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "h36m"
    make_h36m(folder, 3, 1, seed=0, frames=6)
    return folder


@pytest.fixture(scope="module")
def baselines():
    return load_script("scripts", "lifting_baselines")


@pytest.fixture(scope="module")
def training(folder):
    return load_pose_set(find_sequences(folder), TRAIN_SUBJECTS, ACTIONS)


def test_mean_is_that_of_all_samples(baselines, training):
    torch.testing.assert_close(
        baselines.mean_training_pose(training), training.all_poses()[1].mean(0), atol=1e-2, rtol=0
    )


def test_a_training_pose_finds_itself(baselines, training):
    """Moved and scaled in the image too, which instance normalisation takes out."""
    index = torch.arange(0, len(training), 7)
    poses_2d, poses_3d = training.poses(index)
    nearest = baselines.NearestNeighbour(training, count=len(training))
    assert len(nearest) == len(training)
    assert torch.equal(nearest(poses_2d), poses_3d)
    torch.testing.assert_close(nearest(2 * poses_2d + 100), poses_3d)


def test_search_among_some(baselines, training):
    nearest = baselines.NearestNeighbour(training, count=5)
    assert len(nearest) == 5
    again = baselines.NearestNeighbour(training, count=5)
    assert torch.equal(nearest.poses_3d, again.poses_3d)


def test_eval_scores_the_files(folder, tmp_path):
    command = [sys.executable, str(SCRIPT), "--data_dir", str(folder), "--output_dir", str(tmp_path), "--device", "cpu"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    test = load_pose_set(find_sequences(folder), TEST_SUBJECTS, ACTIONS)
    assert f"{len(test)} test samples" in said
    paths = [str(tmp_path / name / "3d_pose_estimations.pt") for name in ("mean_pose", "nearest_2d")]
    command = [sys.executable, str(ROOT / "eval.py"), "h36m_MPJPE", "--model_names", "mean", "nearest"]
    command += ["--output_dir", str(tmp_path / "eval"), "--prediction_files", *paths]
    subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(json.loads((tmp_path / "eval" / "mpjpe.json").read_text())) >= {"mean", "nearest"}


def test_no_such_folder(tmp_path):
    command = [sys.executable, str(SCRIPT), "--data_dir", str(tmp_path / "none"), "--output_dir", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "none" in done.stderr
    assert not (tmp_path / "out").exists()
