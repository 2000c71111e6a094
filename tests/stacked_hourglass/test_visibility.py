import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.visibility import VisibilityNet, visibility_loss


@pytest.mark.parametrize(("size", "dtype"), [((64, 64), torch.float32), ((16, 32), torch.float64)])
def test_one_logit_per_joint_for_any_size(size, dtype):
    logits = VisibilityNet(8, 16).to(dtype)(torch.rand(3, 8, *size, dtype=dtype))
    assert logits.shape == (3, 16)
    assert logits.dtype == dtype
    assert logits.isfinite().all()


@torch.no_grad()
def test_evidence_anywhere_on_the_map_counts():
    net = VisibilityNet(4, 2)
    for parameter in net.parameters():
        parameter.zero_()
    net.look[0].weight[0, 0, 1, 1] = 1  # passes channel 0 on to channel 0
    net.look[2].weight[0, 0, 1, 1] = 1
    net.decide.weight[0, 0] = 2
    net.decide.bias.copy_(torch.tensor([-1.0, 5.0]))
    features = torch.zeros(3, 4, 16, 16)
    features[1, 0, 0, 0] = 3  # the corner, which both strides keep
    features[2, 0, 12, 8] = 3
    # Joint 0: 2 · 3 - 1 where something was seen, else -1; joint 1 has only its bias.
    assert torch.equal(net(features), torch.tensor([[-1.0, 5], [5, 5], [5, 5]]))


def test_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [math.log(3), -math.log(3)]])  # chances 1/2 3/4, 3/4 1/4
    visible = torch.tensor([[True, True], [False, False]])
    first = (-math.log(1 / 2) - math.log(3 / 4)) / 2
    second = (-math.log(1 / 4) - math.log(3 / 4)) / 2
    both = torch.tensor([True, True])
    assert visibility_loss(logits, visible, both).item() == pytest.approx((first + second) / 2)
    assert visibility_loss(logits, visible, torch.tensor([True, False])).item() == pytest.approx(first)
    assert visibility_loss(logits, visible, torch.tensor([False, True])).item() == pytest.approx(second)


def test_the_loss_without_counted_samples_is_zero_with_zero_gradient():
    logits = torch.randn(2, 3, requires_grad=True)
    loss = visibility_loss(logits, torch.ones(2, 3), torch.zeros(2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(2, 3))


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.integers(0, 2**31))
def test_uncounted_samples_do_not_matter(counted, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(counted), 4, generator=generator, requires_grad=True)
    visible = torch.rand(len(counted), 4, generator=generator) > 0.5
    counted = torch.tensor(counted)
    loss = visibility_loss(logits, visible, counted)
    loss.backward()
    assert not logits.grad[~counted].any()
    assert logits.grad[counted].all()
    if counted.any():
        kept = visibility_loss(logits[counted], visible[counted], torch.ones(int(counted.sum())))
        assert loss.item() == pytest.approx(kept.item(), rel=1e-5)


def test_half_precision_logits_are_averaged_in_full():
    logits = torch.randn(4, 16).bfloat16()
    loss = visibility_loss(logits, torch.ones(4, 16), torch.ones(4))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(torch.nn.functional.softplus(-logits.float()).mean().item())


def test_gradient_flows_into_the_hourglass_but_not_past_its_last_features():
    torch.manual_seed(0)
    model = HourglassNet(Architecture(stacks=2, features=8, predict_joint_visibility=True))
    _, logits = model(torch.rand(2, 3, 64, 64), with_visibility=True)
    visibility_loss(logits, torch.ones(2, 16), torch.ones(2)).backward()
    reached = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {"conv1", "layer3", "hg", "res", "fc", "fc_", "visibility"} <= reached
    assert model.score[0].weight.grad.any()  # its maps feed the second stack
    assert model.score[1].weight.grad is None  # the last maps are not among its inputs
