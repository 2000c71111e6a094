"""A wider or deeper hourglass that computes the same."""

import pytest
import torch
from command_line import call_script, load_script
from tiny_checkpoints import hourglass_file

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.loading import load_hourglass
from utils.osutils import UserError

script = load_script("scripts", "grow_hourglass")


def network(**architecture) -> HourglassNet:
    """With statistics and gains that differ by channel, as after training."""
    torch.manual_seed(0)
    net = HourglassNet(Architecture(features=16, num_classes=3, **architecture), score_threshold=0.25)
    with torch.no_grad():
        for module in net.modules():
            if getattr(module, "weight", None) is not None and module.weight.ndim == 1:
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    net.train()(torch.randn(4, 3, 64, 64))
    return net.eval()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("architecture", "features"),
    [({"stacks": 2}, 48), ({"stacks": 1, "use_layer_norm": True}, 48), ({"stacks": 2}, 20), ({"stacks": 1}, 24)],
)
@torch.no_grad()
def test_wider_networks_give_the_same_outputs(architecture, features, training):
    narrow, images = network(**architecture), torch.randn(2, 3, 64, 64)
    wide = script.widened(narrow, features, torch.Generator().manual_seed(1)).train(training)
    for old, new in zip(narrow.train(training)(images), wide(images), strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-4)
    assert wide.score_threshold == 0.25
    assert wide.architecture.features == features


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("stacks", "more"), [(1, 2), (2, 4)])
@torch.no_grad()
def test_deeper_networks_repeat_the_last_output(stacks, more, training):
    shallow, images = network(stacks=stacks), torch.randn(2, 3, 64, 64)
    deep = script.deepened(shallow, more).train(training)
    first, outputs = shallow.train(training)(images), deep(images)
    assert len(outputs) == deep.architecture.stacks == more
    for stack, new in enumerate(outputs):
        torch.testing.assert_close(new, first[min(stack, stacks - 1)], rtol=1e-6, atol=1e-6)
    assert deep.score_threshold == 0.25


def moved(net: HourglassNet) -> HourglassNet:
    """After two steps of training."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(net.train().parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        sum(maps.square().mean() for maps in net(torch.randn(2, 3, 64, 64))).backward()
        optimizer.step()
    return net


def test_copies_of_a_channel_train_apart():
    wide = moved(script.widened(network(stacks=1), 32, torch.Generator().manual_seed(1)))
    first, second = wide.res[0][0].conv2.weight.chunk(2)
    assert (first.sum(1) - second.sum(1)).abs().max() > 1e-6


def test_copies_of_a_stack_train_apart():
    deep = moved(script.deepened(network(stacks=1), 2))
    assert deep.fc_[0].weight.abs().max() > 1e-6
    assert (deep.res[0][0].conv2.weight - deep.res[1][0].conv2.weight).abs().max() > 1e-6


def test_shares_of_a_weight_sum_to_it():
    old = torch.tensor([[[[2.0]], [[3.0]]]])  # 1 output, 2 inputs
    new = script.spread(old, torch.empty(2, 4, 1, 1), torch.Generator().manual_seed(0))
    torch.testing.assert_close(new[:, :2] + new[:, 2:], old.expand(2, -1, -1, -1))
    assert not torch.equal(new[0], new[1])
    assert torch.equal(script.spread(old[0, :, 0, 0], torch.empty(4), None), torch.tensor([2.0, 3.0, 2.0, 3.0]))


def test_an_input_without_a_copy_keeps_its_weight():
    old = torch.tensor([[[[2.0]], [[3.0]]]])
    new = script.spread(old, torch.empty(1, 3, 1, 1), torch.Generator().manual_seed(0)).flatten()
    assert new[1] == 3
    assert new[0] + new[2] == pytest.approx(2)
    assert 0 < new[0] != new[2] > 0


@pytest.mark.parametrize("features", [16, 12, 18])
def test_a_width_that_cannot_be_is_refused(features):
    with pytest.raises(UserError, match=f"--features {features}: expected a multiple of 4 above the network's 16"):
        script.widened(network(stacks=1), features, torch.Generator())


def test_what_cannot_grow_is_refused():
    with pytest.raises(UserError, match="--stacks 2: expected more than the network's 2"):
        script.deepened(network(stacks=2), 2)
    with pytest.raises(UserError, match="--features 24: expected a multiple of the network's 16; layer norm"):
        script.widened(network(stacks=1, use_layer_norm=True), 24, torch.Generator())
    with pytest.raises(UserError, match="without attention"):
        script.widened(network(stacks=1, add_attention=True), 32, torch.Generator())


def test_the_command_line_writes_what_training_loads(tmp_path):
    small, large = hourglass_file(tmp_path / "small.pth.tar"), tmp_path / "large.pth.tar"
    old = load_hourglass(small).architecture
    files, sizes = ("--load", small, "--output", large), (2 * old.features, old.stacks + 1)
    done = call_script(script, *files, "--features", sizes[0], "--stacks", sizes[1]).succeeded()
    assert f"-> {sizes[1]} stacks of {sizes[0]} features, the same outputs" in done.out
    new = load_hourglass(large).architecture
    assert (new.features, new.stacks) == sizes
    assert "expected a multiple of 4" in call_script(script, *files, "--features", 7).last_error()
    assert "give --features or --stacks" in call_script(script, *files).last_error()
