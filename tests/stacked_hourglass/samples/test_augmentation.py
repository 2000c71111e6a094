from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stacked_hourglass.samples.augmentation import RandomMasking, draw_geometry, jitter_colour

MEAN = torch.tensor([0.2, 0.5, 0.7])
ALWAYS = RandomMasking(mask_prob=1, orientation_prob=0.5, mean_valued_prob=0.5, max_cover_ratio=0.5, noise_std=0.05)
SIZE = 48
LOW, HIGH = (6.0, 10.0), (42.0, 38.0)  # the person's box, x and y


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures of 0.9 (a value that no fill has), joints that span the box, and a distant one that is not annotated."""
    images = torch.full((count, 3, SIZE, SIZE), 0.9, dtype=dtype)
    joints = torch.tensor([[LOW[0], 20.0], [HIGH[0], 30.0], [20.0, LOW[1]], [30.0, HIGH[1]], [-900.0, 900.0]])
    annotated = torch.tensor([True, True, True, True, False])
    return images, joints.expand(count, 5, 2), annotated.expand(count, 5)


def mask(masking: RandomMasking, count: int = 300, seed: int = 0):
    """Masked pictures, where they changed (B, H, W), and per picture whether the bar is vertical, horizontal."""
    images, joints, annotated = batch(count)
    masked = masking(images, joints, annotated, MEAN, generator(seed))
    changed = (masked != images).any(1)
    bar = changed.any((1, 2))
    full_columns = bar & (changed.any(1) == changed.all(1)).all(-1)
    full_rows = bar & (changed.any(2) == changed.all(2)).all(-1)
    return masked, changed, full_columns, full_rows


# ------------------------------------------------------------------------------------------ geometry and colour


def test_geometry_has_the_stated_ranges_and_rates():
    rng = np.random.default_rng(0)
    scale, rotation, flip = map(np.array, zip(*(draw_geometry(rng) for _ in range(20_000)), strict=True))
    assert scale.min() == 0.75
    assert scale.max() == 1.25
    assert scale.mean() == pytest.approx(1, abs=0.005)
    # Cut off at one deviation: 31.7 % of the draws lie on the two ends.
    assert np.isin(scale, (0.75, 1.25)).mean() == pytest.approx(0.317, abs=0.012)
    assert rotation.min() == -60
    assert rotation.max() == 60
    assert rotation.mean() == pytest.approx(0, abs=0.7)
    assert (rotation == 0).mean() == pytest.approx(0.4, abs=0.012)
    turned = rotation[rotation != 0]
    assert (np.abs(turned) < 30).mean() == pytest.approx(0.683, abs=0.015)  # one deviation of a normal
    assert (np.abs(turned) == 60).mean() == pytest.approx(0.0455, abs=0.007)  # beyond two
    assert flip.mean() == pytest.approx(0.5, abs=0.012)
    assert abs(np.corrcoef([scale, rotation, flip]) - np.eye(3)).max() < 0.03


def test_geometry_is_plain_numbers_of_the_generator():
    first, second = (draw_geometry(np.random.default_rng([3, 1, 4])) for _ in range(2))
    assert first == second
    assert [type(value) for value in first] == [float, float, bool]


@given(st.integers(0, 2**40), st.sampled_from([torch.float32, torch.float64]))
def test_jitter_scales_channels_within_bounds(seed, dtype):
    images = torch.rand(4, 3, 5, 6, generator=generator(seed), dtype=dtype)
    before = images.clone()
    jittered = jitter_colour(images, generator(seed))
    assert torch.equal(images, before)
    assert jittered.dtype == dtype
    assert jittered.max() <= 1
    gains = (jittered / before).masked_fill((before == 0) | (jittered == 1), torch.nan)
    gain = gains.nanmean((-2, -1), keepdim=True)
    assert (
        (gains - gain).nan_to_num().abs() < 1e-5
    ).all()  # one gain per channel, except where values were clipped at 1
    assert gain.nan_to_num(1).sub(1).abs().max() <= 0.2 + 1e-5


def test_jitter_is_drawn_for_every_channel_of_every_picture():
    grey = torch.full((200, 3, 1, 1), 0.5)
    gains = jitter_colour(grey, generator())[..., 0, 0] / 0.5
    assert gains.unique().numel() > 590
    assert gains.min() == pytest.approx(0.8, abs=0.005)
    assert gains.max() == pytest.approx(1.2, abs=0.005)
    assert gains.mean() == pytest.approx(1, abs=0.02)
    assert torch.equal(gains, jitter_colour(grey, generator())[..., 0, 0] / 0.5)
    assert not torch.equal(gains, jitter_colour(grey, generator(1))[..., 0, 0] / 0.5)


# ------------------------------------------------------------------------------------------ masks


@pytest.mark.parametrize("probability", [0, 0.3, 1])
def test_mask_prob_is_the_share_of_pictures_with_a_mask(probability):
    _, changed, *_ = mask(replace(ALWAYS, mask_prob=probability), count=1000)
    share = changed.any((1, 2)).float().mean().item()
    # A bar thinner than a pixel may fall between two: lengths are uniform up to 14 or 18 px, so 1 in 28 or 36 does.
    assert share == pytest.approx(0.968 * probability, abs={0: 0, 0.3: 0.05, 1: 0.02}[probability])


@pytest.mark.parametrize("probability", [0, 0.3, 1])
def test_orientation_prob_is_the_share_of_vertical_bars(probability):
    _, changed, vertical, horizontal = mask(replace(ALWAYS, orientation_prob=probability), count=1000)
    bars = changed.any((1, 2))
    assert torch.equal(vertical | horizontal, bars)
    assert not (vertical & horizontal).any()
    slack = 0.05 if 0 < probability < 1 else 0
    assert (vertical.sum() / bars.sum()).item() == pytest.approx(probability, abs=slack)


@pytest.mark.parametrize("probability", [0, 0.3, 1])
def test_mean_valued_prob_is_the_share_of_plain_bars(probability):
    masked, changed, *_ = mask(replace(ALWAYS, mean_valued_prob=probability), count=1000)
    bars = changed.any((1, 2))
    plain = ((masked == MEAN[:, None, None]).all(1) | ~changed).all(-1).all(-1) & bars
    slack = 0.05 if 0 < probability < 1 else 0
    assert (plain.sum() / bars.sum()).item() == pytest.approx(probability, abs=slack)


@pytest.mark.parametrize("noise_std", [0.01, 0.05])
def test_noise_has_its_deviation_about_the_mean_in_every_channel(noise_std):
    masked, changed, *_ = mask(replace(ALWAYS, mean_valued_prob=0, noise_std=noise_std))
    pixels = masked.movedim(1, -1)[changed]  # (N, 3)
    assert len(pixels) > 50_000
    assert torch.allclose(pixels.mean(0), MEAN, atol=0.02 * noise_std)
    assert torch.allclose(pixels.std(0), torch.full((3,), noise_std), rtol=0.02)
    assert abs(torch.corrcoef(pixels.T) - torch.eye(3)).max() < 0.03


def test_no_noise_is_the_mean_and_much_noise_stays_in_the_pixel_range():
    masked, changed, *_ = mask(replace(ALWAYS, mean_valued_prob=0, noise_std=0))
    assert torch.equal(masked.movedim(1, -1)[changed], MEAN.expand(int(changed.sum()), 3))
    masked, *_ = mask(replace(ALWAYS, mean_valued_prob=0, noise_std=50))
    assert masked.min() == 0
    assert masked.max() == 1


@settings(max_examples=40)
@given(st.floats(0, 1), st.integers(0, 2**40))
@example(1.0, 0)
def test_bars_lie_in_the_persons_box_and_cover_no_more_than_their_share(ratio, seed):
    _, changed, vertical, horizontal = mask(replace(ALWAYS, max_cover_ratio=ratio), count=20, seed=seed)
    for bars, axis in ((vertical, 1), (horizontal, 2)):
        low, high = (edge[axis - 1] for edge in (LOW, HIGH))
        covered = changed.any(axis)[bars]  # columns of vertical bars, rows of horizontal ones
        places = torch.arange(SIZE).expand_as(covered)
        assert ((places >= low) & (places <= high))[covered].all()
        # A bar of length l has at most floor(l) + 1 pixel centres in it, one next to the other.
        assert (covered.sum(-1) <= ratio * (high - low) + 1).all()
        first, last = covered.int().argmax(-1), SIZE - 1 - covered.flip(-1).int().argmax(-1)
        assert torch.equal(last - first + 1, covered.sum(-1))


def test_bars_vary_in_length_and_place_up_to_the_limit():
    _, changed, vertical, _ = mask(replace(ALWAYS, orientation_prob=1, max_cover_ratio=1), count=2000)
    columns = changed.any(1)[vertical]
    assert columns.any(0)[7:42].all()
    width = columns.sum(-1).float()
    assert width.max() >= 35
    assert width.mean() == pytest.approx(36 / 2, abs=1)  # uniform up to the box's 36 px
    assert not columns[:, :6].any()
    assert not columns[:, 43:].any()


def test_people_without_annotation_get_no_mask_and_do_not_change_the_others():
    images, joints, annotated = batch(50)
    annotated = annotated.clone()
    annotated[::2] = False
    masked = ALWAYS(images, joints, annotated, MEAN, generator())
    alone = ALWAYS(images, joints, torch.ones_like(annotated) & batch(50)[2], MEAN, generator())
    assert torch.equal(masked[::2], images[::2])
    assert torch.equal(masked[1::2], alone[1::2])
    assert masked.isfinite().all()


def test_a_single_joint_gives_no_bar():
    images, joints, annotated = batch(50)
    annotated = annotated & (torch.arange(5) == 0)
    assert torch.equal(ALWAYS(images, joints, annotated, MEAN, generator()), images)


def test_a_person_outside_the_crop_is_not_masked_inside_it():
    images, joints, annotated = batch(50)
    assert torch.equal(ALWAYS(images, joints + 500, annotated, MEAN, generator()), images)


def test_masks_depend_only_on_the_generator_and_inputs_are_unchanged():
    images, joints, annotated = batch(20)
    copies = [t.clone() for t in (images, joints, annotated, MEAN)]
    first, again, other = (ALWAYS(images, joints, annotated, MEAN, generator(seed)) for seed in (7, 7, 8))
    assert all(torch.equal(*pair) for pair in zip(copies, (images, joints, annotated, MEAN), strict=True))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_smaller_probability_keeps_some_of_the_same_masks():
    masked, *_ = mask(ALWAYS)
    fewer, fewer_changed, *_ = mask(replace(ALWAYS, mask_prob=0.5))
    still = fewer_changed.any((1, 2))
    assert 0 < still.sum() < len(still)
    assert torch.equal(masked[still], fewer[still])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_masks_and_jitter_follow_the_images_dtype(dtype):
    images, joints, annotated = batch(8, dtype)
    masked = ALWAYS(images, joints, annotated, MEAN, generator())
    assert masked.dtype == dtype
    assert (masked != images).any()
    assert jitter_colour(images, generator()).dtype == dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_masks_and_jitter_follow_the_images_device():
    images, joints, annotated = (t.cuda() for t in batch(8))
    on_device = torch.Generator("cuda").manual_seed(0)
    masked = ALWAYS(images, joints, annotated, MEAN.cuda(), on_device)
    assert masked.device == images.device
    assert (masked != images).any()
    assert jitter_colour(images, on_device).device == images.device
