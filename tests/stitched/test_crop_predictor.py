"""Crops to 2D and 3D poses, with a network whose maps are the crop's colours and whose depth is known."""

import pytest
import torch
from color_hourglass import ColorHourglass, by_side, crop
from color_network import CELLS, MIDDLES, FlatLifter, color_network
from torch import nn

from stitched.crop_predictor import StitchedPredictor
from utils.transform import H36M, MPII


@pytest.fixture
def network():
    return color_network()


def test_joints_come_out_in_photo_pixels_and_by_name_in_3d(network):
    matrices = torch.tensor([[[2.0, 0, 10], [0, 3, 20]]])
    joints, scores, lifted = StitchedPredictor(network)(crop(*CELLS), matrices)
    photo = [(2 * x + 10, 3 * y + 20) for x, y in MIDDLES]
    torch.testing.assert_close(joints[0], by_side(MPII, *photo), atol=0.05, rtol=0)
    assert torch.equal(scores, torch.ones(1, 16))
    hip = photo[2]
    expected = by_side(H36M, *[(x - hip[0], y - hip[1], 0) for x, y in photo])
    torch.testing.assert_close(lifted[0], expected, atol=0.1, rtol=0)
    assert not lifted[0, 0].any()


def test_the_flip_test_averages_maps_before_the_soft_argmax(network):
    """After the flip the maps of right and left joints have the cells of both sides at half height.

    The left cell is darker. The soft-argmax of the mean map lies nearer to the brighter cell, whereas the mean of the
    joints of the two passes would lie half-way.
    """
    picture = crop((20, 20), (23, 20), (40, 40))
    picture[:, 1] //= 2
    to_photo = torch.eye(2, 3)[None]
    joints, scores, _ = StitchedPredictor(network, flip=True)(picture, to_photo)
    right, left = (joints[0, MPII.index(name)] for name in ("r_knee", "l_knee"))
    torch.testing.assert_close(right, left)
    alone, _, _ = StitchedPredictor(network)(picture, to_photo)
    middle = (alone[0, MPII.index("r_knee")] + alone[0, MPII.index("l_knee")]) / 2
    assert right[0] < middle[0] - 2, "nearer to the brighter cell"
    maps = torch.zeros(1, 1, 64, 64)
    maps[..., 20, 20], maps[..., 20, 23] = 0.5, 127 / 510
    torch.testing.assert_close(right, network.soft_argmax(maps)[0, 0] * 4 + 1.5)
    assert scores[0, MPII.index("r_knee")] == 0.5


def test_nobody(network):
    found = StitchedPredictor(network)(torch.empty(0, 3, 256, 256, dtype=torch.uint8), torch.empty(0, 2, 3))
    assert [tuple(part.shape) for part in found] == [(0, 16, 2), (0, 16), (0, 17, 3)]


@pytest.mark.usefixtures("bf16_cpu")
def test_precision_and_compilation_are_passed_on(network, monkeypatch):
    compiled, seen = [], []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(type(self)))
    network.hourglass.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    arguments = crop(*CELLS), torch.eye(2, 3)[None]
    found = StitchedPredictor(network, "bf16", compiled=True)(*arguments)
    assert all(part.dtype == torch.float32 for part in found)
    StitchedPredictor(network)(*arguments)
    assert compiled == [ColorHourglass, FlatLifter]
    assert seen == [True, False]
