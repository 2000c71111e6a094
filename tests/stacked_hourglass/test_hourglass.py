from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stacked_hourglass.hourglass import (
    Architecture,
    Bottleneck,
    Hourglass,
    HourglassNet,
    infer_architecture,
    residual,
    scale_weights,
)
from stacked_hourglass.loading import count_parameters

SMALL = Architecture(stacks=2, features=8)
VARIANTS = {
    "batch norm": SMALL,
    "layer norm": replace(SMALL, use_layer_norm=True),
    "no affine": replace(SMALL, no_batch_norm_affine=True),
    "two blocks": replace(SMALL, blocks=2),
    "one stack": replace(SMALL, stacks=1),
    "visibility": replace(SMALL, predict_joint_visibility=True),
}

# Keys of the public checkpoints with 2 stacks of 256 features and 1 block, and their shapes.
PUBLISHED = {
    "conv1.weight": (64, 3, 7, 7),
    "conv1.bias": (64,),
    "bn1.weight": (64,),
    "bn1.running_mean": (64,),
    "layer1.0.bn1.weight": (64,),
    "layer1.0.conv1.weight": (64, 64, 1, 1),
    "layer1.0.conv2.weight": (64, 64, 3, 3),
    "layer1.0.conv3.weight": (128, 64, 1, 1),
    "layer1.0.conv3.bias": (128,),
    "layer1.0.downsample.0.weight": (128, 64, 1, 1),
    "layer1.0.downsample.0.bias": (128,),
    "layer2.0.conv1.weight": (128, 128, 1, 1),
    "layer2.0.downsample.0.weight": (256, 128, 1, 1),
    "layer3.0.bn1.running_var": (256,),
    "layer3.0.conv1.weight": (128, 256, 1, 1),
    "hg.0.hg.0.0.0.bn1.bias": (256,),
    "hg.0.hg.0.3.0.conv2.weight": (128, 128, 3, 3),
    "hg.1.hg.3.2.0.conv3.weight": (256, 128, 1, 1),
    "res.0.0.conv1.bias": (128,),
    "res.1.0.bn3.running_var": (128,),
    "fc.0.0.weight": (256, 256, 1, 1),
    "fc.1.1.weight": (256,),
    "fc.1.1.num_batches_tracked": (),
    "score.0.weight": (16, 256, 1, 1),
    "score.1.bias": (16,),
    "fc_.0.weight": (256, 256, 1, 1),
    "score_.0.weight": (256, 16, 1, 1),
}
NOT_PUBLISHED = (
    "fc_.1.weight",  # nothing follows the last stack
    "score_.1.weight",
    "hg.0.hg.1.3.0.conv1.weight",  # only the innermost level has a fourth branch
    "hg.0.hg.4.0.0.conv1.weight",
    "hg.2.hg.0.0.0.conv1.weight",
    "layer3.0.downsample.0.weight",  # 256 channels in and out
    "res.0.0.downsample.0.weight",
    "res.0.1.conv1.weight",
    "layer1.0.downsample.1.weight",
)


def network(architecture: Architecture, seed: int = 0) -> HourglassNet:
    torch.manual_seed(seed)
    return HourglassNet(architecture)


def shapes(architecture: Architecture) -> dict[str, Tensor]:
    """The state dict on the meta device, without memory."""
    with torch.device("meta"):
        return HourglassNet(architecture).state_dict()


class Times(nn.Module):
    """A branch that can be followed by hand."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor, attention: object = None) -> Tensor:
        return self.factor * x


# ------------------------------------------------------------------------------------------ size, names, shapes


@pytest.mark.parametrize(("stacks", "count"), [(1, 3_586_960), (2, 6_730_912), (4, 13_018_816), (8, 25_594_624)])
def test_parameter_counts_are_the_published_ones(stacks, count):
    with torch.device("meta"):
        assert count_parameters(HourglassNet(Architecture(stacks=stacks))) == count


def test_state_dict_has_the_published_names_and_shapes():
    state = shapes(Architecture())
    assert {key: tuple(state[key].shape) for key in PUBLISHED} == PUBLISHED
    assert not set(NOT_PUBLISHED) & set(state)


def test_every_module_has_a_published_name():
    def bottlenecks(prefix: str) -> set[str]:
        return {f"{prefix}.0.{layer}" for layer in ("bn1", "conv1", "bn2", "conv2", "bn3", "conv3")}

    expected = {"conv1", "bn1", "layer1.0.downsample.0", "layer2.0.downsample.0"}
    expected |= set.union(*map(bottlenecks, ("layer1", "layer2", "layer3", "res.0", "res.1")))
    for stack, level in product(range(2), range(4)):
        expected |= set.union(*(bottlenecks(f"hg.{stack}.hg.{level}.{b}") for b in range(4 if level == 0 else 3)))
    expected |= {"fc.0.0", "fc.0.1", "fc.1.0", "fc.1.1", "score.0", "score.1", "fc_.0", "score_.0"}
    assert {key.rpartition(".")[0] for key in shapes(Architecture())} == expected


def test_further_blocks_are_numbered_after_the_first():
    state = shapes(Architecture(blocks=3))
    assert "hg.0.hg.2.1.2.conv1.weight" in state
    assert "res.1.2.bn1.weight" in state
    assert "layer3.1.conv1.weight" not in state  # the stem has one of each


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("architecture", VARIANTS.values(), ids=VARIANTS)
def test_output_is_finite_and_every_parameter_gets_a_gradient(architecture, training):
    model = network(replace(architecture, features=16, batch_norm_momentum=1.0))
    images = torch.rand(2, 3, 64, 128) - 0.45
    if not training:
        model(images)  # running statistics of these images
        model.eval()
    if architecture.predict_joint_visibility:
        heatmaps, logits = model(images, with_visibility=True)
        assert logits.shape == (2, 16)
        loss = logits.square().sum()
    else:
        heatmaps, loss = model(images), 0
    assert [tuple(maps.shape) for maps in heatmaps] == [(2, 16, 16, 32)] * architecture.stacks
    loss = loss + sum(maps.square().mean() for maps in heatmaps)
    assert loss.isfinite()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # A batch's own statistics cancel the bias of the convolution before; in training its gradient may be 0.
        assert parameter.grad.any() or (training and name.endswith("bias")), name


def test_a_crop_of_256_gives_maps_of_64_in_the_dtype_and_number_of_joints():
    model = network(replace(SMALL, num_classes=14)).double()
    maps = model(torch.rand(1, 3, 256, 256, dtype=torch.float64))[-1]
    assert maps.shape == (1, 14, 64, 64)
    assert maps.dtype == torch.float64


def test_heat_maps_are_the_same_with_and_without_visibility():
    model = network(VARIANTS["visibility"]).eval()
    images = torch.rand(1, 3, 64, 64)
    alone, (together, _) = model(images), model(images, with_visibility=True)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_forward_does_not_change_its_input():
    images = torch.rand(1, 3, 64, 64)
    before = images.clone()
    network(SMALL).eval()(images)
    assert torch.equal(images, before)


# ------------------------------------------------------------------------------------------ by hand


@torch.no_grad()
def test_with_all_weights_zero_the_output_is_the_score_layers_bias():
    model = network(SMALL)
    for parameter in model.parameters():
        parameter.zero_()
    model.score[0].bias.copy_(torch.arange(16))
    model.score[1].bias.copy_(torch.arange(16) * -0.5)
    first, last = model(torch.rand(2, 3, 64, 64))
    assert torch.equal(first, torch.arange(16.0)[None, :, None, None].expand(2, 16, 16, 16))
    assert torch.equal(last, -0.5 * first)


@torch.no_grad()
def test_bottleneck_is_the_input_plus_the_branch():
    block = Bottleneck(SMALL, 4, 2).eval()
    x = torch.rand(1, 4, 5, 5) - 0.5
    block.conv3.weight.zero_()
    block.conv3.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert torch.equal(block(x), x + torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None])


@torch.no_grad()
def test_bottleneck_normalises_and_rectifies_before_each_convolution():
    block = Bottleneck(SMALL, 2, 1).eval()
    for convolution in (block.conv1, block.conv2, block.conv3):
        convolution.weight.fill_(1)
        convolution.bias.zero_()
    block.bn1.running_mean.copy_(torch.tensor([1.0, 0.0]))
    block.bn1.running_var.fill_(4)
    block.bn2.running_mean.fill_(1)
    block.bn3.running_mean.fill_(10)
    x = torch.tensor([5.0, -3.0])[None, :, None, None].expand(1, 2, 3, 3)
    # bn1: (5 - 1) / 2 = 2 and (-3 - 0) / 2, which relu stops; conv1: 2; bn2: 1; conv2 sums the 3 × 3 neighbours that
    # exist: 9 in the middle, 6 on an edge, 4 in a corner; bn3 and relu: 9 - 10, nothing passes; conv3: 0.
    assert torch.allclose(block(x), x, atol=1e-4)
    block.bn3.running_mean.fill_(5)
    branch = torch.tensor([[0.0, 1, 0], [1, 4, 1], [0, 1, 0]])
    assert torch.allclose(block(x), x + branch, atol=1e-4)


def test_bottlenecks_in_a_row_widen_once():
    first, second, third = residual(SMALL, 4, 8, 3)
    assert isinstance(first.downsample, nn.Sequential)
    assert first.conv1.in_channels == 4
    for block in (second, third):
        assert isinstance(block.downsample, nn.Identity)
        assert block.conv1.in_channels == 16


def test_hourglass_adds_five_resolutions():
    hourglass = Hourglass(SMALL)
    hourglass.hg = nn.ModuleList(nn.ModuleList(Times(1) for _ in range(4 - (i > 0))) for i in range(4))
    assert torch.equal(hourglass(torch.ones(1, 1, 16, 16)), torch.full((1, 1, 16, 16), 5.0))

    # A single spot adds 1 to its block of 1, 2, 4, 8 and 16 px, which start at multiples of their size: max-pooling
    # down, nearest-neighbour up.
    x = torch.zeros(1, 1, 32, 32)
    x[..., 9, 22] = 1
    expected = torch.zeros(32, 32)
    for size in (1, 2, 4, 8, 16):
        top, left = 9 // size * size, 22 // size * size
        expected[top : top + size, left : left + size] += 1
    assert torch.equal(hourglass(x)[0, 0], expected)
    assert expected[9, 22] == 5
    assert expected[8, 23] == 4


def test_hourglass_branches_are_skip_inwards_outwards_innermost():
    skips, inwards, outwards, innermost = (2, 3, 5, 7), (11, 13, 17, 19), (23, 29, 31, 37), 41
    hourglass = Hourglass(SMALL)
    hourglass.hg = nn.ModuleList(
        nn.ModuleList(map(Times, (skips[i], inwards[i], outwards[i], *([innermost] if i == 0 else []))))
        for i in range(4)
    )
    expected = innermost
    for skip, inner, outer in zip(skips, inwards, outwards, strict=True):  # from the inside out
        expected = skip + outer * expected * inner
    ones = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    assert torch.equal(hourglass(ones), expected * ones)


@torch.no_grad()
def test_the_second_stack_sees_input_features_and_scores_of_the_first():
    model = network(replace(SMALL, features=4, num_classes=1))
    stem = torch.ones(1, 4, 16, 16)
    model.layer3.forward = lambda _: stem
    model.hg = nn.ModuleList([Times(2), Times(3)])
    model.res = nn.ModuleList([Times(5), Times(7)])
    model.fc = nn.ModuleList([Times(0.5), Times(0.25)])
    model.fc_ = nn.ModuleList([Times(11)])
    for score in model.score:
        score.weight.fill_(1)
        score.bias.fill_(100)
    model.score_[0].weight.fill_(2)
    model.score_[0].bias.fill_(-1)
    first, second = model(torch.zeros(1, 3, 64, 64))
    # Features of stack 1: 1 · 2 · 5 / 2 = 5; its score: 4 · 5 + 100 = 120.
    # Into stack 2: 1 + 11 · 5 + (2 · 120 - 1) = 295; features: 295 · 3 · 7 / 4; score: 4 of them, + 100.
    assert torch.equal(first, torch.full((1, 1, 16, 16), 120.0))
    assert torch.equal(second, torch.full((1, 1, 16, 16), 295 * 21.0 + 100))


# ------------------------------------------------------------------------------------------ options


def test_layer_norm_replaces_every_batch_norm():
    model = network(VARIANTS["layer norm"]).eval()
    assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    norm = VARIANTS["layer norm"].norm(3)
    x = torch.randn(2, 3, 4, 4) * torch.tensor([1.0, 20.0])[:, None, None, None] + 7
    y = norm(x)
    assert torch.allclose(y.mean((1, 2, 3)), torch.zeros(2), atol=1e-5)  # over C, H, W of each sample
    assert torch.allclose(y.std((1, 2, 3), correction=0), torch.ones(2), atol=1e-4)
    images = torch.rand(3, 3, 64, 64)
    assert torch.allclose(model(images)[-1][:1], model(images[:1])[-1], atol=1e-5)  # samples are independent


def test_batch_norm_options_reach_every_norm():
    model = network(replace(SMALL, batch_norm_momentum=0.25, no_batch_norm_affine=True))
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    # Stem; 3 each in 3 bottlenecks of the stem, in 2 · 13 of the hourglasses, and 2 more; 2 after fc.
    assert len(norms) == 1 + 3 * (3 + 2 * 13 + 2) + 2
    assert all(norm.momentum == 0.25 and not norm.affine and norm.weight is None for norm in norms)


def test_momentum_is_the_share_of_the_new_batch():
    norm = replace(SMALL, batch_norm_momentum=0.25).norm(1)
    norm(torch.tensor([3.0, 5.0])[:, None, None, None])
    assert norm.running_mean.item() == pytest.approx(0.25 * 4)
    assert norm.running_var.item() == pytest.approx(0.75 * 1 + 0.25 * 2)  # the unbiased variance of 3 and 5


def test_scale_weights_scales_only_convolutions_and_linear_layers():
    model, scaled = network(VARIANTS["visibility"]), network(VARIANTS["visibility"])
    scale_weights(scaled, 0.5)
    for (name, before), after in zip(model.named_parameters(), scaled.parameters(), strict=True):
        is_weight = name.endswith("weight") and before.ndim > 1  # norms' gains have one dimension
        assert torch.equal(after, before * 0.5 if is_weight else before), name


# ------------------------------------------------------------------------------------------ architecture from weights


@settings(max_examples=12)
@given(
    st.builds(
        Architecture,
        stacks=st.integers(1, 3),
        features=st.sampled_from([4, 8, 20, 64]),
        blocks=st.integers(1, 3),
        num_classes=st.sampled_from([1, 14, 16, 17]),
        predict_joint_visibility=st.booleans(),
    ),
    st.sampled_from(["batch norm", "layer norm", "no affine"]),
)
def test_architecture_is_read_off_the_weights(architecture, norm):
    architecture = replace(architecture, use_layer_norm=norm == "layer norm", no_batch_norm_affine=norm == "no affine")
    assert infer_architecture(shapes(architecture)) == architecture


def test_momentum_comes_from_the_stored_options():
    state = shapes(SMALL)
    assert infer_architecture(state, {"batch_norm_momentum": 0.3, "stacks": 7}).batch_norm_momentum == 0.3
    assert infer_architecture(state, {}).batch_norm_momentum == 0.1
    assert infer_architecture(state, {"stacks": 7}).stacks == 2  # the weights decide


@pytest.mark.parametrize(
    "state", [{}, {"w1.weight": torch.zeros(1024, 32)}, {"score.0.weight": torch.zeros(16, 8, 1, 1)}]
)
def test_another_networks_weights_are_a_key_error(state):
    with pytest.raises(KeyError):
        infer_architecture(state)
