"""A stitched network whose maps are the crop's colours and whose depth is known; and pictures for it."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from stitched.stitched_network import StitchedNetwork
from twod_threed.normalisation import Normalisation
from utils.transform import H36M, H36M_2D, MPII

SIDE_CHANNEL = {"r": 0, "l": 1, "c": 2}


class ColorHourglass(nn.Module):
    """Red makes the maps of the right side's joints, green the left's, blue the middle's."""

    def __init__(self):
        super().__init__()
        self.architecture, self.skeleton = SimpleNamespace(num_classes=16), "MPII"
        self.score_threshold = 0.0
        self.register_buffer("mean", torch.zeros(3), persistent=False)
        self.channels = [SIDE_CHANNEL[MPII.side(joint)] for joint in MPII.joints]

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = nn.functional.avg_pool2d(images, 4)[:, self.channels]
        return [torch.full_like(maps, 9), maps]  # the last stack's is to be taken


class FlatLifter(nn.Module):
    """Lifts a joint at (x, y) px to (x, y) mm; the nose is at the head top."""

    input_places = "h36m"

    def forward(self, poses: Tensor) -> Tensor:
        flat = poses.new_zeros(len(poses), 17, 3)
        flat[:, H36M.indices(H36M_2D.joints), :2] = poses
        flat[:, H36M.index("nose")] = flat[:, H36M.index("head_top")]
        return flat


def color_network() -> StitchedNetwork:
    unchanged = Normalisation("dataset", torch.zeros(16, 2), torch.ones(16, 2), torch.zeros(17, 3), torch.ones(17, 3))
    return StitchedNetwork(ColorHourglass(), FlatLifter(), unchanged, image_scale="human36m").eval()


def spots(*places: tuple[int, int]) -> np.ndarray:
    """A (256, 256, 3) picture whose three channels each have a white cell at (x, y) of their heat map."""
    picture = np.zeros((256, 256, 3), np.uint8)
    for channel, (x, y) in enumerate(places):
        picture[4 * y : 4 * y + 4, 4 * x : 4 * x + 4, channel] = 255
    return picture


def by_side(skeleton, right, left, centre) -> Tensor:
    """One row per joint of `skeleton`; it depends on the joint's side only."""
    rows = {"r": right, "l": left, "c": centre}
    return torch.tensor([rows[skeleton.side(joint)] for joint in skeleton.joints], dtype=torch.float32)


PLACES = (5, 7), (50, 9), (30, 60)
MIDDLES = (21.5, 29.5), (201.5, 37.5), (121.5, 241.5)  # of the 4 × 4 cells, px of the crop
