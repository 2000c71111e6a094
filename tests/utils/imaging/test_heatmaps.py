import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from utils.imaging.heatmaps import (
    DARK_SIGMA,
    LOCATION_TEMPERATURE,
    decode_dark,
    decode_heatmaps,
    flip_heatmaps,
    flip_test,
    location_loss,
    render_heatmaps,
    smooth_heatmaps,
)
from utils.transform import MPII

NAN, INF = math.nan, math.inf
both_labels = pytest.mark.parametrize("label_type", ["Gaussian", "Cauchy"])


def one_map(rows):
    """(1, 1, H, W) of a nested list."""
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def decode_one(rows):
    """x, y and score of one map."""
    points, scores = decode_heatmaps(one_map(rows))
    return (*points[0, 0].tolist(), scores.item())


# ------------------------------------------------------------------------------------------ rendering
def test_a_gaussian_by_hand():
    maps = render_heatmaps(torch.tensor([[[1.0, 2.0], [0.5, 0.0]]]), size=(4, 3), sigma=2.0)
    assert maps.shape == (1, 2, 4, 3)
    assert maps[0, 0, 2, 1] == 1
    assert maps[0, 0, 2, 2].item() == pytest.approx(math.exp(-1 / 8))
    assert maps[0, 0, 0, 0].item() == pytest.approx(math.exp(-5 / 8))  # d² = 1² + 2²
    assert maps[0, 1, 0, 0] == maps[0, 1, 0, 1]
    assert maps[0, 1, 0, 0].item() == pytest.approx(math.exp(-0.25 / 8))


def test_a_cauchy_by_hand():
    maps = render_heatmaps(torch.tensor([[[1.0, 2.0]]]), size=(4, 3), sigma=2.0, label_type="Cauchy")
    assert maps[0, 0, 2, 1] == 1
    assert maps[0, 0, 2, 2].item() == pytest.approx((4 / 5) ** 1.5)
    assert maps[0, 0, 0, 0].item() == pytest.approx((4 / 9) ** 1.5)


def test_a_cauchy_has_the_heavier_tails():
    gaussian, cauchy = (
        render_heatmaps(torch.tensor([[[32.0, 32.0]]]), label_type=t)[0, 0] for t in ("Gaussian", "Cauchy")
    )
    assert gaussian[32, 42] < 1e-20
    assert cauchy[32, 42] > 9e-4


@both_labels
def test_an_impulse_is_round_and_moves_with_the_joint(label_type):
    maps = render_heatmaps(torch.tensor([[[30.25, 20.5], [32.25, 25.5]]]), sigma=1.5, label_type=label_type)[0]
    torch.testing.assert_close(maps[1, 5:, 2:], maps[0, :-5, :-2])
    torch.testing.assert_close(maps[0, 20], maps[0, 21])
    swapped = render_heatmaps(torch.tensor([[[20.5, 30.25]]]), sigma=1.5, label_type=label_type)[0, 0]
    torch.testing.assert_close(swapped, maps[0].T)


@both_labels
def test_a_joint_outside_has_an_empty_map(label_type):
    outside = [[-0.51, 3], [5.51, 3], [2, -0.51], [2, 3.51], [NAN, 1], [1, NAN], [INF, 1], [1, -INF], [1e30, 1e30]]
    inside = [[-0.49, -0.49], [5.49, 3.49]]
    maps = render_heatmaps(torch.tensor([outside, inside + outside[:7]]), size=(4, 6), label_type=label_type)
    assert not maps[0].any()
    assert (maps[1, :2].amax((1, 2)) > 0.5).all()
    assert not maps[1, 2:].any()


@both_labels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_gradient(label_type, dtype):
    points = torch.tensor([[[3.2, 2.7], [4.0, 1.5]]], dtype=dtype, requires_grad=True)

    def render(points):
        return render_heatmaps(points, (6, 7), 1.3, label_type)

    maps = render(points)
    assert maps.dtype == dtype
    (gradient,) = torch.autograd.grad(maps[0, 0, 2, 4], points)
    assert gradient[0, 0, 0] > 0  # the pixel (4, 2) gains if the joint moves right
    assert gradient[0, 0, 1] < 0  # and loses if it moves down
    assert not gradient[0, 1].any()
    if dtype == torch.float64:
        assert torch.autograd.gradcheck(render, points)


def test_an_unknown_label_type_is_refused():
    with pytest.raises(ValueError, match="Laplace"):
        render_heatmaps(torch.zeros(1, 1, 2), label_type="Laplace")


# ------------------------------------------------------------------------------------------ decoding
def test_the_peak_moves_a_quarter_towards_the_higher_neighbour():
    rows = [
        [0, 0, 0, 0, 0],
        [0, 0, 3, 0, 0],
        [0, 1, 9, 2, 0],
        [0, 0, 4, 0, 0],
    ]
    assert decode_one(rows) == (2.25, 2.25, 9)
    assert decode_one(rows[::-1]) == (2.25, 0.75, 9)
    assert decode_one([row[::-1] for row in rows]) == (1.75, 2.25, 9)


def test_equal_neighbours_do_not_shift_the_peak():
    assert decode_one([[0, 1, 0], [2, 9, 2], [0, 1, 0]]) == (1, 1, 9)
    assert decode_one([[0, 0, 0], [2, 9, 1], [0, 1, 0]]) == (0.75, 1.25, 9)
    assert decode_one([[0, 1, 0], [2, 9, 1], [0, 1, 0]]) == (0.75, 1, 9)


def test_on_the_border_only_the_other_axis_shifts():
    assert decode_one([[0, 0, 0], [9, 5, 0], [3, 0, 0]]) == (0, 1.25, 9)
    assert decode_one([[0, 0, 0], [3, 0, 5], [0, 0, 9]]) == (2, 2, 9)
    assert decode_one([[1, 9, 2], [0, 0, 0]]) == (1.25, 0, 9)
    assert decode_one([[8, 9]]) == (1, 0, 9)
    assert decode_one([[7]]) == (0, 0, 7)
    # The next pixel in memory belongs to the next row.
    assert decode_one([[0, 0, 9], [9, 9, 9], [0, 0, 0]])[:2] == (2, 0)


def test_of_equal_peaks_the_first_counts():
    assert decode_one([[0, 0, 0, 0], [0, 9, 9, 0], [0, 9, 0, 0], [0, 0, 0, 0]]) == (1.25, 1.25, 9)
    assert decode_one([[0.0, 0.0], [0.0, 0.0]]) == (0, 0, 0)


def test_negative_maps_have_peaks_too():
    assert decode_one([[-5, -5, -5], [-2, -1, -3], [-5, -5, -5]]) == (0.75, 1, -1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_decoding_gives_float32(dtype):
    points, scores = decode_heatmaps(one_map([[0, 0, 0], [1, 4, 2], [0, 0, 0]]).to(dtype))
    assert (points.dtype, scores.dtype) == (torch.float32, torch.float32)
    assert points.tolist() == [[[1.25, 1]]]


def test_every_map_is_decoded_independently():
    maps = torch.rand(3, 5, 8, 9, generator=torch.Generator().manual_seed(0))
    points, scores = decode_heatmaps(maps)
    assert (points.shape, scores.shape) == ((3, 5, 2), (3, 5))
    assert (points[2, 4].tolist(), scores[2, 4].item()) == (
        list(decode_one(maps[2, 4].tolist())[:2]),
        maps[2, 4].max().item(),
    )


@given(
    x=st.floats(-0.49, 63.49), y=st.floats(-0.49, 47.49),
    sigma=st.sampled_from([0.7, 1.0, 2.0, 5.0]), label_type=st.sampled_from(["Gaussian", "Cauchy"]),
)  # fmt: skip
@settings(max_examples=200)
def test_a_rendered_joint_is_found_again(x, y, sigma, label_type):
    points, _ = decode_heatmaps(render_heatmaps(torch.tensor([[[x, y]]]), (48, 64), sigma, label_type))
    inner = 0.51 < x < 62.49 and 0.51 < y < 46.49
    # Inside a quarter pixel along each axis; on the border there is no shift.
    assert (points[0, 0] - torch.tensor([x, y])).abs().max() <= (0.2501 if inner else 0.5001)


# ------------------------------------------------------------------------------------------ smoothing
@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
def test_smoothing_is_a_gaussian_filter(sigma):
    maps = torch.rand(2, 3, 20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = gaussian_filter(maps.numpy(), sigma, axes=(2, 3), mode="constant", truncate=4)
    np.testing.assert_allclose(smooth_heatmaps(maps, sigma), expected, rtol=3e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_allclose(smooth_heatmaps(maps.float(), sigma), smooth_heatmaps(maps, sigma), rtol=1e-5)


# ------------------------------------------------------------------------------------------ DARK
@given(x=st.floats(12, 51), y=st.floats(12, 35), sigma=st.sampled_from([1.0, 2.0, 3.0]), height=st.floats(0.05, 3))
@settings(max_examples=100)
def test_dark_finds_the_centre_of_a_gaussian(x, y, sigma, height):
    """A smoothed Gaussian is one: its logarithm is a parabola, so the centre is exact, not a quarter pixel off."""
    maps = height * render_heatmaps(torch.tensor([[[x, y]]], dtype=torch.float64), (48, 64), sigma)
    points, scores = decode_dark(maps)
    assert points.dtype == scores.dtype == torch.float32
    assert (points[0, 0] - torch.tensor([x, y])).abs().max() < 0.01
    assert scores[0, 0] == pytest.approx(maps.max().item(), rel=1e-5)


def test_dark_takes_the_peak_with_the_most_around_it():
    maps = torch.zeros(1, 1, 24, 24)
    maps[0, 0, 4, 5] = 1.0  # alone
    maps[0, 0, 14:17, 15:18] = 0.5
    assert decode_heatmaps(maps)[0].tolist() == [[[5, 4]]]
    points, scores = decode_dark(maps)
    torch.testing.assert_close(points, torch.tensor([[[16.0, 15.0]]]))
    assert scores.item() == 0.5


def test_dark_by_hand():
    """Two pixels, 1 at (10, 8) and h at (11, 8): along x the smoothed map is e^(−u²/2σ²) + h e^(−(u−1)²/2σ²)."""
    h, s = 0.5, 2 * DARK_SIGMA**2
    maps = torch.zeros(1, 1, 16, 24)
    maps[0, 0, 8, 10], maps[0, 0, 8, 11] = 1.0, h
    before, at, after = (math.log(math.exp(-(u**2) / s) + h * math.exp(-((u - 1) ** 2) / s)) for u in (-1, 0, 1))
    expected = 10 - ((after - before) / 2) / (after + before - 2 * at)
    points, _ = decode_dark(maps)
    assert points[0, 0].tolist() == pytest.approx([expected, 8], abs=1e-4)


@pytest.mark.parametrize(("x", "y"), [(0, 5), (23, 5), (7, 0), (7, 15), (0, 0)])
def test_dark_does_not_move_a_peak_on_the_border(x, y):
    maps = torch.zeros(1, 1, 16, 24)
    maps[0, 0, y, x] = 1
    assert decode_dark(maps)[0].tolist() == [[[x, y]]]


@pytest.mark.parametrize("value", [0.0, -1.0, 1.0])
def test_dark_of_a_flat_map_is_in_it(value):
    points, scores = decode_dark(torch.full((2, 3, 8, 12), value))
    assert ((points >= 0) & (points <= torch.tensor([11, 7]))).all()
    assert (scores == value).all()


def test_dark_decodes_every_map_independently():
    maps = torch.rand(3, 5, 8, 9, generator=torch.Generator().manual_seed(0))
    points, scores = decode_dark(maps)
    point, score = decode_dark(maps[2:, 4:])
    torch.testing.assert_close(points[2, 4], point[0, 0])
    assert scores[2, 4] == score[0, 0]


# ------------------------------------------------------------------------------------------ flip test
def test_the_flip_mirrors_and_exchanges_sides():
    maps = torch.arange(12.0).reshape(1, 3, 2, 2)  # joints: right, left, centre
    flipped = flip_heatmaps(maps, [1, 0, 2])
    assert flipped.tolist() == [[[[5, 4], [7, 6]], [[1, 0], [3, 2]], [[9, 8], [11, 10]]]]


@given(seed=st.integers(0, 100), width=st.integers(1, 9))
@settings(max_examples=20)
def test_two_flips_change_nothing(seed, width):
    maps = torch.randn(2, 16, 5, width, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        flip_heatmaps(flip_heatmaps(maps, MPII.flip_order), MPII.flip_order), maps, rtol=0, atol=0
    )


def test_the_flip_test_by_hand():
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # right, left; 1 × 2 pixels
    mirrored = torch.tensor([[[[10.0, 20.0]], [[30.0, 40.0]]]])
    assert flip_test(maps, mirrored, np.array([1, 0])).tolist() == [[[[20.5, 16]], [[11.5, 7]]]]


def test_the_flip_test_agrees_with_targets_of_the_mirror_image():
    """The maps of a mirror image, flipped back, lie exactly on those of the picture: no shift by a pixel."""
    points = torch.rand(2, 16, 2, generator=torch.Generator().manual_seed(1)) * 60 + 1.5
    mirrored = points.clone()
    mirrored[..., 0] = 63 - mirrored[..., 0]
    mirrored = mirrored[:, torch.from_numpy(MPII.flip_order)]
    maps = render_heatmaps(points)
    torch.testing.assert_close(flip_test(maps, render_heatmaps(mirrored), MPII.flip_order), maps, rtol=0, atol=1e-5)


class TestLocationLoss:
    def test_an_empty_map_knows_nothing(self):
        """log of the number of places, whatever the target."""
        targets = render_heatmaps(torch.tensor([[[3.0, 5.0], [0.0, 0.0]]]), (8, 16), sigma=1.5)
        counted = torch.ones(1, 2, dtype=torch.bool)
        loss = location_loss(torch.full((1, 2, 8, 16), 0.7), targets, counted)
        assert loss.item() == pytest.approx(math.log(8 * 16), rel=1e-5)

    def test_by_hand(self):
        """Two places of equal height T log 3 above the two others have 3/8 each; the target is in one of them."""
        maps = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]) * LOCATION_TEMPERATURE * math.log(3)
        target = torch.tensor([[[[0.5, 0.0], [0.0, 0.0]]]])
        loss = location_loss(maps, target, torch.tensor([[True]]))
        assert loss.item() == pytest.approx(-math.log(3 / 8), rel=1e-5)

    def test_the_gradient_is_the_difference_of_the_distributions(self):
        targets = render_heatmaps(torch.tensor([[[2.0, 3.0]]], dtype=torch.float64), (6, 6))
        maps = torch.rand(1, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        location_loss(maps, targets, torch.tensor([[True]])).backward()
        found = (maps.detach().flatten() / LOCATION_TEMPERATURE).softmax(0)
        wanted = (found - targets.flatten() / targets.sum()) / LOCATION_TEMPERATURE
        torch.testing.assert_close(maps.grad.flatten(), wanted)

    def test_it_is_least_where_both_agree(self):
        targets = render_heatmaps(torch.tensor([[[2.0, 3.0]]]), (6, 6), sigma=2.0)
        counted = torch.tensor([[True]])
        agreeing = LOCATION_TEMPERATURE * (targets / targets.sum()).log()
        entropy = location_loss(agreeing, targets, counted)
        assert location_loss(agreeing + 5, targets, counted).item() == pytest.approx(entropy.item(), rel=1e-4)
        assert location_loss(agreeing.flip(-1), targets, counted) > entropy + 0.05

    def test_saturated_by_hand(self):
        """As in `test_by_hand`; the target has one place, so its entropy is 0."""
        maps = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]) * LOCATION_TEMPERATURE * math.log(3)
        target, counted = torch.tensor([[[[0.5, 0.0], [0.0, 0.0]]]]), torch.tensor([[True]])
        loss = location_loss(maps, target, counted, saturation=2.0)
        assert loss.item() == pytest.approx((1 - (3 / 8) ** 2) / 2, rel=1e-5)

    def test_what_the_network_is_sure_of_resists_a_wrong_label(self):
        targets = render_heatmaps(torch.tensor([[[10.0, 3.0]]], dtype=torch.float64), (16, 16), sigma=1.0)
        counted = torch.tensor([[True]])
        right = LOCATION_TEMPERATURE * (targets / targets.sum() + 1e-9).log()
        flat, sure = torch.zeros_like(right), right.flip(-1)
        gradients = {}
        for saturation in (0.0, 0.2):
            for name, start in (("flat", flat), ("sure", sure)):
                maps = start.clone().requires_grad_()
                location_loss(maps, targets, counted, saturation=saturation).backward()
                gradients[name, saturation] = maps.grad.norm().item()
        assert gradients["sure", 0.2] < 0.2 * gradients["sure", 0.0]
        assert gradients["flat", 0.2] > 0.3 * gradients["flat", 0.0]
        at_best = [location_loss(right, targets, counted, saturation=q).item() for q in (0.2, 2.0)]
        assert at_best == pytest.approx([0, 0], abs=1e-4)

    def test_joints_that_do_not_count(self):
        points = torch.tensor([[[2.0, 3.0], [1.0, 1.0], [-50.0, 0.0]]])  # the last is outside
        targets = render_heatmaps(points, (6, 6))
        maps = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
        alone = location_loss(maps[:, :1], targets[:, :1], torch.tensor([[True]]))
        torch.testing.assert_close(location_loss(maps, targets, torch.tensor([[True, False, True]])), alone)
        nothing = maps.clone().requires_grad_()
        loss = location_loss(nothing, targets, torch.zeros(1, 3, dtype=torch.bool))
        loss.backward()
        assert loss.item() == 0
        assert nothing.grad.abs().max() == 0
