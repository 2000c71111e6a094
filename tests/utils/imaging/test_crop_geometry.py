"""Photo -> crop -> heat map -> photo: the affine maps, and that pixels go where the maps say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from utils.imaging.heatmaps import crop_to_heatmap, decode_heatmaps, heatmap_to_crop, render_heatmaps
from utils.imaging.images import (
    CROP_SIZE,
    apply_affine,
    crop_decoded,
    crop_from_file,
    crop_image,
    crop_matrix,
    invert_affine,
    read_image,
    shrink_for,
)

MIDDLE = (CROP_SIZE - 1) / 2  # 127.5

crops = st.builds(
    crop_matrix,
    center=st.tuples(st.floats(-300, 2000), st.floats(-300, 2000)).map(np.array),
    side=st.floats(20, 3000),
    size=st.sampled_from([255, 256]),
    rotation=st.floats(-180, 180),
    flip=st.booleans(),
)
points = st.tuples(st.floats(-500, 3000), st.floats(-500, 3000)).map(np.array)


# ------------------------------------------------------------------------------------------ maps alone
@given(crop=crops, point=points)
@settings(max_examples=200)
def test_photo_to_heat_map_and_back_is_exact(crop, point):
    in_crop = apply_affine(crop, point[None])
    on_map = crop_to_heatmap(torch.from_numpy(in_crop))
    back = apply_affine(invert_affine(crop), heatmap_to_crop(on_map).numpy())
    np.testing.assert_allclose(back, point[None], atol=1e-3)


@given(
    center=points, side=st.floats(20, 3000), rotation=st.floats(-180, 180), dx=st.floats(-1, 1), dy=st.floats(-1, 1)
)  # fmt: skip
@settings(max_examples=100)
def test_the_flip_of_a_crop_is_its_mirror_image(center, side, rotation, dx, dy):
    point = (center + np.array([dx, dy]) * side)[None]
    plain, mirrored = (apply_affine(crop_matrix(center, side, CROP_SIZE, rotation, f), point) for f in (False, True))
    np.testing.assert_allclose(mirrored[:, 0], CROP_SIZE - 1 - plain[:, 0], atol=1e-6)
    np.testing.assert_allclose(mirrored[:, 1], plain[:, 1], atol=1e-6)


@given(
    center=points, side=st.floats(20, 3000), size=st.sampled_from([255, 256]), rotation=st.floats(-180, 180),
    flip=st.booleans(),
)  # fmt: skip
@settings(max_examples=50)
def test_the_centre_and_the_scale(center, side, size, rotation, flip):
    """The box's centre is the crop's middle; the linear part is size / side times a rotation or reflection."""
    crop = crop_matrix(center, side, size, rotation, flip)
    np.testing.assert_allclose(apply_affine(crop, center[None]), [[(size - 1) / 2] * 2], atol=1e-6)
    turn = crop[:, :2] * side / size
    np.testing.assert_allclose(turn @ turn.T, np.eye(2), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(-1 if flip else 1)


def test_maps_by_hand():
    # 512 px to 256: pixel centres (x - 0.5) / 2, the box's corner -0.5 to -0.5.
    half = crop_matrix(np.array([255.5, 255.5]), 512)
    np.testing.assert_allclose(half, [[0.5, 0, -0.25], [0, 0.5, -0.25]])
    np.testing.assert_allclose(apply_affine(half, np.array([[-0.5, -0.5], [0.5, 2.5]])), [[-0.5, -0.5], [0, 1]])
    # A quarter turn clockwise: what was on the right goes to the bottom, what was below to the left.
    turned = crop_matrix(np.array([5.0, 5.0]), 256, rotation=90)
    around = np.array([[7.0, 5.0], [5.0, 7.0]])
    np.testing.assert_allclose(apply_affine(turned, around) - MIDDLE, [[0, 2], [-2, 0]], atol=1e-9)
    # 256 to 64 pixels: (x - 1.5) / 4.
    np.testing.assert_allclose(crop_to_heatmap(torch.tensor([1.5, 253.5, 127.5])), [0, 63, 31.5])
    np.testing.assert_allclose(heatmap_to_crop(torch.tensor([0.0, 63, 31.5])), [1.5, 253.5, 127.5])
    np.testing.assert_allclose(crop_to_heatmap(torch.tensor([0.5]), stride=2), [0])


def test_maps_take_batches():
    matrices = np.stack([crop_matrix(np.array([c, 20.0]), 50 + c, rotation=c, flip=bool(c % 2)) for c in range(6)])
    points = np.random.default_rng(0).uniform(0, 100, (6, 16, 2))
    mapped = apply_affine(matrices, points)
    np.testing.assert_allclose(mapped[3], apply_affine(matrices[3], points[3]))
    np.testing.assert_allclose(apply_affine(invert_affine(matrices), mapped), points, atol=1e-9)


@pytest.mark.parametrize(
    ("side", "shrink"),
    [(1, 1), (256, 1), (511.9, 1), (512, 2), (1023, 2), (1024, 4), (2048, 8), (5000, 16)],
)
def test_a_photo_is_shrunk_as_far_as_the_crop_allows(side, shrink):
    assert shrink_for(side) == shrink


# ------------------------------------------------------------------------------------------ with argmax decoding
@given(
    width=st.integers(401, 777), height=st.integers(301, 555), side=st.floats(60, 1500), rotation=st.floats(-60, 60),
    flip=st.booleans(), label_type=st.sampled_from(["Gaussian", "Cauchy"]), sigma=st.sampled_from([1.0, 2.0]),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=60)
def test_a_rendered_target_leads_back_to_the_photo(width, height, side, rotation, flip, label_type, sigma, seed):
    rng = np.random.default_rng(seed)
    center = rng.uniform(0, (width, height))
    crop = crop_matrix(center, side, CROP_SIZE, rotation, flip)
    on_map = torch.from_numpy(rng.uniform(0.51, 62.49, (1, 16, 2)).astype(np.float32))
    in_photo = apply_affine(invert_affine(crop), heatmap_to_crop(on_map).double().numpy())

    targets = render_heatmaps(
        crop_to_heatmap(torch.from_numpy(apply_affine(crop, in_photo)).float()), (64, 64), sigma, label_type
    )
    decoded, scores = decode_heatmaps(targets)
    found = apply_affine(invert_affine(crop), heatmap_to_crop(decoded).double().numpy())

    photo_px_per_map_px = 4 * side / CROP_SIZE
    error = np.linalg.norm(found - in_photo, axis=-1) / photo_px_per_map_px
    assert error.max() < 0.36  # a quarter pixel along x and y: sqrt(2) / 4 = 0.354
    assert scores.min() > (0.77 if label_type == "Gaussian" else 0.54)  # half a pixel off along x and y


# ------------------------------------------------------------------------------------------ pixels
def smooth_noise(height, width, seed=0):
    """(H, W, 3) uint8 without sharp edges: neighbours differ by some 10 levels at most."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def test_a_crop_of_whole_pixels_is_a_slice():
    photo = np.random.default_rng(0).integers(0, 256, (41, 33, 3), dtype=np.uint8)
    crop = crop_image(photo, crop_matrix(np.array([17.5, 20.5]), 16, size=16), size=16)
    np.testing.assert_array_equal(crop, photo[13:29, 10:26])
    mirrored = crop_image(photo, crop_matrix(np.array([17.5, 20.5]), 16, size=16, flip=True), size=16)
    np.testing.assert_array_equal(mirrored, crop[:, ::-1])
    turned = crop_image(photo, crop_matrix(np.array([17.5, 20.5]), 16, size=16, rotation=90), size=16)
    np.testing.assert_array_equal(turned, np.rot90(crop, -1))


def test_outside_the_photo_a_crop_is_black():
    white = np.full((20, 20, 3), 255, np.uint8)
    crop = crop_image(white, crop_matrix(np.array([-0.5, 9.5]), 40), CROP_SIZE)
    assert not crop[:, :124].any()
    assert (crop[70:180, 133:250] == 255).all()
    assert not crop_image(white, crop_matrix(np.array([500.0, 500.0]), 40)).any()


def test_a_flipped_crop_shows_the_mirror_image():
    photo, rng = smooth_noise(333, 501), np.random.default_rng(1)
    for _ in range(10):
        box = rng.uniform((180, 140), (320, 190)), rng.uniform(50, 190), CROP_SIZE, rng.uniform(-60, 60)
        crop, mirrored = (crop_image(photo, crop_matrix(*box, flip)).astype(int) for flip in (False, True))
        assert np.abs(crop[:, ::-1] - mirrored).max() <= 2  # the warp rounds positions to 1/32 px


def blob_photo(width, height, place, sigma):
    """A grey photo with a bright round blob centred on `place`."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    grey = 20 + 200 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * sigma**2))
    return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")


def blob_place(picture):
    """Centre of mass of what is brighter than the background, x and y."""
    weight = np.clip(picture.mean(-1) - 40, 0, None)
    y, x = np.indices(weight.shape)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("shrink", [1, 2, 4, 8])
@pytest.mark.parametrize("flip", [False, True])
def test_a_blob_is_found_where_the_map_says(tmp_path, suffix, shrink, flip):
    size = 64
    side = size * shrink * 1.37
    width, height = int(1.6 * side) // 2 * 2 + 1, int(1.3 * side) // 2 * 2 + 1
    place = np.array([0.55 * width + 0.3, 0.45 * height + 0.2])
    blob_photo(width, height, place, sigma=4 * shrink).save(
        tmp_path / f"p.{suffix}", **{"quality": 95} if suffix == "jpg" else {}
    )
    matrix = crop_matrix(np.array([width * 0.52, height * 0.5]), side, size, rotation=27, flip=flip)
    assert shrink_for(side, size) == shrink
    found = blob_place(crop_from_file(tmp_path / f"p.{suffix}", matrix, size))
    np.testing.assert_allclose(found, apply_affine(matrix, place[None])[0], atol=0.06)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("shrink", [1, 2, 4, 8, 16])
def test_a_shrunk_photo_has_its_pixel_centres_where_promised(tmp_path, suffix, shrink):
    place = np.array([150.3, 101.8])
    blob_photo(301, 203, place, sigma=24).save(tmp_path / f"p.{suffix}")
    picture = read_image(tmp_path / f"p.{suffix}", shrink)
    assert picture.shape == (-(-203 // shrink), -(-301 // shrink), 3)
    np.testing.assert_allclose((blob_place(picture) + 0.5) * shrink - 0.5, place, atol=max(0.05, 0.02 * shrink))


@pytest.mark.parametrize("side", [200, 700, 1500])
def test_a_decoded_photo_gives_the_same_crop_as_its_file(tmp_path, side):
    photo = smooth_noise(655, 801)
    Image.fromarray(photo).save(tmp_path / "p.png")
    matrix = crop_matrix(np.array([411.3, 302.9]), side, rotation=20, flip=True)
    np.testing.assert_array_equal(crop_decoded(photo, matrix), crop_from_file(tmp_path / "p.png", matrix))


@given(
    sides=st.tuples(st.integers(8, 90), st.integers(8, 90)),
    center=st.tuples(st.floats(-40, 130), st.floats(-40, 130)),
    side=st.floats(20, 300),
    rotation=st.floats(-180, 180),
    flip=st.booleans(),
)
def test_shrinking_only_what_a_crop_shows_changes_no_pixel(sides, center, side, rotation, flip):
    photo = np.random.default_rng(0).integers(0, 256, (*sides, 3), dtype=np.uint8)
    matrix = crop_matrix(np.array(center), side, 16, rotation, flip)
    shrink = shrink_for(side, 16)
    whole = np.asarray(Image.fromarray(photo).reduce(shrink))
    np.testing.assert_array_equal(crop_decoded(photo, matrix, 16), crop_image(whole, matrix, 16, shrink))
