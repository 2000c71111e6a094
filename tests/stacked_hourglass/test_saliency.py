"""Saliency maps: known exactly for a linear network, by differences for an hourglass."""

import pytest
import torch
from torch import Tensor, nn

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.saliency import SALIENCY_KINDS, joint_scores, saliency_maps

COLORS = torch.tensor([[1.0, -3.0, 2.0], [0.0, 0.5, -0.25]])  # of two joints, for red, green and blue


class LinearMaps(nn.Module):
    """The last stack's maps are mixtures of the colours, averaged over cells of 4 × 4 px."""

    def __init__(self):
        super().__init__()
        self.colors = nn.Parameter(COLORS.clone())

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = torch.einsum("jc,bcyx->bjyx", self.colors, nn.functional.avg_pool2d(images, 4))
        return [-7 * maps, maps]


@pytest.fixture(scope="module")
def hourglass():
    """An hourglass whose maps have positive and negative values."""
    torch.manual_seed(0)
    network = HourglassNet(Architecture(stacks=2, features=8, num_classes=3)).double().eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.45
    with torch.no_grad():
        network.score[-1].bias -= network(images)[-1].mean((0, 2, 3))
    return network


@pytest.fixture(scope="module")
def crops():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.45


def cell_of_color(value, channel, x, y):
    images = torch.zeros(1, 3, 32, 32)
    images[0, channel, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = value
    return images


# ------------------------------------------------------------------------------------------ S
def test_scores_and_their_gradients_by_hand():
    maps = torch.tensor([[[[1.0, -2.0], [3.0, 0.0]]]], requires_grad=True)
    for kind, value, gradient in (("sum", 10, [[1, 0], [3, 0]]), ("max", 3, [[0, 0], [1, 0]])):
        score = joint_scores(maps, kind)
        assert score.tolist() == [[value]]
        [found] = torch.autograd.grad(score.sum(), maps)
        assert found[0, 0].tolist() == gradient


def test_of_equal_peaks_one_has_the_gradient():
    maps = torch.ones(1, 1, 2, 2, requires_grad=True)
    [gradient] = torch.autograd.grad(joint_scores(maps, "max").sum(), maps)
    assert sorted(gradient.flatten().tolist()) == [0, 0, 0, 1]


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="'mean': choose one of sum, max"):
        joint_scores(torch.zeros(1, 1, 2, 2), "mean")


# ------------------------------------------------------------------------------------------ a linear network
def test_a_linear_network_by_its_peak():
    """A peak of joint 0 at cell (5, 2): the largest of 1, |-3| and 2, over the 16 px of the cell."""
    maps, saliency = saliency_maps(LinearMaps().eval(), cell_of_color(1.0, 2, x=5, y=2), "max")
    assert maps.shape == (1, 2, 8, 8)
    assert saliency.shape == (1, 2, 32, 32)
    expected = torch.zeros(32, 32)
    expected[8:12, 20:24] = 3 / 16
    torch.testing.assert_close(saliency[0, 0], expected)
    torch.testing.assert_close(maps[0, :, 2, 5], torch.tensor([2.0, -0.25]))
    # Joint 1 has a negative value there; its highest is 0, in one cell of the rest.
    assert saliency[0, 1, 8:12, 20:24].max() == 0
    assert saliency[0, 1].unique().tolist() == [0, 0.5 / 16]


def test_a_linear_network_by_the_weighted_sum():
    """Cells are weighted by their values, negative ones by 0.

    Blue 1, blue 0.25 and green 1 give joint 0 the values 2, 0.5 and -3, and joint 1 -0.25, -0.06 and 0.5.
    """
    images = cell_of_color(1.0, 2, x=5, y=2) + cell_of_color(0.25, 2, x=0, y=7) + cell_of_color(1.0, 1, x=3, y=3)
    _, saliency = saliency_maps(LinearMaps().eval(), images, "sum")
    expected = torch.zeros(2, 32, 32)
    expected[0, 8:12, 20:24] = 2 * 3 / 16
    expected[0, 28:32, 0:4] = 0.5 * 3 / 16
    expected[1, 12:16, 12:16] = 0.5 * 0.5 / 16
    torch.testing.assert_close(saliency[0], expected)


# ------------------------------------------------------------------------------------------ an hourglass
def test_an_hourglass_by_differences(hourglass, crops):
    """A step of one pixel and channel changes S by its gradient times the step; the map has the largest channel's."""
    images = crops[:1]
    with torch.no_grad():
        weights = hourglass(images)[-1].clamp(min=0)
    assert ((weights > 0).float().mean((-2, -1)) > 0.1).all()

    def scores(pictures, kind):
        with torch.no_grad():
            maps = hourglass(pictures)[-1]
        return (weights * maps).sum((-2, -1)) if kind == "sum" else maps.amax((-2, -1))

    for kind in SALIENCY_KINDS:
        _, saliency = saliency_maps(hourglass, images, kind)
        assert saliency.shape == (1, 3, 64, 64)
        for pixel in saliency[0].amax(0).flatten().argsort(descending=True)[[0, 5, 50]].tolist():
            y, x = divmod(pixel, 64)
            slopes = []
            for channel in range(3):
                step = torch.zeros_like(images)
                step[0, channel, y, x] = 1e-6
                slopes.append((scores(images + step, kind) - scores(images - step, kind))[0] / 2e-6)
            torch.testing.assert_close(torch.stack(slopes).abs().amax(0), saliency[0, :, y, x], rtol=1e-3, atol=1e-7)


def test_a_joint_without_positive_values_has_an_empty_map_of_the_sum():
    """The crop is blue, for which joint 1 has a negative weight; its highest pixel still depends on the crop."""
    images = torch.ones(1, 3, 32, 32) * torch.tensor([0.0, 0.0, 1.0])[:, None, None]
    network = LinearMaps().eval()
    assert (saliency_maps(network, images, "sum")[1].amax((-2, -1)) > 0).tolist() == [[True, False]]
    assert (saliency_maps(network, images, "max")[1].amax((-2, -1)) > 0).all()


def test_crops_of_a_batch_are_independent(hourglass, crops):
    maps, saliency = saliency_maps(hourglass, crops)
    for number in range(2):
        alone_maps, alone = saliency_maps(hourglass, crops[number : number + 1])
        torch.testing.assert_close(maps[number : number + 1], alone_maps)
        torch.testing.assert_close(saliency[number : number + 1], alone)
    assert (saliency.amax((-2, -1)) > 0).all()
    assert not torch.equal(saliency[:, 0], saliency[:, 1])


def test_nothing_is_left_behind(hourglass, crops):
    images = crops.clone()
    with torch.no_grad():  # as the caller may have set
        maps, saliency = saliency_maps(hourglass, images)
        assert not torch.is_grad_enabled()
    assert not maps.requires_grad
    assert not saliency.requires_grad
    assert not images.requires_grad
    assert all(parameter.grad is None for parameter in hourglass.parameters())


def test_training_mode_is_refused(hourglass, crops):
    hourglass.train()
    try:
        with pytest.raises(ValueError, match="training mode"):
            saliency_maps(hourglass, crops)
    finally:
        hourglass.eval()
