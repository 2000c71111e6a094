"""Half bodies, people cut off by the frame, shifted and scaled boxes: by hand, and their rates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacked_hourglass.samples.framing import (
    EDGES,
    KEPT_RANGE,
    Framing,
    View,
    blacken_outside,
    cut_off,
    half_body,
    in_frame,
    in_view,
)
from utils.imaging.images import apply_affine, crop_matrix
from utils.transform import COCO, LSP, MPII

NAMES = MPII.joints
LOWER = [name.rpartition("_")[2] in ("hip", "knee", "ankle", "pelvis") for name in NAMES]
SIDE = 200.0


def standing(skeleton=MPII):
    """Upper joints within x 40 to 80 and y 0 to 40, lower ones within x 50 to 70 and y 60 to 160."""
    lower = [name.rpartition("_")[2] in ("hip", "knee", "ankle", "pelvis") for name in skeleton.joints]
    joints, counts = np.empty((len(skeleton), 2)), [0, 0]
    for index, low in enumerate(lower):
        step = counts[low] / (sum(lower) - 1 if low else len(lower) - sum(lower) - 1)
        counts[low] += 1
        joints[index] = (50 + 20 * step, 60 + 100 * step) if low else (40 + 40 * step, 40 * step)
    return joints, np.ones(len(skeleton), bool)


def whole(center=(60.0, 80.0)):
    return View(np.array(center), SIDE)


@pytest.mark.parametrize("skeleton", [MPII, LSP, COCO])
def test_half_bodies_by_hand(skeleton):
    joints, annotated = standing(skeleton)
    upper, lower = (half_body(whole(), joints, annotated, skeleton.joints, upper=flag) for flag in (True, False))
    np.testing.assert_allclose(upper.center, [60, 20])
    assert upper.side == pytest.approx(1.5 * 40)
    np.testing.assert_allclose(lower.center, [60, 110])
    assert lower.side == pytest.approx(1.5 * 100)
    assert np.isinf(upper.frame).all()


def test_half_bodies_need_joints_of_both_halves():
    joints, annotated = standing()
    few = annotated.copy()
    few[np.flatnonzero(LOWER)[2:]] = False
    assert half_body(whole(), joints, few, NAMES, upper=False).side == SIDE
    assert half_body(whole(), joints, few, NAMES, upper=True).side == pytest.approx(60)
    assert half_body(whole(), joints, ~np.array(LOWER), NAMES, upper=True).side == SIDE  # no other half is there
    joints[np.array(LOWER)] = (60, 100)  # foreshortened to a point: no zoom beyond four times
    assert half_body(whole(), joints, annotated, NAMES, upper=False).side == SIDE / 4


@pytest.mark.parametrize(
    ("edge", "frame", "center", "length"),
    [
        # The person's box: x 36 to 84, y -4 to 164 (the joints' longer side is 160).
        ("bottom", (-np.inf, -np.inf, np.inf, 80), (60, 38), 84),
        ("top", (-np.inf, 80, np.inf, np.inf), (60, 122), 84),
        ("right", (-np.inf, -np.inf, 60, np.inf), (48, 80), 168),
        ("left", (60, -np.inf, np.inf, np.inf), (72, 80), 168),
    ],
)
def test_cuts_by_hand(edge, frame, center, length):
    joints, annotated = standing()
    view = cut_off(whole(), joints, annotated, edge, kept=0.5)
    np.testing.assert_allclose(view.frame, frame)
    np.testing.assert_allclose(view.center, center)
    assert view.side == pytest.approx(1.25 * length)


def test_a_cut_leaves_joints():
    joints, annotated = standing()
    annotated[:] = False
    annotated[NAMES.index("r_ankle")] = annotated[NAMES.index("head_top")] = True
    assert cut_off(whole(), joints, annotated, "bottom", 0.5).side == SIDE  # only two joints in all
    annotated[NAMES.index("pelvis")] = True
    assert cut_off(whole(), joints, annotated, "bottom", 0.5).side == SIDE  # and here one would be left


def test_rates_and_ranges():
    joints, annotated = standing()
    rng = np.random.default_rng(0)
    views = [Framing(0.3, 0.5)(rng, whole(), joints, annotated, NAMES) for _ in range(5000)]
    cut = np.array([np.isfinite(view.frame).any() for view in views])
    halves = np.array([view.side in (60.0, 150.0) for view in views])
    assert halves.mean() == pytest.approx(0.3, abs=0.02)
    assert cut.mean() == pytest.approx(0.7 * 0.5, abs=0.02)
    bottom = np.array([view.frame[3] for view in views if np.isfinite(view.frame[3])])
    assert len(bottom) / cut.sum() == pytest.approx(0.6, abs=0.03)
    kept = (bottom + 4) / 168
    assert KEPT_RANGE[0] <= kept.min() < KEPT_RANGE[0] + 0.02
    assert KEPT_RANGE[1] - 0.02 < kept.max() <= KEPT_RANGE[1]
    jittered = [Framing(box_jitter=0.1)(rng, whole(), joints, annotated, NAMES) for _ in range(5000)]
    shift = np.array([view.center - (60, 80) for view in jittered]) / SIDE
    growth = np.log([view.side / SIDE for view in jittered])
    for values in (*shift.T, growth):
        assert np.abs(values).max() == pytest.approx(0.2)
        assert values.std() == pytest.approx(0.0959, abs=0.004)  # cut off at two deviations
        assert values.mean() == pytest.approx(0, abs=0.006)


@given(st.integers(0, 2**32 - 1), st.sampled_from([Framing(), Framing(1, 1, 1), Framing(cut_off_prob=1)]))
def test_off_changes_nothing_and_draws_as_many_numbers(seed, framing):
    joints, annotated = standing()
    rng, other = np.random.default_rng(seed), np.random.default_rng(seed)
    view = framing(rng, whole(), joints, annotated, NAMES)
    off = Framing()(other, whole(), joints, annotated, NAMES)
    assert rng.random() == other.random()
    assert not Framing()
    np.testing.assert_array_equal(off.center, whole().center)
    assert off.side == SIDE
    assert np.isinf(off.frame).all()
    assert view.side > 0


@given(st.integers(0, 2**32 - 1), st.floats(-60, 60), st.booleans())
def test_what_is_in_view_is_where_the_picture_is_not_black(seed, rotation, flip):
    rng = np.random.default_rng(seed)
    joints, annotated = standing()
    view = cut_off(whole(), joints, annotated, EDGES[rng.integers(4)], rng.uniform(0.35, 0.9))
    size = 64
    matrix = crop_matrix(view.center, view.side, size, rotation, flip)
    crop = blacken_outside(np.full((size, size, 3), 7, np.uint8), matrix, view)
    assert crop.dtype == np.uint8
    seen, in_crop = in_view(joints, matrix, size, view), apply_affine(matrix, joints)
    for visible, joint, (x, y) in zip(seen, joints, in_crop, strict=True):
        inside = in_frame(np.array([x, y]), (-0.5, -0.5, size - 0.5, size - 0.5))
        near_edge = np.abs(joint - np.array(view.frame).reshape(2, 2)).min() * size / view.side < 1
        if inside and not near_edge:
            assert visible == bool(crop[int(np.clip(round(y), 0, 63)), int(np.clip(round(x), 0, 63)), 0])
        assert inside or not visible


def test_nothing_is_blackened_without_a_frame():
    crop = np.full((8, 8, 3), 7, np.uint8)
    assert blacken_outside(crop, crop_matrix(np.array([4, 4]), 8, 8), whole()) is crop
