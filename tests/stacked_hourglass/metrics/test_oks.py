"""OKS by hand and as pycocotools defines it, and its scores."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stacked_hourglass.metrics.coco_ap import OKS_THRESHOLDS
from stacked_hourglass.metrics.oks import SIGMAS, joint_similarities, oks, oks_scores, shared_with_coco, sigmas_of
from utils.transform import COCO, LSP, MPII

# The parameters of COCO's own evaluation (pycocotools, Params.setKpParams), in COCO's order, as tenths.
OFFICIAL = [.26, .25, .25, .35, .35, .79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89, .89]  # fmt: skip


def test_sigmas_are_the_official_ones():
    np.testing.assert_allclose(sigmas_of(COCO.joints), np.array(OFFICIAL) / 10, rtol=1e-12)
    with pytest.raises(KeyError):
        sigmas_of(["head_top"])


def test_by_hand():
    joints = ("r_hip", "l_knee", "nose")
    truth = np.array([[[10.0, 10.0], [20.0, 10.0], [0.0, 0.0]]])
    # The hip is off by exactly s k = 30 × 2 × 0.107 px, the knee by twice s k, the nose is not annotated.
    pred = truth + np.array([[[6.42, 0.0], [0.0, 2 * 30 * 0.174], [500.0, 0.0]]])
    area, annotated = np.array([900.0]), np.array([[True, True, False]])
    np.testing.assert_allclose(joint_similarities(pred, truth, area, joints)[0, :2], [math.exp(-0.5), math.exp(-2)])
    value = oks(pred, truth, annotated, area, joints)
    assert isinstance(value, np.ndarray)
    np.testing.assert_allclose(value, [(math.exp(-0.5) + math.exp(-2)) / 2])


def test_missing_predictions_and_people_without_joints():
    truth = torch.zeros(3, 2, 2)
    pred = truth.clone()
    pred[0, 1] = torch.nan
    truth[1] = torch.nan  # of a joint that is not annotated
    annotated = torch.tensor([[True, True], [True, False], [False, False]])
    annotated[1, 0] = False
    value = oks(pred, truth, annotated, torch.ones(3), ("r_hip", "l_hip"))
    torch.testing.assert_close(value, torch.tensor([0.5, torch.nan, torch.nan], dtype=torch.float64), equal_nan=True)


def test_scores_by_hand():
    scores = oks_scores(torch.tensor([0.5, 0.75, 0.9, 0.2, torch.nan], dtype=torch.float64))
    assert scores["people"] == 4
    assert scores["mean"] == pytest.approx(2.35 / 4)
    assert (scores["above_0.5"], scores["above_0.75"]) == (0.75, 0.5)  # equal counts
    # At 0.5: 3; 0.55 to 0.75: 2 each; 0.8 to 0.9: 1 each; 0.95: none.
    assert scores["above_0.5:0.95"] == pytest.approx((3 + 5 * 2 + 3 * 1) / 40)
    assert OKS_THRESHOLDS[0] == 0.5
    assert OKS_THRESHOLDS[-1] == 0.95
    empty = oks_scores(np.array([np.nan]))
    assert empty.pop("people") == 0
    assert all(math.isnan(value) for value in empty.values())


@given(st.floats(0.1, 50), st.floats(0, 2 * math.pi), st.integers(0, 2**32 - 1))
def test_similarity_does_not_depend_on_scale_or_turn(scale, angle, seed):
    generator = torch.Generator().manual_seed(seed)
    truth, off = torch.randn(2, 4, 17, 2, generator=generator, dtype=torch.float64)
    area = torch.rand(4, generator=generator, dtype=torch.float64) + 0.1
    annotated = torch.rand(4, 17, generator=generator) > 0.3
    annotated[:, 0] = True
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    before = oks(truth + off, truth, annotated, area, COCO.joints)
    after = oks((truth + off) @ turn.T + 7, truth @ turn.T + 7, annotated, area * scale**2, COCO.joints)
    torch.testing.assert_close(before, after)
    assert ((before >= 0) & (before <= 1)).all()
    nearer = oks(truth + off / 2, truth, annotated, area, COCO.joints)
    assert (nearer >= before).all()
    assert oks(truth, truth, annotated, area, COCO.joints).tolist() == [1.0] * 4


def test_what_is_shared():
    assert len(shared_with_coco(MPII)) == len(shared_with_coco(LSP)) == 12
    assert shared_with_coco(COCO) == COCO.joints
    assert {joint[2:] for joint in shared_with_coco(MPII)} <= set(SIGMAS)
