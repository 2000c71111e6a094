"""Both normalisations: their statistics by definition, the way back to mm, the cache."""

from dataclasses import replace

import pytest
import torch
from pose_sets import all_poses

import twod_threed.normalisation
from twod_threed.normalisation import NORMALISATION_KINDS, TENSORS, fit, from_plain
from utils.camera_utils import stack_cameras
from utils.human36m.files import Sequence
from utils.human36m_dataset import PoseSet
from utils.sample.human36m import random_cameras

FRAMES = 60


@pytest.fixture(scope="module")
def poses():
    """Boxes of joints about the middle of a room, before the sample's four cameras."""
    generator = torch.Generator().manual_seed(0)
    size = torch.empty(FRAMES, 1, 1).uniform_(200, 400, generator=generator)
    world = torch.tensor([0.0, 0.0, 900.0]) + size * torch.randn(FRAMES, 17, 3, generator=generator)
    table = random_cameras(0)
    return PoseSet(
        sequences=(Sequence(1, "Walking", 1, "Walking", None, FRAMES),),
        world=world,
        sequence=torch.zeros(FRAMES, dtype=torch.long),
        row=torch.arange(FRAMES),
        cameras=stack_cameras(table[1, number] for number in range(1, 5)).to(torch.float32),
        first_camera=torch.zeros(FRAMES, dtype=torch.long),
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMAN_POSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_dataset_normalisation_gives_mean_0_and_deviation_1(poses):
    poses_2d, poses_3d = all_poses(poses)
    normalisation = fit(poses, "dataset")
    inputs, targets = normalisation.input(poses_2d).double(), normalisation.target(poses_3d).double()
    for values in (inputs, targets[:, 1:]):
        torch.testing.assert_close(values.mean(0), torch.zeros_like(values[0]), rtol=0, atol=1e-5)
        torch.testing.assert_close(values.std(0, correction=0), torch.ones_like(values[0]), rtol=0, atol=1e-5)
    assert not targets[:, 0].any()  # the hip, and no division by zero


def test_dataset_statistics_are_population_statistics_of_every_coordinate(poses):
    poses_2d, poses_3d = (part.double().numpy() for part in all_poses(poses))
    normalisation = fit(poses, "dataset")
    assert normalisation.mean_2d.numpy() == pytest.approx(poses_2d.mean(0), rel=1e-5)
    assert normalisation.stddev_2d.numpy() == pytest.approx(poses_2d.std(0, ddof=0), rel=1e-5)
    assert normalisation.mean_3d.numpy() == pytest.approx(poses_3d.mean(0), rel=1e-5, abs=1e-4)
    assert normalisation.stddev_3d[1:].numpy() == pytest.approx(poses_3d[:, 1:].std(0, ddof=0), rel=1e-5)


def test_instance_normalisation_has_one_number_for_3d(poses):
    poses_2d, poses_3d = all_poses(poses)
    normalisation = fit(poses, "instance")
    assert len(normalisation.stddev_3d.unique()) == 1
    distances = poses_3d[:, 1:].double().norm(dim=-1)
    assert normalisation.stddev_3d[0, 0].item() == pytest.approx(distances.square().mean().sqrt().item(), rel=1e-5)
    targets = normalisation.target(poses_3d)
    assert not targets[:, 0].any()
    assert targets[:, 1:].norm(dim=-1).square().mean().item() == pytest.approx(1, rel=1e-5)
    inputs = normalisation.input(poses_2d)
    assert not inputs[:, 0].any()
    torch.testing.assert_close(inputs[:, 1:].square().sum(-1).mean(1), torch.ones(len(poses)))
    torch.testing.assert_close(normalisation.input(3 * poses_2d + 40), inputs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", NORMALISATION_KINDS)
def test_the_way_back_to_mm(poses, kind):
    poses_3d = all_poses(poses)[1]
    normalisation = fit(poses, kind)
    torch.testing.assert_close(normalisation.to_mm(normalisation.target(poses_3d)), poses_3d, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", NORMALISATION_KINDS)
def test_through_plain_types_and_back(poses, kind):
    normalisation = fit(poses, kind)
    again = from_plain(normalisation.plain()).to(torch.device("cpu"))
    assert again.kind == kind
    assert all(torch.equal(getattr(again, name), getattr(normalisation, name)) for name in TENSORS)


def test_statistics_are_computed_once_per_set_and_kind(poses, cache, monkeypatch):
    computed = []
    compute = twod_threed.normalisation._fit
    monkeypatch.setattr(twod_threed.normalisation, "_fit", lambda *args: computed.append(args) or compute(*args))
    first, again = fit(poses, "dataset"), fit(poses, "dataset")
    assert len(computed) == 1
    assert torch.equal(first.mean_2d, again.mean_2d)
    fit(poses, "instance")
    assert len(computed) == 2
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("part", ["world", "detections", "R", "T", "f", "c", "k", "p"])
def test_another_set_has_other_statistics(poses, part):
    """The key of the cache contains everything that 2D and 3D poses depend on."""
    before = fit(poses, "dataset")
    if part == "world":
        other = replace(poses, world=poses.world + 10 * torch.arange(17)[:, None])
    elif part == "detections":
        other = replace(poses, detections=100 * torch.randn(FRAMES, 4, 16, 2, generator=torch.Generator()))
    else:
        value = getattr(poses.cameras, part)
        changed = value[[1, 2, 3, 0]] if part in "RT" else 1.5 * value
        other = replace(poses, cameras=replace(poses.cameras, **{part: changed}))
    assert not torch.equal(fit(other, "dataset").mean_2d, before.mean_2d)
