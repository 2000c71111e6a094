"""Root positions: exact where pose and projection are exact, and what a wrong focal length does."""

import pytest
import torch

from twod_threed.absolute import assumed_focal, root_positions

CENTER = torch.tensor([500.0, 480.0])


def poses(count=5, joints=12):
    spread = torch.tensor([200.0, 400.0, 150.0])
    body = torch.randn(count, joints, 3, generator=torch.Generator().manual_seed(3)) * spread
    return body - body[:, :1]


def project(points, focal):
    return focal * points[..., :2] / points[..., 2:] + CENTER


@pytest.mark.parametrize(
    ("x", "y", "z", "focal"), [(0, 0, 3000, 500), (-1500, 800, 4000, 1145), (700, -300, 9000, 3000)]
)
def test_exact_projections_give_the_exact_position(x, y, z, focal):
    body, root = poses(), torch.tensor([x, y, z], dtype=torch.float32)
    found = root_positions(body, project(body + root, focal), focal, CENTER)
    torch.testing.assert_close(found, root.expand(5, 3), rtol=1e-3, atol=1.0)


def test_a_wrong_limb_hardly_moves_the_position():
    body, root = poses(), torch.tensor([300.0, 100.0, 5000.0])
    joints = project(body + root, 1000.0)
    joints[:, 3] += torch.tensor([120.0, -90.0])
    joints[:, 7] = torch.nan
    found = root_positions(body, joints, 1000.0, CENTER)
    assert (found - root).norm(dim=1).max() < 150
    weights = torch.ones(5, 12)
    weights[:, 3] = 0
    exact = root_positions(body, joints, 1000.0, CENTER, weights)
    torch.testing.assert_close(exact, root.expand(5, 3), rtol=1e-3, atol=1.0)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_wrong_focal_length_scales_the_depth(factor):
    body, root = poses() / 4, torch.tensor([0.0, 0.0, 6000.0])
    found = root_positions(body, project(body + root, 1000.0), 1000.0 * factor, CENTER)
    assert found[:, 2] / 6000 == pytest.approx(torch.full((5,), factor), rel=0.05)


def test_too_few_joints_give_nan():
    joints = torch.full((1, 12, 2), torch.nan)
    assert root_positions(poses(1), joints, 1000.0, CENTER).isnan().all()


def test_the_assumed_view():
    assert assumed_focal((1920, 1080)) == pytest.approx(960 / 0.5206, rel=1e-3)  # tan of 27.5 degrees
    assert assumed_focal((1080, 1920)) == assumed_focal((1920, 1080))
