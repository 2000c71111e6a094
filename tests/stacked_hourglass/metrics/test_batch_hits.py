import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stacked_hourglass.metrics import pckh
from stacked_hourglass.metrics.batch_hits import pck_hits, pckh_hits
from utils.transform import LSP, MPII


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_hits_of_batches_add_up_to_the_rates(seed):
    rng = np.random.default_rng(seed)
    truth, pred = rng.uniform(0, 200, (2, 9, 16, 2))
    pred, head_sizes, missing = truth + 0.1 * (pred - truth), rng.uniform(10, 60, 9), rng.random((9, 16)) < 0.2
    rates = pckh.pckh_per_joint(pckh.normalised_errors(pred, truth, head_sizes), missing, [0.5])[0]
    tensors = [torch.from_numpy(array) for array in (pred, truth, head_sizes, ~missing)]
    batches = [pckh_hits(*(tensor[part] for tensor in tensors)) for part in (slice(0, 4), slice(4, 9))]
    hits, counts = (sum(parts).numpy() for parts in zip(*batches, strict=True))
    np.testing.assert_allclose(100 * hits / np.where(counts, counts, 1), np.nan_to_num(rates))
    np.testing.assert_array_equal(counts, (~missing).sum(axis=0))


def test_pckh_hits_by_hand():
    truth = torch.zeros(4, 2, 2)
    pred = torch.tensor([[[4.9, 0], [5, 0]], [[float("nan"), 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]])
    counted = torch.tensor([[True, True], [True, False], [True, True], [True, True]])
    hits, counts = pckh_hits(pred, truth, torch.tensor([10.0, 10.0, float("nan"), 0.0]), counted)
    assert (hits.tolist(), counts.tolist()) == ([1, 0], [2, 1])
    hits, _ = pckh_hits(pred, truth, torch.full((4,), 10.0), counted, threshold=0.1)
    assert hits.tolist() == [2, 2]


@pytest.mark.parametrize("skeleton", [MPII, LSP])
def test_pck_hits_by_hand(skeleton):
    truth = torch.zeros(4, len(skeleton), 2)
    truth[:, skeleton.index("r_shoulder")] = torch.tensor([30.0, 40.0])  # torso 50 px, radius 10 px
    counted = torch.ones(4, len(skeleton), dtype=torch.bool)
    counted[1, skeleton.index("l_hip")] = False
    truth[2, skeleton.index("r_shoulder")] = 0
    pred, wrist, knee = truth.clone(), skeleton.index("l_wrist"), skeleton.index("r_knee")
    pred[0, wrist, 0] += 9.99
    pred[0, knee, 0] += 10
    counted[3, knee] = False
    hits, counts = pck_hits(pred, truth, counted, skeleton)
    assert (hits[wrist], counts[wrist]) == (2, 2)
    assert (hits[knee], counts[knee]) == (0, 1)
    assert pck_hits(pred, truth, counted, skeleton, fraction=0.1)[0][wrist] == 1
