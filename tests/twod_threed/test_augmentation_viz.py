"""`viz.py orthog_augmentation`: one pose in many orientations, each lifted to 3D."""

import re

import cv2
import numpy as np
import pytest
import torch
from command_line import call

from twod_threed.augmentation_viz import PANEL, camera_tilt, draw_orientations, orientations, sample_name
from twod_threed.model import LinearModel
from twod_threed.normalisation import fit
from utils.data_utils import HIP
from utils.human36m.actions import ACTIONS, TEST_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.sample.human36m import make_h36m
from utils.transform import H36M

FRAMES = 5
SAMPLES = 2 * 15 * 2 * FRAMES * 4  # subjects, actions, takes, frames, cameras


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "h36m"
    make_h36m(folder, 0, 0, seed=0, frames=FRAMES)
    return folder


@pytest.fixture(scope="module")
def samples(data_dir):
    return load_pose_set(find_sequences(data_dir), TEST_SUBJECTS, ACTIONS)


@pytest.fixture(scope="module", params=["instance", "dataset"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, samples, kind):
    torch.manual_seed(0)
    model = LinearModel(16, 1, without_hip=kind == "instance")
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.pth.tar"
    normalisation = fit(samples, kind)
    torch.save({"state_dict": model.state_dict(), "normalisation": normalisation.plain()}, path)
    return path


def some(samples, index=7, count=6, z_rotations_only=False, seed=0):
    return orientations(samples, index, count, z_rotations_only, torch.Generator().manual_seed(seed))


def errors_of(text):
    """{row: MPJPE} of what the script printed."""
    return {name: float(error) for name, error in re.findall(r"^  (\w[\w ]*?) +([\d.]+)$", text, re.MULTILINE)}


def test_the_first_orientation_is_the_original(samples):
    poses_2d, poses_3d = some(samples)
    original_2d, original_3d = samples.poses(torch.tensor([7]))
    assert poses_2d.shape == (6, 16, 2)
    assert poses_3d.shape == (6, 17, 3)
    torch.testing.assert_close(poses_2d[:1], original_2d)
    torch.testing.assert_close(poses_3d[:1], original_3d)
    assert (poses_3d[1:] - poses_3d[:1]).norm(dim=-1).mean((1,)).min() > 20


def test_orientations_are_turned_and_never_mirrored(samples):
    _, poses = some(samples, count=20)
    a, b, c = (poses[:, H36M.index(name)] for name in ("r_hip", "thorax", "l_knee"))
    volumes = torch.linalg.cross(a, b).mul(c).sum(-1)
    torch.testing.assert_close(volumes, volumes[:1].expand(20), rtol=1e-3, atol=abs(volumes[0].item()) * 1e-3 + 1)
    distances = torch.cdist(poses, poses)
    torch.testing.assert_close(distances, distances[:1].expand_as(distances), rtol=1e-3, atol=0.5)


def test_rotation_about_the_vertical_keeps_heights(samples):
    for z_rotations_only in (True, False):
        _, poses = some(samples, count=10, z_rotations_only=z_rotations_only)
        up = samples.cameras[samples.first_camera[1] + 3].R[:, 2]  # the world's z in camera coordinates; sample 7
        heights = poses @ up
        assert bool((heights - heights[:1]).abs().max() < 0.5) is z_rotations_only


def test_orientations_are_projected_by_the_samples_own_camera(samples):
    for index in (0, 3, SAMPLES - 1):
        poses_2d, poses_3d = some(samples, index)
        frame, number = divmod(index, 4)
        camera = samples.cameras[samples.first_camera[frame] + number]
        hip = camera.world_to_camera(samples.world[frame, HIP])
        seen = camera.project((poses_3d + hip)[:, [j for j in range(17) if H36M.joints[j] != "nose"]])
        torch.testing.assert_close(poses_2d, seen, rtol=0, atol=0.05)


def test_seed_decides(samples):
    assert torch.equal(some(samples)[1], some(samples)[1])
    assert not torch.equal(some(samples)[1], some(samples, seed=1)[1])


def test_tilt_is_that_of_the_camera(samples):
    """Undoing the tilt maps the world's vertical to the view's, so an upright person stands upright."""
    camera = samples.cameras[0]
    tilt = np.radians(camera_tilt(camera))
    level = np.array([0, -np.cos(tilt), -np.sin(tilt)])  # up in the axes of the camera, as draw_pose_3d takes the tilt
    assert level @ camera.R[:, 2].double().numpy() == pytest.approx(1, abs=2e-3)
    assert 5 < camera_tilt(camera) < 25


def test_names(samples):
    assert sample_name(samples, 0) == "S9/Directions/54138969, frame 0"
    for clip, index in samples.clips():
        assert sample_name(samples, index[0].item()) == f"{clip}, frame 0"
        assert sample_name(samples, index[-1].item()) == f"{clip}, frame {len(index) - 1}"


def test_the_picture_has_one_column_per_orientation_in_bands_of_five(samples):
    sizes = {}
    for count in (1, 2, 6):
        poses_2d, truth = some(samples, count=count)
        picture = draw_orientations(poses_2d, truth, truth, [0.0] * count, 13.0, "S9/Walking/54138969, frame 0")
        sizes[count] = picture.size
    assert [sizes[count][0] for count in (1, 2, 6)] == [n * PANEL[0] + (n - 1) * 12 for n in (1, 2, 5)]
    assert sizes[6][1] > 6 * PANEL[1]


def test_from_the_command_line(data_dir, checkpoint, kind, tmp_path):
    argv = ["orthog_augmentation", "--data_dir", data_dir, "--load", checkpoint, "--output_dir", tmp_path]
    result = call("viz", *argv, "--index", 11, "--num_orientations", 3, "--z_rotations_only").succeeded()
    assert [path.name for path in tmp_path.iterdir()] == ["orthog_augmentation_11.png"]
    assert cv2.imread(str(tmp_path / "orthog_augmentation_11.png")).std() > 5
    errors = errors_of(result.out)
    assert list(errors) == ["original", "orientation 1", "orientation 2", "mean of rotated"]
    assert errors["mean of rotated"] == pytest.approx((errors["orientation 1"] + errors["orientation 2"]) / 2, abs=0.1)
    assert "mean over 17 joints, hips at the origin" in result.out
    asked = "True" if kind == "dataset" else "False"
    call("viz", *argv, "--num_orientations", 1, "--dataset_normalization", asked).succeeded()


def test_what_is_refused(data_dir, checkpoint, kind, tmp_path):
    argv = ["orthog_augmentation", "--data_dir", data_dir, "--load", checkpoint, "--output_dir", tmp_path]
    line = call("viz", *argv, "--index", SAMPLES).refusal()
    assert f"--index {SAMPLES}" in line
    assert f"0 to {SAMPLES - 1}" in line
    other = {"instance": "dataset", "dataset": "instance"}[kind]
    line = call("viz", *argv, "--dataset_normalization", str(other == "dataset")).refusal()
    assert f"is {other} normalisation" in line
    assert f"trained with {kind} normalisation" in line
    assert "--num_orientations" in call("viz", *argv, "--num_orientations", 65).refusal()
    assert "no such" in call("viz", *argv[:3], "--load", tmp_path / "none", *argv[5:]).refusal()
    assert not list(tmp_path.iterdir())
