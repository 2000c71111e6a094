"""Repair of swapped limbs: by hand, and on motion with known truth."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.predictions.limb_swaps import SIDED_JOINTS, repair_swaps, swap_sides
from utils.transform import COCO, H36M, MPII

LEGS, ARMS = range(2)
SWINGS = {"hip": 0, "knee": 0.3, "ankle": 0.6, "shoulder": 0, "elbow": -0.2, "wrist": -0.4}


def walk(frames=60):
    """(T, 16, 2) at 30 Hz in units of a person's size: limbs cross twice a second, arms against legs."""
    swing, joints = torch.sin(2 * math.pi * torch.arange(frames) / 30), torch.zeros(frames, len(MPII), 2).double()
    for row, (name, reach) in enumerate(SWINGS.items()):
        for sign, side in ((-1, "r"), (1, "l")):
            x = sign * (0.15 + reach * swing)
            joints[:, MPII.index(f"{side}_{name}")] = torch.stack([x, torch.full_like(x, row)], -1)
    return joints


def swapped_in(joints, frames, limb):
    """The joints with right and left of a limb exchanged in some frames."""
    wrong = joints.clone()
    for name in SIDED_JOINTS[limb]:
        right, left = MPII.index(f"r_{name}"), MPII.index(f"l_{name}")
        wrong[frames, right], wrong[frames, left] = joints[frames, left], joints[frames, right]
    return wrong


@pytest.mark.parametrize("limb", SIDED_JOINTS)
@pytest.mark.parametrize("frames", [slice(10, 11), slice(6, 10), slice(0, 3), slice(59, 60), slice(20, 40)])
def test_a_swap_is_repaired(frames, limb):
    joints = walk()
    repaired, which = repair_swaps(swapped_in(joints, frames, limb), MPII, 1.0)
    torch.testing.assert_close(repaired, joints)
    column = list(SIDED_JOINTS).index(limb)
    assert which[:, column].nonzero()[:, 0].tolist() == list(range(60))[frames]
    assert not which[:, 1 - column].any()


def test_crossing_legs_are_not_swapped():
    joints = walk(frames=120)
    repaired, which = repair_swaps(joints, MPII, 1.0)
    assert not which.any()
    assert repaired.equal(joints)


@pytest.mark.parametrize("gap", [slice(30, 34), slice(0, 4)])
def test_sides_survive_frames_without_the_person(gap):
    joints = walk()
    joints[gap] = torch.nan
    wrong = swapped_in(joints, slice(34, 37), "arms")
    repaired, which = repair_swaps(wrong, MPII, 1.0)
    torch.testing.assert_close(repaired, joints, equal_nan=True)
    assert which[:, ARMS].nonzero()[:, 0].tolist() == [34, 35, 36]


def test_one_frame_is_judged_by_hips_and_shoulders():
    """Without motion, legs or arms are swapped only where hips and shoulders disagree about the side."""
    joints = walk(frames=1)
    assert not repair_swaps(joints, MPII, 1.0)[1].any()
    both = swapped_in(swapped_in(joints, slice(0, 1), "arms"), slice(0, 1), "legs")
    assert not repair_swaps(both, MPII, 1.0)[1].any()
    wide = joints * torch.tensor([5.0, 1.0])
    assert repair_swaps(swapped_in(wide, slice(0, 1), "arms"), MPII, 1.0)[1].sum() == 1


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), angle=st.floats(0, 2 * math.pi), scale=st.floats(0.1, 1000))
def test_turning_and_scaling_the_picture_changes_nothing(seed, angle, scale):
    joints = walk(frames=20)
    generator = torch.Generator().manual_seed(seed)
    joints = swapped_in(joints, slice(5, 9), "legs") + 0.05 * torch.randn(joints.shape, generator=generator).double()
    cos, sin = math.cos(angle), math.sin(angle)
    turned = scale * joints @ torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    assert repair_swaps(turned, MPII, scale)[1].equal(repair_swaps(joints, MPII, 1.0)[1])


@pytest.mark.parametrize("skeleton", [MPII, COCO, H36M])
def test_scores_change_sides_too(skeleton):
    scores = torch.arange(len(skeleton)).float().repeat(2, 1)
    changed = swap_sides(scores, skeleton, torch.tensor([[False, False], [True, False]]))
    assert changed[0].equal(scores[0])
    for name in skeleton.joints:
        side, _, part = name.partition("_")
        legs = part in SIDED_JOINTS["legs"]
        other = skeleton.index({"r": "l_", "l": "r_"}[side] + part) if legs else skeleton.index(name)
        assert changed[1, skeleton.index(name)] == other
