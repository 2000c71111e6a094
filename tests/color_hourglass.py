"""An hourglass whose maps are the crop's colours, and pictures for it."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from utils.transform import SKELETONS, Skeleton

SIDE_CHANNEL = {"r": 0, "l": 1, "c": 2}


class ColorHourglass(nn.Module):
    """Red gives the maps of right joints, green of left ones, blue of central ones."""

    def __init__(self, num_classes: int = 16, mean: float = 0.0, skeleton: str = "MPII"):
        super().__init__()
        self.architecture, self.skeleton = SimpleNamespace(num_classes=num_classes), skeleton
        self.score_threshold = 0.0
        self.register_buffer("mean", torch.full((3,), mean), persistent=False)
        joints = SKELETONS[skeleton].joints[:num_classes]
        self.channels = [SIDE_CHANNEL[SKELETONS[skeleton].side(joint)] for joint in joints]

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = nn.functional.avg_pool2d(images, 4)[:, self.channels]
        return [torch.full_like(maps, 9), maps]  # only the last stack's count


def spots(*cells: tuple[int, int]) -> np.ndarray:
    """A (256, 256, 3) picture whose three channels each have a white cell at (x, y) of their heat map."""
    picture = np.zeros((256, 256, 3), np.uint8)
    for channel, (x, y) in enumerate(cells):
        picture[4 * y : 4 * y + 4, 4 * x : 4 * x + 4, channel] = 255
    return picture


def crop(*cells: tuple[int, int]) -> Tensor:
    """`spots` as a batch of one crop, (1, 3, 256, 256)."""
    return torch.from_numpy(spots(*cells)).permute(2, 0, 1)[None]


def by_side(skeleton: Skeleton, right: tuple, left: tuple, centre: tuple) -> Tensor:
    """One row per joint of `skeleton`, which depends only on the joint's side."""
    rows = {"r": right, "l": left, "c": centre}
    return torch.tensor([rows[skeleton.side(joint)] for joint in skeleton.joints], dtype=torch.float32)
