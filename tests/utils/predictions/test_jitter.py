"""Jitter: accelerations by hand, and the tracks of a video."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.predictions.jitter import jitter, poses_over_time

NOBODY = (math.nan, math.nan)


def track(*points: tuple[float, float]) -> torch.Tensor:
    """(T, 16, 2): all joints at one point per frame."""
    return torch.tensor(points)[:, None].expand(-1, 16, -1)


def test_constant_velocity_has_none():
    assert jitter([track((0.0, 0.0), (3.0, 1.0), (6.0, 2.0))]) == (0.0, 1)


def test_two_people_by_hand():
    """0, 3, 0: acceleration 6. (9, 0), (9, 4), (9, 8): none."""
    one, other = track((0.0, 0.0), (3.0, 0.0), (0.0, 0.0)), track((9.0, 0.0), (9.0, 4.0), (9.0, 8.0))
    assert jitter([one, other]) == (3.0, 2)


def test_one_joint_of_many_in_3d_by_hand():
    poses = torch.zeros(4, 5, 3)
    poses[1, 2] = torch.tensor([1.0, 2.0, 2.0])  # 3 from the origin: accelerations of 6, then 3
    assert jitter([poses]) == (pytest.approx((6 + 3) / 10), 2)


@pytest.mark.parametrize(
    "tracks", [[], [track((1.0, 1.0))], [track((0.0, 0.0), NOBODY, (1.0, 0.0), (5.0, 0.0))]], ids=len
)
def test_without_three_frames_in_a_row_it_is_nan(tracks):
    value, times = jitter(tracks)
    assert math.isnan(value)
    assert times == 0


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0.1, 10), st.integers(0, 99))
def test_velocity_is_ignored_and_scale_is_not(offset, velocity, scale, seed):
    poses = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    moved = scale * poses + offset + velocity * torch.arange(6, dtype=torch.float64)[:, None, None]
    assert jitter([moved])[0] == pytest.approx(scale * jitter([poses])[0], abs=1e-9)


def test_tracks_of_a_video():
    """Track 7 is missing in frame b; in c it is listed after track 2."""
    metas = {"a": {"tracks": [7]}, "b": {"tracks": []}, "c": {"tracks": [2, 7]}}
    poses = {
        "a": torch.ones(1, 4, 2),
        "b": torch.empty(0, 4, 2),
        "c": torch.stack([torch.zeros(4, 2), 5 * torch.ones(4, 2)]),
    }
    seven, two = poses_over_time(metas, poses)
    assert seven[:, 0, 0].tolist() == pytest.approx([1, math.nan, 5], nan_ok=True)
    assert two[:, 3, 1].tolist() == pytest.approx([math.nan, math.nan, 0], nan_ok=True)
