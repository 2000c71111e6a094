"""Filters over time, by hand and on motion with known truth."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.predictions.smoothing import (
    OneEuro,
    ZeroPhase,
    fill_gaps,
    one_euro,
    zero_phase,
)
from utils.transform import MPII

FILTERS = (lambda poses, times: one_euro(poses, times, 1.0), zero_phase)


def walk(frames=60, fps=30.0):
    """(T, 16, 2) in units of a person's size: left and right legs and arms swing against each other."""
    times = torch.arange(frames, dtype=torch.float64) / fps
    joints = torch.zeros(frames, len(MPII), 2, dtype=torch.float64)
    for row, name in enumerate(("hip", "knee", "ankle", "shoulder", "elbow", "wrist")):
        for sign, side in ((1, "r"), (-1, "l")):
            swing = sign * 0.1 * row * torch.sin(2 * math.pi * times)
            joints[:, MPII.index(f"{side}_{name}")] = torch.stack([swing + 0.1 * sign, swing * 0 + row], -1)
    return joints, times


def test_one_euro_by_hand():
    """At 10 Hz, cutoff 1 Hz plus 2 Hz per unit of speed, speed estimated at 1 Hz."""
    step, weight = 0.1, lambda cutoff: 1 / (1 + 1 / (2 * math.pi * cutoff * 0.1))
    speed = weight(1) * (3 / step)
    expected = weight(1 + 2 * speed / 6) * 3
    poses = torch.tensor([[[0.0, 0.0]], [[3.0, 0.0]]], dtype=torch.float64)
    smooth = one_euro(poses, torch.tensor([0.0, step]), 6.0, OneEuro(1.0, 2.0, 1.0))
    assert smooth[1, 0].tolist() == pytest.approx([expected, 0])
    assert smooth[0].equal(poses[0])


def test_zero_phase_by_hand():
    """Three frames about the middle one: weights e^(-1/2), 1, e^(-1/2) for steps of one width."""
    poses = torch.tensor([0.0, 3.0, 0.0], dtype=torch.float64).view(3, 1, 1)
    side = math.exp(-0.5)
    smooth = zero_phase(poses, torch.tensor([0.0, 0.1, 0.2], dtype=torch.float64), ZeroPhase(0.1))
    assert smooth[1].item() == pytest.approx(3 / (1 + 2 * side))


@pytest.mark.parametrize("smoothed", FILTERS)
def test_rest_stays_and_noise_falls(smoothed):
    joints, times = torch.ones(50, 2, 3, dtype=torch.float64), torch.arange(50, dtype=torch.float64) / 25
    torch.testing.assert_close(smoothed(joints, times), joints)
    noisy = joints + 0.01 * torch.randn(joints.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert (smoothed(noisy, times) - joints).std() < 0.6 * (noisy - joints).std()


@given(st.lists(st.floats(0.01, 0.2), min_size=2, max_size=30), st.floats(-5, 5))
def test_zero_phase_keeps_uniform_motion_at_uneven_times(steps, speed):
    times = torch.tensor(steps, dtype=torch.float64).cumsum(0)
    line = (speed * times).view(-1, 1, 1)
    torch.testing.assert_close(zero_phase(line, times), line, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("smoothed", FILTERS)
def test_missing_joints_stay_missing_and_spoil_nothing(smoothed):
    joints, times = walk(20)
    joints[5:8, 3] = torch.nan
    smooth = smoothed(joints, times)
    assert smooth.isnan().equal(joints.isnan())


def test_short_gaps_are_filled_and_long_ones_are_not():
    times = torch.tensor([0.0, 0.1, 0.3, 0.4, 0.9, 1.0, 1.1])
    values = (10 * times).view(-1, 1)
    gappy = values.clone()
    gappy[[1, 4, 6]] = torch.nan
    filled, which = fill_gaps(gappy, times, 0.5)
    assert which.tolist() == [False, True, False, False, False, False, False]
    torch.testing.assert_close(filled[:4], values[:4])
    assert filled[[4, 6]].isnan().all(), "0.6 s without a pose, and after the last one"
    assert fill_gaps(gappy, times, 0.6)[1].tolist() == [False, True, False, False, True, False, False]
