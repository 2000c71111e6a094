"""A fully connected residual network with several output heads, used by the generator and the critic."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # negative slope of the leaky ReLU


class ResidualBlock(nn.Module):
    """Two layers of leaky ReLU and linear, added to the input: (B, width) -> (B, width)."""

    def __init__(self, width: int):
        super().__init__()
        self.w1 = nn.Linear(width, width)
        self.w2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.w2(F.leaky_relu(self.w1(F.leaky_relu(x, SLOPE)), SLOPE))


class ResidualNetwork(nn.Module):
    """A shared trunk of residual blocks with one linear head per output.

    Forward: (B, input_size) -> tuple of (B, n), one for each n in `head_sizes`.

    No batch norm: it makes a sample's score depend on the rest of the batch, while a critic's gradient penalty applies
    to each sample separately (Gulrajani et al., NIPS 2017, section 4).

    Args:
        width: units per hidden layer.
        blocks: number of residual blocks of two layers each.
    """

    def __init__(self, input_size: int, head_sizes: Sequence[int], width: int, blocks: int):
        super().__init__()
        self.first = nn.Linear(input_size, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in head_sizes)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = F.leaky_relu(self.blocks(self.first(x)), SLOPE)
        return tuple(head(features) for head in self.heads)
