"""`train.py hourglass_eva` end to end on a small sample: videos, frames in the cache, attention, resume, evaluation."""

import json

import numpy as np
import pytest
from command_line import call
from scipy.io import loadmat
from tiny_eva import CHUNKS, FRAMES, make_tiny_eva

from utils.human36m.object_npz import read_object_npz
from utils.imaging.video_source import open_video
from utils.training.log_files import read_log


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eva") / "data"
    make_tiny_eva(folder)
    return folder


@pytest.fixture
def train(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HUMAN_POSE_CACHE", str(tmp_path / "cache"))

    def training(*more):
        tiny = ("--stacks", 1, "--features", 8, "--train_batch_size", 2, "--test_batch_size", 4, "--lr", 1e-4)
        argv = ("--data_dir", folder, *tiny, "--workers", 0, "--device", "cpu", *more)
        return call("train", "hourglass_eva", *argv, cwd=tmp_path)

    return training


def test_the_sample_is_exact(folder):
    """Cameras and 3D poses give the 2D truth, and the videos have the frames that the table speaks of."""
    positions = read_object_npz(folder / "data_2d_humaneva15_gt.npz", "positions_2d")
    cameras = json.loads((folder / "cameras.json").read_text())["S1"]
    poses = np.load(folder / "poses_3d.npz")["S1"]
    start, end = CHUNKS["Train"]
    for number, truth in enumerate(positions["Train/S1"]["Walking 1 chunk0"], start=1):
        camera = {name: np.array(value) for name, value in cameras[f"C{number}"].items()}
        seen = (poses[start:end] - camera["position"]) @ camera["rotation"].T
        expected = camera["focal"] * seen[..., :2] / seen[..., 2:] + camera["centre"]
        np.testing.assert_allclose(truth, expected, atol=1e-2)
        source = open_video(folder / f"S1/Image_Data/Walking_1_(C{number}).avi", "--data_dir")
        assert (len(source.times), source.size) == (FRAMES, (640, 480))


ATTENTION = ("--add_attention", "--attention_history_length", 2)


def test_training_with_attention(train):
    first = train("--epochs", 1, *ATTENTION).succeeded()
    assert "HumanEva-I: 6 clips with 27 frames placed in their videos" in first.out
    assert "27 frames of 3 videos are written to" in first.out
    assert "18 training in 6 clips of 3 frames and 9 validation people" in first.out


@pytest.mark.long  # two epochs and an evaluation
def test_resume_and_evaluation(train, tmp_path):
    train("--epochs", 1, *ATTENTION).succeeded()
    resumed = train("--epochs", 2, "--resume").succeeded()
    assert "are written to" not in resumed.out
    experiment = tmp_path / "model_checkpoints" / "hourglass_eva_default"
    log = read_log(experiment / "log.txt")[1]
    assert len(log) == 2
    assert all(np.isfinite(value) for row in log for value in row.values())
    evaluated = train("--load", experiment, "--evaluate", "--exp", "again").succeeded()
    assert "PCKh@0.5" in evaluated.out
    preds = loadmat(tmp_path / "model_checkpoints/hourglass_eva_again/preds_valid.mat")["preds"]
    assert preds.shape == (9, 15, 2)


def test_what_cannot_be_trained_on_ends_in_one_line(train, folder, tmp_path):
    (tmp_path / "wrong.csv").write_text("subject,action,chunk,camera,start\nTrain/S1,Walking 1,0,C1,7\n")
    assert "has 6 poses from frame 7 on" in train("--sync", tmp_path / "wrong.csv").refusal()
    assert "not a readable table" in train("--sync", tmp_path / "nothing.csv").refusal()
    assert (
        "2 folders; hourglass_eva takes one"
        in call("train", "hourglass_eva", "--data_dir", folder, folder, cwd=tmp_path).refusal()
    )
    assert not (tmp_path / "model_checkpoints").exists()


def test_check_data_tells_what_is_left_out(folder, tmp_path):
    (tmp_path / "one.csv").write_text("subject,action,chunk,camera,start\nTrain/S1,Walking 1,0,C1,1\n")
    argv = ("--check_data", "--data_dir", folder, "--sync", tmp_path / "one.csv")
    result = call("train", "hourglass_eva", *argv, cwd=tmp_path)
    assert "no clip of Validate can be placed" in result.refusal()
    assert "1 clip with 6 frames placed" in result.out
    assert "Train: 6 poses in each camera (6,978 frames in the full set, not all of them valid)" in result.out
    assert "Validate: 3 poses in each camera (6,790 frames" in result.out
    assert "5 clips left out, no start in --sync, no OFS file: Train/S1 Walking 1 chunk0 C2, " in result.out
