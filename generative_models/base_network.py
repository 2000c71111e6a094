"""A fully connected residual network with several output heads: what generator and critic are made of."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLU below zero


class ResidualBlock(nn.Module):
    """Twice leaky ReLU and linear, added to the input: (B, width) -> (B, width)."""

    def __init__(self, width: int):
        super().__init__()
        self.w1 = nn.Linear(width, width)
        self.w2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.w2(F.leaky_relu(self.w1(F.leaky_relu(x, SLOPE)), SLOPE))


class ResidualNetwork(nn.Module):
    """A trunk of residual blocks that all heads share, and a linear head for each output.

    Forward: (B, input_size) -> a tuple of (B, n), one for each n of `head_sizes`.

    There is no batch norm: it makes a sample's score depend on the other samples of the batch, but the gradient
    penalty of a critic is on each sample's own gradient (Gulrajani et al., NIPS 2017, section 4).

    Args:
        width: units of every hidden layer.
        blocks: residual blocks, two layers each.
    """

    def __init__(self, input_size: int, head_sizes: Sequence[int], width: int, blocks: int):
        super().__init__()
        self.first = nn.Linear(input_size, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in head_sizes)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = F.leaky_relu(self.blocks(self.first(x)), SLOPE)
        return tuple(head(features) for head in self.heads)
