"""A stitched network whose maps are the crop's colours and whose depth is known."""

import torch
from color_hourglass import ColorHourglass
from torch import Tensor, nn

from stitched.stitched_network import StitchedNetwork
from twod_threed.normalisation import Normalisation
from utils.transform import H36M, H36M_2D


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


CELLS = (5, 7), (50, 9), (30, 60)  # of a heat map: right, left, centre
MIDDLES = (21.5, 29.5), (201.5, 37.5), (121.5, 241.5)  # of the 4 × 4 cells, px of the crop
