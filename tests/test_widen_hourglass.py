"""A wider hourglass that computes the same."""

import pytest
import torch
from command_line import call_script, load_script
from tiny_checkpoints import hourglass_file

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.loading import load_hourglass
from utils.osutils import UserError

script = load_script("scripts", "widen_hourglass")


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
@pytest.mark.parametrize("architecture", [{"stacks": 2}, {"stacks": 1, "use_layer_norm": True}])
@torch.no_grad()
def test_outputs_do_not_change(architecture, training):
    narrow, images = network(**architecture), torch.randn(2, 3, 64, 64)
    wide = script.widened(narrow, 48, torch.Generator().manual_seed(1)).train(training)
    for old, new in zip(narrow.train(training)(images), wide(images), strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-4)
    assert wide.score_threshold == 0.25
    assert wide.architecture.features == 48


def test_copies_of_a_channel_train_apart():
    wide = script.widened(network(stacks=1), 32, torch.Generator().manual_seed(1)).train()
    optimizer = torch.optim.SGD(wide.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        wide(torch.randn(2, 3, 64, 64))[-1].square().mean().backward()
        optimizer.step()
    first, second = wide.res[0][0].conv2.weight.chunk(2)
    assert (first.sum(1) - second.sum(1)).abs().max() > 1e-6


def test_shares_of_a_weight_sum_to_it():
    old = torch.tensor([[[[2.0]], [[3.0]]]])  # 1 output, 2 inputs
    new = script.spread(old, torch.empty(2, 4, 1, 1), torch.Generator().manual_seed(0))
    torch.testing.assert_close(new[:, :2] + new[:, 2:], old.expand(2, -1, -1, -1))
    assert not torch.equal(new[0], new[1])
    assert torch.equal(script.spread(old[0, :, 0, 0], torch.empty(4), None), torch.tensor([2.0, 3.0, 2.0, 3.0]))


def test_what_cannot_be_widened_is_refused():
    with pytest.raises(UserError, match="--features 24: expected a multiple of the network's 16"):
        script.widened(network(stacks=1), 24, torch.Generator())
    with pytest.raises(UserError, match="without attention"):
        script.widened(network(stacks=1, add_attention=True), 32, torch.Generator())


def test_the_command_line_writes_what_training_loads(tmp_path):
    narrow, wide = hourglass_file(tmp_path / "narrow.pth.tar"), tmp_path / "wide.pth.tar"
    features = 2 * load_hourglass(narrow).architecture.features
    files = ("--load", narrow, "--output", wide)
    assert f"-> {features} features" in call_script(script, *files, "--features", features).succeeded().out
    assert load_hourglass(wide).architecture.features == features
    assert "expected a multiple" in call_script(script, *files, "--features", 7).last_error()
