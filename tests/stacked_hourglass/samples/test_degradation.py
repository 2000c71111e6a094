"""Blur, scale and JPEG against OpenCV, SciPy and libjpeg; erased rectangles; rates; parts of a minibatch."""

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from stacked_hourglass.samples.degradation import (
    Degradation,
    RandomErasing,
    blur,
    downscale,
    gaussian_matrices,
    jpeg,
    rescale_matrices,
)
from utils.compute.batch_parts import BatchGenerator, Part

OFF = Degradation()
ALL = Degradation(blur_prob=1, downscale_prob=1, jpeg_prob=1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photo(size: int = 64, seed: int = 0) -> torch.Tensor:
    """(1, 3, size, size): smooth colours with some edges, in whole grey levels."""
    rng = np.random.default_rng(seed)
    image = gaussian_filter(rng.uniform(0, 255, (3, size, size)), (0, 3, 3))
    image = (image - image.min()) / np.ptp(image) * 255
    image[:, size // 4 : size // 2, size // 3 :] = rng.integers(0, 256, (3, 1, 1))
    return torch.from_numpy(image.round()).float()[None] / 255


def test_blur_is_scipys_away_from_the_border():
    image = photo()
    blurred = blur(image.double(), torch.tensor([1.7], dtype=torch.float64))[0].numpy()
    expected = gaussian_filter(image[0].double().numpy(), (0, 1.7, 1.7), truncate=8)
    np.testing.assert_allclose(blurred[:, 16:-16, 16:-16], expected[:, 16:-16, 16:-16], atol=1e-6)


def test_rescaling_by_two_by_hand():
    # Small pixel i lies between 2 i and 2 i + 1; a triangle of half width 2 weighs 2 i - 1 ... 2 i + 2 by 1 3 3 1.
    matrix = rescale_matrices(torch.tensor([2.0]), 8)[0]
    small = np.array([[3, 3, 1, 0, 0, 0, 0, 0], [0, 1, 3, 3, 1, 0, 0, 0]], float)
    small /= small.sum(1, keepdims=True)
    np.testing.assert_allclose(matrix[0], small[0], atol=1e-6)
    np.testing.assert_allclose(matrix[1], 0.75 * small[0] + 0.25 * small[1], atol=1e-6)
    np.testing.assert_allclose(matrix[2], 0.25 * small[0] + 0.75 * small[1], atol=1e-6)


@given(st.floats(1, 8), st.floats(0, 5), st.sampled_from([16, 64]))
def test_matrices_are_means(factor, sigma, size):
    for matrix in (rescale_matrices(torch.tensor([factor]), size), gaussian_matrices(torch.tensor([sigma]), size)):
        assert matrix.min() >= 0
        torch.testing.assert_close(matrix.sum(-1), torch.ones(1, size), rtol=0, atol=1e-5)
        torch.testing.assert_close(matrix, matrix.flip(1, 2), rtol=0, atol=1e-5)


def test_no_blur_and_no_scale_change_nothing():
    image = photo()
    torch.testing.assert_close(blur(image, torch.zeros(1)), image, rtol=0, atol=1e-6)
    torch.testing.assert_close(downscale(image, torch.ones(1)), image, rtol=0, atol=1e-6)


def test_a_smaller_scale_loses_detail_and_keeps_the_rest():
    stripes = torch.zeros(2, 3, 64, 64)
    stripes[..., ::2] = 1
    scaled = downscale(stripes, torch.tensor([1.0, 4.0]))
    assert scaled[0].std() == pytest.approx(0.5, abs=0.01)
    assert scaled[1, :, 8:-8, 8:-8].std() < 0.03
    assert scaled[1].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("quality", [15, 40, 50, 80, 95])
def test_jpeg_is_libjpegs(quality):
    image = photo(128)
    pixels = (image[0] * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file)).astype(float)
    found = jpeg(image, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy() * 255
    lost = np.abs(expected - pixels).mean()
    assert np.abs(found - expected).mean() < 1
    assert np.abs(found - expected).mean() < 0.5 * lost


def test_rows_are_independent():
    images, strengths = torch.cat([photo(seed=1), photo(seed=2)]), torch.tensor([1.5, 3.0])
    for function, values in ((blur, strengths), (downscale, strengths), (jpeg, 20 * strengths)):
        both = function(images, values)
        for row in range(2):
            torch.testing.assert_close(both[row], function(images[row : row + 1], values[row : row + 1])[0])


def test_rates_and_ranges():
    images = photo(16).expand(2000, -1, -1, -1).contiguous()
    before = images.clone()
    for settings_ in (Degradation(blur_prob=0.3), Degradation(downscale_prob=0.3), Degradation(jpeg_prob=0.3)):
        changed = settings_(images, generator()) != images
        assert changed.any((1, 2, 3)).double().mean() == pytest.approx(0.3, abs=0.04)
    assert torch.equal(images, before)
    result = ALL(images, generator())
    assert result.min() >= 0
    assert result.max() <= 1
    assert not OFF
    assert torch.equal(OFF(images, generator()), images)


def test_the_draws_of_one_kind_do_not_depend_on_the_others():
    images = photo(32).expand(20, -1, -1, -1).contiguous()
    alone = Degradation(blur_prob=0.5)(images, generator(3))
    beside = Degradation(blur_prob=0.5, max_downscale=8, min_jpeg_quality=50)(images, generator(3))
    assert torch.equal(alone, beside)


@pytest.mark.parametrize("augment", [ALL, RandomErasing(0.7)])
def test_a_rank_draws_what_one_process_would(augment):
    images = photo(32).expand(6, -1, -1, -1).contiguous()
    whole = augment(images, BatchGenerator(part=Part(0, 6, 6)).manual_seed(5))
    for part in (Part(0, 3, 6), Part(3, 3, 6)):
        own = augment(images[part.rows], BatchGenerator(part=part).manual_seed(5))
        torch.testing.assert_close(own, whole[part.rows])


def test_erased_rectangles():
    images = torch.full((3000, 3, 32, 48), 0.25)
    images[:, :, 16:] = 0.75
    erased = RandomErasing(erase_prob=0.4, max_erased_area=0.2)(images, generator())
    changed = (erased != images).any(1)  # (B, H, W)
    hit = changed.any((1, 2))
    # A patch of the upside-down picture that is symmetric about the middle row changes nothing; that is rare.
    assert hit.double().mean() == pytest.approx(0.4, abs=0.03)
    rows, columns = changed.any(2), changed.any(1)
    filled = changed.sum((1, 2)) == rows.sum(1) * columns.sum(1)
    assert filled.all()  # rectangles
    area = changed[hit].sum((1, 2)) / (32 * 48)
    assert area.max() < 0.2 * 1.25  # whole pixels
    assert area.min() < 0.05
    colours = erased[hit].permute(0, 2, 3, 1)[changed[hit]]
    textured = ((colours == 0.25) | (colours == 0.75)).all(-1).double().mean()
    assert textured == pytest.approx(0.5, abs=0.08)
    for edge in (changed[:, 0], changed[:, -1], changed[:, :, 0], changed[:, :, -1]):
        assert edge.any()
    assert not RandomErasing()


def test_erasing_takes_the_picture_upside_down():
    image = torch.rand(1, 3, 32, 32, generator=generator(1))
    for seed in range(20):
        erased = RandomErasing(1, 0.3)(image, generator(seed))
        changed = (erased != image).any(1)[0]
        values = erased[0][:, changed]
        if not torch.equal(values, values[:, :1].expand_as(values)):
            assert torch.equal(values, image.flip(-2)[0][:, changed])
            return
    pytest.fail("no textured patch in 20 draws")


def test_double_precision_is_kept():
    image = photo(32).double()
    assert ALL(image, generator()).dtype == torch.float64
    assert RandomErasing(1)(image, generator()).dtype == torch.float64
    assert math.isfinite(ALL(image, generator()).sum())
