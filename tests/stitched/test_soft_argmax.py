"""Soft-argmax against its definition, written out pixel by pixel; its gradient; unusual maps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from stitched import SoftArgmax1D, SoftArgmax2D
from utils.imaging.heatmaps import hard_maximum

EVERY_WINDOW = (None, "Parzen", "Uniform")
each_window = pytest.mark.parametrize("window_fn", EVERY_WINDOW)


def window_height(distance, window_fn, width):
    h = width / 2
    if window_fn is None:
        return 1.0
    if distance > h:
        return 0.0
    if window_fn == "Uniform":
        return 1.0
    part = distance / h
    return 1 - 6 * part**2 * (1 - part) if distance <= h / 2 else 2 * (1 - part) ** 3


def by_definition(one_map, base_index=0, step_size=1, window_fn=None, window_width=10, softmax_temp=1.0):
    """x, y of one (H, W) map, pixel by pixel."""
    height, width = one_map.shape
    top = max(range(height * width), key=lambda i: (one_map[divmod(i, width)], -i))
    top_y, top_x = divmod(top, width)
    total = sum_x = sum_y = 0.0
    for y in range(height):
        for x in range(width):
            softmax = math.exp((one_map[y, x] - one_map[top_y, top_x]) / softmax_temp)
            weight = softmax * window_height(math.hypot(y - top_y, x - top_x), window_fn, window_width)
            total, sum_x, sum_y = total + weight, sum_x + weight * x, sum_y + weight * y
    return base_index + step_size * sum_x / total, base_index + step_size * sum_y / total


def random_maps(*shape, seed=0, dtype=torch.float64):
    """Maps without equal pixels."""
    order = torch.randperm(math.prod(shape), generator=torch.Generator().manual_seed(seed))
    return (order.to(dtype) / max(len(order), 1)).reshape(shape)


# ------------------------------------------------------------------------------------------ values
def test_a_small_row_by_hand():
    row = torch.tensor([[0.0, math.log(2)]])
    assert SoftArgmax1D()(row).item() == pytest.approx(2 / 3)
    assert SoftArgmax1D(softmax_temp=0.5)(row).item() == pytest.approx(4 / 5)
    assert SoftArgmax1D(base_index=10, step_size=3)(row).item() == pytest.approx(12)


def test_a_parzen_window_by_hand():
    row = torch.tensor([2.0, 8.0, 4.0, 100.0]).log()[None, :3]  # the window is 1/4, 1, 1/4
    parzen = SoftArgmax1D(window_fn="Parzen", window_width=4)
    assert parzen(row).item() == pytest.approx((8 * 1 + 1 * 2) / (0.5 + 8 + 1))


def test_x_comes_before_y():
    maps = torch.zeros(1, 2, 4, 6)
    maps[0, 0, 1, 4] = maps[0, 1, 3, 0] = 100
    for window_fn in EVERY_WINDOW:
        places = SoftArgmax2D(window_fn=window_fn, window_width=4)(maps)
        torch.testing.assert_close(places, torch.tensor([[[4.0, 1.0], [0.0, 3.0]]]))


@settings(max_examples=150)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 1000),
    window_fn=st.sampled_from(EVERY_WINDOW),
    window_width=st.sampled_from([0.5, 1, 2, 3, 4.5, 5, 2 * math.sqrt(2), 10, 30]),
    softmax_temp=st.floats(0.02, 5),
    base_index=st.sampled_from([0, 1, -2.5]),
    step_size=st.sampled_from([1, 4, 0.25]),
)
def test_it_equals_its_definition(size, seed, **arguments):
    maps = random_maps(3, *size, seed=seed)
    maps[1] = (maps[1] * 3).round()  # with equal maxima
    expected = [by_definition(one.numpy(), **arguments) for one in maps]
    soft_argmax = SoftArgmax2D(**arguments)
    np.testing.assert_allclose(soft_argmax(maps), expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(soft_argmax(maps.float()), expected, atol=1e-5 * max(1, arguments["step_size"]), rtol=0)
    rows = [by_definition(one[:1].numpy(), **arguments)[0] for one in maps]
    np.testing.assert_allclose(SoftArgmax1D(**arguments)(maps[:, 0]), rows, atol=1e-5, rtol=0)


@each_window
def test_heat_maps_of_full_size(window_fn):
    arguments = {"window_fn": window_fn, "softmax_temp": 0.05}
    maps = random_maps(1, 3, 64, 64)
    expected = [by_definition(one.numpy(), **arguments) for one in maps[0]]
    np.testing.assert_allclose(SoftArgmax2D(**arguments)(maps)[0], expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(SoftArgmax2D(**arguments)(maps.float())[0], expected, atol=1e-5, rtol=0)


def test_a_uniform_window_is_a_disc_with_its_edge():
    maps = torch.zeros(7, 7, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        maps[3, 3] = 0.1
    SoftArgmax2D(window_fn="Uniform", window_width=4)(maps)[0].backward()
    touched = [[dy * dy + dx * dx <= 4 and dx != 0 for dx in range(-3, 4)] for dy in range(-3, 4)]
    assert ((maps.grad.abs() > 1e-3) == torch.tensor(touched)).all()  # the middle column does not pull along x


@pytest.mark.parametrize("window_fn", ["Parzen", "Uniform"])
def test_nothing_outside_the_window_matters(window_fn):
    maps = random_maps(2, 3, 20, 24)
    soft_argmax = SoftArgmax2D(window_fn=window_fn, window_width=6)
    top = hard_maximum(maps.flatten(0, 1)).reshape(2, 3, 1, 1, 2)
    y, x = torch.meshgrid(torch.arange(20), torch.arange(24), indexing="ij")
    far = (torch.stack([x, y], -1) - top).double().norm(dim=-1) > 3
    assert torch.equal(soft_argmax(maps), soft_argmax(maps.masked_fill(far, -math.inf)))


def test_the_first_of_equal_maxima_counts():
    flat = SoftArgmax2D(window_fn="Uniform", window_width=1)
    assert flat(torch.zeros(5, 5)).tolist() == [0, 0]
    maps = torch.zeros(5, 5)
    maps[1, 4] = maps[2, 0] = 1
    assert flat(maps).tolist() == [4, 1]


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 1000), st.integers(1, 4))
def test_the_hard_maximum_is_argmax(height, width, seed, levels):
    maps = torch.randint(levels, (4, height, width), generator=torch.Generator().manual_seed(seed)).float()
    index = torch.from_numpy(maps.flatten(1).numpy().argmax(1))
    assert torch.equal(hard_maximum(maps), torch.stack([index % width, index // width], 1))


# ------------------------------------------------------------------------------------------ smoothing
@each_window
def test_smoothing_comes_first(window_fn):
    maps = random_maps(2, 3, 12, 15)
    smooth = gaussian_filter(maps.numpy(), 1.5, axes=(2, 3), mode="constant", truncate=4)
    found = SoftArgmax2D(window_fn=window_fn, softmax_temp=0.1, smoothing=1.5)(maps)
    expected = SoftArgmax2D(window_fn=window_fn, softmax_temp=0.1)(smooth)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert (found - SoftArgmax2D(window_fn=window_fn, softmax_temp=0.1)(maps)).abs().max() > 0.1


def test_smoothing_finds_the_peak_with_the_most_around_it():
    maps = torch.zeros(1, 24, 24)
    maps[0, 4, 5] = 1.0  # alone
    maps[0, 14:17, 15:18] = 0.5
    how = {"window_fn": "Parzen", "softmax_temp": 0.05}
    torch.testing.assert_close(SoftArgmax2D(**how)(maps), torch.tensor([[5.0, 4.0]]))
    torch.testing.assert_close(SoftArgmax2D(**how, smoothing=1.0)(maps), torch.tensor([[16.0, 15.0]]))


@pytest.mark.parametrize("shift", [0.2, 0.3, 0.4])
def test_smoothing_places_a_narrow_peak_between_pixels(shift):
    """Of height 1 and σ = 1 px, which a small temperature draws to the nearest pixel."""
    x = torch.arange(32.0)
    maps = torch.exp(-((x - 15 - shift) ** 2 + (x[:, None] - 15) ** 2) / 2)[None]
    how = {"window_fn": "Parzen", "softmax_temp": 0.05}
    sharp, smooth = (SoftArgmax2D(**how, smoothing=sigma)(maps)[0] for sigma in (0.0, 1.0))
    assert sharp[1] == pytest.approx(15, abs=1e-4)
    assert smooth[1] == pytest.approx(15, abs=1e-4)
    assert abs(smooth[0] - 15 - shift) < 0.1 < abs(sharp[0] - 15 - shift)


# ------------------------------------------------------------------------------------------ gradients
@each_window
@pytest.mark.parametrize("size", [(5, 4), (1, 9), (3, 2)])
def test_gradcheck(window_fn, size):
    arguments = {"window_fn": window_fn, "window_width": 5, "softmax_temp": 0.3, "base_index": 1, "step_size": 2}
    maps = random_maps(1, 2, *size).requires_grad_()
    assert torch.autograd.gradcheck(SoftArgmax2D(**arguments), maps)
    assert torch.autograd.gradgradcheck(SoftArgmax2D(**arguments), maps)
    assert torch.autograd.gradcheck(SoftArgmax2D(**arguments, smoothing=0.7), maps)
    row = random_maps(3, size[1]).requires_grad_()
    assert torch.autograd.gradcheck(SoftArgmax1D(**arguments), row)


def test_the_gradient_by_hand():
    """The derivative of the result p with respect to pixel i is q_i (i - p) / T."""
    row = torch.tensor([0.0, math.log(2), 0.0], requires_grad=True)
    SoftArgmax1D(softmax_temp=0.5)(row).backward()  # q is 1/6, 4/6, 1/6 and p = 1
    torch.testing.assert_close(row.grad, torch.tensor([-1 / 3, 0.0, 1 / 3]))


# ------------------------------------------------------------------------------------------ types and shapes
@each_window
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_maps_are_evaluated_in_single_precision(window_fn, dtype):
    maps = random_maps(2, 3, 64, 64, dtype=torch.float32).to(dtype).requires_grad_()
    soft_argmax = SoftArgmax2D(window_fn=window_fn, softmax_temp=0.05)
    places = soft_argmax(maps)
    assert places.dtype == torch.float32
    torch.testing.assert_close(places, soft_argmax(maps.float()), atol=1e-5, rtol=0)
    places.sum().backward()
    assert maps.grad.isfinite().all()
    assert maps.grad.abs().sum() > 0
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(soft_argmax(maps), places, atol=1e-5, rtol=0)
    torch.testing.assert_close(soft_argmax.to(dtype)(maps), places, atol=1e-5, rtol=0)


@each_window
def test_matrix_products_in_bf16_do_not_round_positions(window_fn, monkeypatch):
    maps, soft_argmax = random_maps(2, 3, 64, 64), SoftArgmax2D(window_fn=window_fn, softmax_temp=0.05)
    places = soft_argmax(maps)
    monkeypatch.setattr(torch.Tensor, "__matmul__", None)  # which CPUs without bf16 would not round
    products = torch.backends.mkldnn.matmul
    before, products.fp32_precision = products.fp32_precision, "bf16"
    try:
        torch.testing.assert_close(soft_argmax(maps), places, atol=1e-5, rtol=0)
    finally:
        products.fp32_precision = before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@each_window
def test_the_window_follows_the_maps_to_a_gpu(window_fn):
    maps, soft_argmax = random_maps(2, 3, 20, 20), SoftArgmax2D(window_fn=window_fn)
    with torch.inference_mode():
        places = soft_argmax(maps.cuda()).cpu()
    torch.testing.assert_close(places, soft_argmax(maps))
    on_gpu = maps.cuda().requires_grad_()
    soft_argmax(on_gpu).sum().backward()
    assert on_gpu.grad.abs().sum() > 0


@each_window
def test_any_leading_shape_and_memory_layout(window_fn):
    soft_argmax = SoftArgmax2D(window_fn=window_fn, window_width=6)
    maps = random_maps(2, 3, 8, 9)
    places = soft_argmax(maps)
    assert torch.equal(soft_argmax(maps[1, 2]), places[1, 2])
    assert torch.equal(soft_argmax(maps[None]), places[None])
    assert torch.equal(soft_argmax(maps.to(memory_format=torch.channels_last)), places)
    assert soft_argmax(maps[:0]).shape == (0, 3, 2)
    assert SoftArgmax1D(window_fn=window_fn)(maps).shape == (2, 3, 8)


def test_training_after_inference_mode():
    soft_argmax, maps = SoftArgmax2D(window_fn="Parzen"), random_maps(1, 8, 8)
    with torch.inference_mode():
        soft_argmax(maps)
    soft_argmax(maps.requires_grad_()).sum().backward()
    fresh = maps.detach().clone().requires_grad_()
    SoftArgmax2D(window_fn="Parzen")(fresh).sum().backward()
    assert torch.equal(maps.grad, fresh.grad)
    assert maps.grad.any()


# ------------------------------------------------------------------------------------------ unusual maps
@each_window
def test_a_map_that_is_not_finite(window_fn):
    """A map with NaN or +inf, or of only -inf, gives NaN for itself; a pixel of -inf has no weight."""
    maps = random_maps(5, 12, 12)
    expected = SoftArgmax2D(window_fn=window_fn, window_width=6)(maps)
    maps[0, 11, 0] = math.nan
    maps[1, 3, 7] = math.inf
    maps[2] = -math.inf
    places = SoftArgmax2D(window_fn=window_fn, window_width=6)(maps)
    assert places[:3].isnan().all()
    assert torch.equal(places[3:], expected[3:])
    smoothing = SoftArgmax2D(window_fn=window_fn, window_width=6, smoothing=1.0)
    assert smoothing(maps)[:3].isnan().all()
    assert torch.equal(smoothing(maps)[3:], smoothing(maps[3:]))
    low, lowest = maps[4].clone(), maps[4].clone()
    low[maps[4] < 0.5], lowest[maps[4] < 0.5] = -1e9, -math.inf
    lowest.requires_grad_()
    place = SoftArgmax2D(window_fn=window_fn, window_width=6)(lowest)
    torch.testing.assert_close(place, SoftArgmax2D(window_fn=window_fn, window_width=6)(low))
    place.sum().backward()
    assert lowest.grad.isfinite().all()


@each_window
def test_large_values_do_not_overflow(window_fn):
    maps = 1e4 * random_maps(2, 9, 9, dtype=torch.float32)
    places = SoftArgmax2D(window_fn=window_fn, softmax_temp=0.01)(maps)
    assert torch.equal(places, hard_maximum(maps).float())


@each_window
def test_a_constant_added_to_a_map_changes_nothing(window_fn):
    """Also in single precision, with values of thousands and a small temperature."""
    maps = torch.randint(64, (3, 20, 20), generator=torch.Generator().manual_seed(0)) / 64
    soft_argmax = SoftArgmax2D(window_fn=window_fn, softmax_temp=0.01)
    torch.testing.assert_close(soft_argmax(maps + 4096), soft_argmax(maps), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"window_fn": "Hann"}, "window_fn 'Hann': expected None, 'Parzen' or 'Uniform'"),
        ({"window_width": 0}, "window_width 0: expected a number above 0"),
        ({"softmax_temp": -1.0}, r"softmax_temp -1.0: expected a number above 0"),
        ({"softmax_temp": math.nan}, "softmax_temp nan"),
        ({"smoothing": -1}, "smoothing -1: expected 0 or a number above"),
        ({"smoothing": math.nan}, "smoothing nan"),
    ],
)
def test_wrong_arguments_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        SoftArgmax2D(**arguments)


def test_settings_make_an_equal_module():
    shape = {"base_index": 1, "step_size": 4, "window_fn": "Parzen", "window_width": 7.0}
    one = SoftArgmax2D(**shape, softmax_temp=0.2, smoothing=0.5)
    other = SoftArgmax2D(**one.settings())
    assert other.settings() == one.settings()
    assert repr(one).startswith("SoftArgmax2D(base_index=1, step_size=4, window_fn=Parzen, window_width=7.0")
    assert repr(one).endswith("softmax_temp=0.2, smoothing=0.5)")
    assert "smoothing" not in repr(SoftArgmax2D())
    assert not one.state_dict()


# ------------------------------------------------------------------------------------------ arrays and devices
@each_window
def test_arrays_give_arrays(window_fn):
    maps = random_maps(2, 3, 9, 8)
    for kind in (torch.float64, torch.float32):
        found = SoftArgmax2D(window_fn=window_fn)(maps.to(kind).numpy())
        expected = SoftArgmax2D(window_fn=window_fn)(maps.to(kind)).numpy()
        assert isinstance(found, np.ndarray)
        assert (found.shape, found.dtype) == ((2, 3, 2), expected.dtype)
        np.testing.assert_array_equal(found, expected)
    row = SoftArgmax1D(window_fn=window_fn)(maps[0, 0].numpy())
    np.testing.assert_array_equal(row, SoftArgmax1D(window_fn=window_fn)(maps[0, 0]).numpy())


@pytest.mark.parametrize(
    ("maps", "error", "says"),
    [
        ([[0.0, 1.0]], TypeError, "expected a numeric NumPy array or a tensor, got a list"),
        (np.array([["a"]]), TypeError, "expected a numeric NumPy array or a tensor, got an array of <U1"),
        (np.zeros(3), ValueError, r"maps have shape \(3,\): expected \(\.\.\., H, W\)"),
    ],
)
def test_other_maps_are_refused(maps, error, says):
    with pytest.raises(error, match=says):
        SoftArgmax2D()(maps)


def test_one_module_takes_maps_of_changing_size():
    """What is cached for one size is not used for another: 6 × 9, 9 × 6, and 6 × 9 again, also when traced."""
    soft_argmax = SoftArgmax2D(window_fn="Parzen", window_width=6)
    for size in ((6, 9), (9, 6), (6, 9)):
        maps = random_maps(2, *size)
        expected = SoftArgmax2D(window_fn="Parzen", window_width=6)(maps)
        assert torch.equal(soft_argmax(maps), expected)
        traced = torch.export.export(soft_argmax, (maps,)).module()
        assert torch.equal(traced(maps), expected)
        assert torch.equal(soft_argmax(maps), expected)


def test_the_window_is_on_the_maps_device():
    """Also after maps on the meta device, for which a window without values is cached."""
    soft_argmax, maps = SoftArgmax2D(window_fn="Parzen"), random_maps(2, 9, 9)
    expected = soft_argmax(maps)
    assert soft_argmax(maps.to("meta")).device.type == "meta"
    assert SoftArgmax2D(window_fn="Parzen", smoothing=1.0)(maps.to("meta")).shape == (2, 2)
    assert torch.equal(soft_argmax(maps), expected)
