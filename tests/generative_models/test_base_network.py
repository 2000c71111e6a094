"""The fully connected residual network: shapes, heads, gradients, independence of the samples of a batch."""

import pytest
import torch
from torch import nn

from generative_models.base_network import SLOPE, ResidualBlock, ResidualNetwork


@pytest.fixture
def network() -> ResidualNetwork:
    torch.manual_seed(0)
    return ResidualNetwork(5, [3, 1, 4], width=8, blocks=2)


def test_a_head_for_each_output(network):
    outputs = network(torch.randn(6, 5))
    assert [tuple(output.shape) for output in outputs] == [(6, 3), (6, 1), (6, 4)]
    assert all(output.isfinite().all() for output in outputs)


def test_every_parameter_gets_a_gradient(network):
    sum(output.square().sum() for output in network(torch.randn(6, 5))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_heads_share_nothing_but_the_trunk(network):
    first, *_ = network(torch.randn(6, 5))
    first.sum().backward()
    assert network.blocks[0].w1.weight.grad is not None
    assert [head.weight.grad is not None for head in network.heads] == [True, False, False]


def test_a_block_by_hand():
    block = ResidualBlock(1)
    for weight, value in ((block.w1.weight, 2.0), (block.w1.bias, 1.0), (block.w2.weight, 3.0), (block.w2.bias, -1.0)):
        weight.data.fill_(value)
    x = torch.tensor([[1.0], [-1.0]])
    # 1 -> 2·1 + 1 = 3 -> 3·3 - 1 = 8; -1 -> 2·(-0.2) + 1 = 0.6 -> 3·0.6 - 1 = 0.8
    torch.testing.assert_close(block(x), x + torch.tensor([[8.0], [0.8]]))
    assert SLOPE == 0.2


def test_samples_of_a_batch_are_independent(network):
    """The gradient penalty needs each sample's own gradient, so batch norm is not allowed."""
    x = torch.randn(6, 5)
    together, alone = network.train()(x)[0], network(x[2:3])[0]
    torch.testing.assert_close(together[2:3], alone)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def test_number_of_blocks():
    assert ResidualNetwork(2, [1], width=4, blocks=0)(torch.ones(3, 2))[0].shape == (3, 1)
    assert len(ResidualNetwork(2, [1], width=4, blocks=5).blocks) == 5
