"""scripts/measure_absolute.py: errors by hand, the samples of both kinds of folder, and bad input."""

import shutil

import numpy as np
import pytest
import torch
from command_line import call_script, load_script

script = load_script("scripts", "measure_absolute")


def flat_people(root):
    """A pose that lies in a plane of equal depth, with its hip at `root`, seen by a pinhole camera of 1000 px."""
    pose = torch.zeros(1, 17, 3)
    pose[0, 1:, :2] = 300 * torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    values = {"R": torch.eye(3), "T": torch.zeros(3), "f": torch.full((2,), 1000.0), "c": torch.tensor([500.0, 480.0])}
    one = script.Camera(**values, k=torch.zeros(3), p=torch.zeros(2))
    return script.Samples(pose + torch.tensor(root), script.stack_cameras([one])), pose


@pytest.mark.parametrize("factor", script.FACTORS)
def test_the_depth_is_proportional_to_the_focal_length(factor):
    """Of a flat pose exactly: at 4000 mm it is off by 0, 800 and 1000 mm, in depth alone."""
    samples, pose = flat_people([200.0, -100.0, 4000.0])
    expected = torch.tensor([[0.0, 0.0, 4000 * (factor - 1)]])
    torch.testing.assert_close(script.errors_of(samples, pose, factor), expected, rtol=0, atol=0.5)


def test_a_lifted_pose_of_half_the_size_is_at_half_the_depth():
    samples, pose = flat_people([200.0, -100.0, 4000.0])
    error = script.errors_of(samples, pose / 2, 1.0)
    torch.testing.assert_close(error, torch.tensor([[-100.0, 50.0, -2000.0]]), rtol=0, atol=0.5)


def test_a_row_has_mean_and_median_and_the_depth(monkeypatch):
    errors = torch.tensor([[3.0, 0.0, -4.0], [0.0, 0.0, 1.0], [0.0, 0.0, 6.0]])
    monkeypatch.setattr(script, "errors_of", lambda samples, poses, factor: 1000 * factor * errors)
    assert script.row_of(None, None) == ["4,000 (5,000)", "3,200 (4,000)", "5,000 (6,250)", "3,667 (4,000)"]


def test_every_nth_sample(tiny_h36m):
    samples = script.read_samples(tiny_h36m, 7)
    pose_set = script.load_pose_set(script.find_sequences(tiny_h36m), script.TEST_SUBJECTS, script.ACTIONS)
    poses_2d, poses_3d = pose_set.poses(torch.arange(0, len(pose_set), 7))
    torch.testing.assert_close(script.from_hip(samples.poses).float(), poses_3d, rtol=0, atol=0.1)
    torch.testing.assert_close(
        samples.cameras.project(script.lifter_input_joints(samples.poses)), poses_2d, rtol=0, atol=0.01
    )


@pytest.fixture
def listed(tiny_h36m, tmp_path):
    """A folder with a list of two frames of S9, and their poses (2, 17, 3)."""
    folder = tmp_path / "listed"
    folder.mkdir()
    shutil.copy(tiny_h36m / "cameras.h5", folder)
    poses = np.random.default_rng(0).normal(0, 300, (2, 17, 3)) + np.array([0, 0, 4000])
    names = {"subject": np.array([9, 9]), "action": np.array(["Walking 1"] * 2), "frame": np.array([1, 2])}
    cameras = np.array([script.CAMERA_NAMES[2], script.CAMERA_NAMES[0]])
    np.savez(folder / "poses.npz", **names, camera=cameras, joints_2d=np.zeros((2, 17, 2)), joints_3d_camera_mm=poses)
    return folder, poses


def test_listed_frames_have_their_own_cameras(listed):
    folder, poses = listed
    samples = script.read_samples(folder, 37)
    np.testing.assert_allclose(samples.poses, poses, atol=1e-3)
    table = script.read_cameras(folder / "cameras.h5")
    for row, number in enumerate((3, 1)):
        torch.testing.assert_close(samples.cameras.c[row], table[9, number].c.float())
    (folder / "cameras.h5").unlink()
    with pytest.raises(script.UserError, match="expected a camera table"):
        script.read_samples(folder, 37)


def test_the_command(tiny_h36m, listed):
    out = call_script(script, "--data_dir", tiny_h36m, listed[0], "--every", 50).succeeded().out
    assert out.count(", true 3D pose | ") == out.count("| the same, lifted | ") == 2
    assert f"| 2 samples of {listed[0]}, true 3D pose | " in out
    assert out.count("MPJPE of the lifted poses") == 2


def test_refusals_are_one_line(tiny_h36m, tmp_path):
    assert "--every 0" in call_script(script, "--every", 0).last_error()
    assert "none" in call_script(script, "--data_dir", tmp_path / "none").last_error()
    missing = call_script(script, "--data_dir", tiny_h36m, "--load", tmp_path / "none.pth.tar")
    assert "none.pth.tar" in missing.last_error()
