"""Joint visibility: a small network on the hourglass's features, and its loss."""

import torch.nn.functional as F
from torch import Tensor, nn

from utils.compute.batch_parts import Part, mean_of_counted


class VisibilityNet(nn.Module):
    """Features (B, C, H, W) -> logits (B, J), positive for joints that are annotated and not hidden.

    Two strided convolutions, a maximum over the map, and a linear layer.
    """

    def __init__(self, features: int, num_joints: int):
        super().__init__()
        width = max(features // 2, num_joints)
        self.look = nn.Sequential(
            nn.Conv2d(features, width, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.decide = nn.Linear(width, num_joints)

    def forward(self, features: Tensor) -> Tensor:
        return self.decide(self.look(features).amax(dim=(-2, -1)))


def visibility_loss(logits: Tensor, visible: Tensor, counted: Tensor, part: Part | None = None) -> Tensor:
    """Binary cross-entropy of logits (B, J); `visible` (B, J) is 0 or 1, `counted` (B,) selects samples.

    `part`: this process's part of the minibatch, with several processes.
    """
    losses = F.binary_cross_entropy_with_logits(logits.float(), visible.float(), reduction="none").mean(-1)
    return mean_of_counted((losses * counted).sum(), counted.sum(), part)
