import warnings

import numpy as np
import pytest
from PIL import Image

from utils.files.sizes import pixels_limited
from utils.imaging import images
from utils.imaging.images import (
    MAX_IMAGE_SIDE,
    ImageError,
    crop_from_file,
    crop_matrix,
    image_size,
    read_image,
)

ORIENTATION_TAG = 0x0112
# How a camera stores an upright picture (H, W, 3) under each EXIF orientation (Exif 2.3, section 4.6.4: the sides on
# which row 0 and column 0 are seen).
STORED_AS = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],  # row 0 top, column 0 right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # row 0 left, column 0 top
    6: lambda upright: upright[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda upright: upright[::-1].swapaxes(0, 1),  # left, bottom
}


def noise(height=13, width=21, channels=3, seed=0, dtype=np.uint8):
    values = np.random.default_rng(seed).integers(
        0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True
    )
    return values[..., 0] if channels == 1 else values


def save(folder, name, pixels, mode=None, **options):
    """Write pixels (an array, or a Pillow image) to `folder / name`."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    path = folder / name
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def read(path):
    """`read_image`, with what must hold for every photo."""
    picture = read_image(path)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert image_size(path) == (picture.shape[1], picture.shape[0])
    return picture


# ------------------------------------------------------------------------------------------ kinds of photos
def test_rgb_comes_as_it_is(tmp_path):
    pixels = noise()
    for name in ("a.png", "a.bmp", "a.tif"):
        np.testing.assert_array_equal(read(save(tmp_path, name, pixels)), pixels)
    np.testing.assert_array_equal(read(save(tmp_path, "a.webp", pixels, lossless=True)), pixels)
    flat = np.full((13, 21, 3), (200, 100, 50), np.uint8)
    np.testing.assert_allclose(read(save(tmp_path, "a.jpg", flat, quality=95)), flat, atol=2)


def test_grey_becomes_rgb(tmp_path):
    grey = noise(channels=1)
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(read(save(tmp_path, "a.png", grey)), expected)
    bits = save(tmp_path, "1.png", grey, mode="1")
    np.testing.assert_array_equal(np.unique(read(bits)), [0, 255])
    jpeg = read(save(tmp_path, "a.jpg", np.full((16, 16), 77, np.uint8)))
    np.testing.assert_allclose(jpeg, 77, atol=1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_become_eight(tmp_path, name):
    grey = np.linspace(0, 65535, 20 * 20).round().astype(np.uint16).reshape(20, 20)
    picture = read(save(tmp_path, name, grey))
    np.testing.assert_allclose(picture[..., 0], grey / 257, atol=1)
    assert (picture[0, 0, 0], picture[-1, -1, 0]) == (0, 255)


@pytest.mark.parametrize("top", [1, 200, 255, 4000.0])
def test_a_float_picture_is_read_in_its_range(tmp_path, top):
    grey = np.linspace(0, top, 20 * 20, dtype=np.float32).reshape(20, 20)
    picture = read(save(tmp_path, "a.tif", grey))
    scale = 255 if top == 1 else 1 if top <= 255 else 255 / 65535
    np.testing.assert_allclose(picture[..., 2], grey * scale, atol=1)


def test_a_float_picture_with_holes_is_read(tmp_path):
    grey = np.full((20, 20), 0.5, np.float32)
    grey[0, :3] = np.nan, -1, 0
    picture = read(save(tmp_path, "a.tif", grey))
    assert picture[0, :4, 0].tolist() == [0, 0, 0, 127]


def test_transparent_parts_are_white(tmp_path):
    rgba = np.zeros((10, 12, 4), np.uint8)
    rgba[..., 0] = 200  # red
    rgba[:, 4:8, 3], rgba[:, 8:, 3] = 128, 255
    expected = np.zeros((10, 12, 3))
    expected[:, :4], expected[:, 4:8], expected[:, 8:] = 255, (227.4, 127, 127), (200, 0, 0)
    np.testing.assert_allclose(read(save(tmp_path, "rgba.png", rgba)), expected, atol=1)
    np.testing.assert_allclose(read(save(tmp_path, "rgba.webp", rgba, lossless=True)), expected, atol=1)

    grey_alpha = np.stack([np.full((10, 12), 40, np.uint8), rgba[..., 3]], axis=-1)
    picture = read(save(tmp_path, "la.png", Image.fromarray(grey_alpha, "LA")))
    np.testing.assert_allclose(picture[0, ::4, 1], [255, 147, 40], atol=1)

    palette = Image.fromarray(np.repeat([[0, 1, 2]], 10, 0).repeat(4, 1).astype(np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture = read(save(tmp_path, "p.png", palette, transparency=1))
    assert picture[0, ::4].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    picture = read(save(tmp_path, "colour_key.png", np.full((10, 12, 3), (9, 8, 7), np.uint8), transparency=(9, 8, 7)))
    assert (picture == 255).all()


def test_a_cmyk_jpeg_has_its_colours(tmp_path):
    flat = np.full((16, 24, 3), (230, 40, 90), np.uint8)
    path = save(tmp_path, "a.jpg", flat, mode="CMYK", quality=95)
    np.testing.assert_allclose(read(path), flat, atol=4)
    np.testing.assert_allclose(read_image(path, shrink=2), flat[::2, ::2], atol=4)


JPEGS = {
    "4:2:0": {},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0},
    "progressive": {"progressive": True},
    "not YCbCr": {"keep_rgb": True},
    "grey": {"mode": "L"},
    "exif": {"exif": Image.Exif()},
}
JPEGS["exif"]["exif"][ORIENTATION_TAG] = 1


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_has_the_pixels_that_pillow_decodes(tmp_path, kind):
    path = save(tmp_path, "a.jpg", noise(50, 83), **JPEGS[kind])
    for shrink in (1, 2, 4, 8):
        with Image.open(path) as image:
            image.draft("RGB", (image.width // shrink, image.height // shrink))
            np.testing.assert_array_equal(read_image(path, shrink), image.convert("RGB"))


def test_bytes_behind_a_jpeg_are_ignored(tmp_path):
    path = save(tmp_path, "a.jpg", noise(50, 83))
    picture = read(path)
    path.write_bytes(path.read_bytes() + b"more")
    np.testing.assert_array_equal(read(path), picture)


def test_a_jpeg_is_turned_as_its_xmp_says(tmp_path):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16] = 250
    xmp = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    path = save(tmp_path, "a.jpg", STORED_AS[6](upright), xmp=xmp, **lossless("jpg"))
    np.testing.assert_allclose(read(path), upright, atol=5)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, suffix, orientation):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16], upright[:16, 16:], upright[16:, :16] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    path = save(tmp_path, f"a.{suffix}", STORED_AS[orientation](upright), exif=exif, **lossless(suffix))
    np.testing.assert_allclose(read(path), upright, atol=5)
    np.testing.assert_allclose(read_image(path, shrink=2), upright[::2, ::2], atol=5)


@pytest.mark.parametrize("orientation", [0, 9, 4711])
def test_an_impossible_orientation_is_ignored(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    assert read(save(tmp_path, "a.jpg", noise(), exif=exif)).shape == (13, 21, 3)


def lossless(suffix):
    return {"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})


# ------------------------------------------------------------------------------------------ shrinking
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_shrinking_averages_boxes(tmp_path, suffix):
    tiles = np.kron(noise(6, 9) // 2 + 64, np.ones((8, 8, 1), np.uint8))
    path = save(tmp_path, f"a.{suffix}", tiles, **lossless(suffix))
    np.testing.assert_allclose(read_image(path, shrink=8), tiles[::8, ::8], atol=4)
    np.testing.assert_allclose(read_image(path, shrink=2), tiles[::2, ::2], atol=30 if suffix == "jpg" else 0)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("shrink", [2, 4, 8, 16, 64])
def test_a_photo_may_be_smaller_than_the_shrinking(tmp_path, suffix, shrink):
    path = save(tmp_path, f"a.{suffix}", noise(8, 11))
    assert read_image(path, shrink).shape == (-(-8 // shrink), -(-11 // shrink), 3)
    assert crop_from_file(path, crop_matrix(np.array([5, 5]), 256.0 * shrink)).shape == (256, 256, 3)


# ------------------------------------------------------------------------------------------ bad photos
def damaged(folder, name):
    """A path with one kind of trouble."""
    path = folder / name
    if name == "folder.jpg":
        path.mkdir()
    elif name == "empty.jpg":
        path.touch()
    elif name == "text.jpg":
        path.write_text("not a photo\n" * 100)
    elif name.startswith("tiny"):
        save(folder, name, noise(1, 1))
    elif name == "low.png":
        save(folder, name, noise(7, 100))
    elif name == "long.png":
        save(folder, name, np.zeros((8, MAX_IMAGE_SIDE + 1), np.uint8))
    elif name == "a_file/photo.jpg":
        path.parent.touch()
    elif name.startswith(("truncated", "header")):
        save(folder, name, noise(100, 100))
        whole = path.read_bytes()
        path.write_bytes(whole[: 30 if name.startswith("header") else len(whole) // 2])
    return path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.jpg", "no such file"),
        ("a_file/photo.jpg", "Not a directory"),
        ("folder.jpg", "a folder"),
        ("empty.jpg", "empty file"),
        ("text.jpg", "not a readable image"),
        ("tiny.jpg", "1 × 1 px"),
        ("tiny.png", "1 × 1 px"),
        ("low.png", "100 × 7 px"),
        ("long.png", "32767 × 8 px"),
        ("truncated.jpg", "truncated"),
        ("truncated.png", "truncated"),
        ("truncated.tif", ""),
        ("truncated.webp", ""),
        ("truncated.bmp", "truncated"),
        ("header.jpg", ""),
        ("header.png", ""),
        ("header.tif", ""),
    ],
)
def test_a_bad_photo_is_one_error_of_one_line(tmp_path, name, reason):
    path = damaged(tmp_path, name)
    for open_photo in (read_image, lambda path: crop_from_file(path, crop_matrix(np.array([50, 50]), 600))):
        with pytest.raises(ImageError) as caught:
            open_photo(path)
        assert str(caught.value).startswith(str(path))
        assert reason in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_any_damage_is_an_image_error(tmp_path):
    """With three random bytes replaced, a photo is read or refused with an ImageError."""
    rng, refused = np.random.default_rng(0), 0
    for suffix in ("jpg", "png", "bmp", "webp"):
        whole = save(tmp_path, f"whole.{suffix}", noise(40, 30)).read_bytes()
        path = tmp_path / f"damaged.{suffix}"
        for _ in range(40):
            content = np.frombuffer(whole, np.uint8).copy()
            content[rng.integers(0, min(len(content), 300), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(content.tobytes())
            for look in (read_image, image_size):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        look(path)
                    except ImageError:
                        refused += 1
    assert refused > 20


def test_declared_size_is_bounded(tmp_path):
    Image.new("L", (300, 200)).save(tmp_path / "a.png")
    with pixels_limited(59_999), pytest.raises(ImageError, match=r"300 × 200 px, more than --max_pixels 59999 are not"):
        read_image(tmp_path / "a.png")
    with pixels_limited(60_000):
        assert read_image(tmp_path / "a.png").shape == (200, 300, 3)
    Image.new("1", (10_001, 10_000)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="10001 × 10000 px, more than --max_pixels 100000000"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "F", "I;16"])
@pytest.mark.parametrize("shrink", [1, 4])
def test_bands_of_rows_change_nothing(tmp_path, monkeypatch, mode, shrink):
    rng = np.random.default_rng(0)
    grey = rng.uniform(0, 250, (61, 30)).astype(np.float32)
    pictures = {"F": grey, "I;16": (grey * 200).astype(np.uint16)}
    values = pictures.get(mode, rng.integers(0, 256, (61, 30, len(mode)), dtype=np.uint8))
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    whole = read_image(path, shrink)
    monkeypatch.setattr(images, "BAND_PIXELS", 30 * 7)
    assert whole.shape == (-(-61 // shrink), -(-30 // shrink), 3)
    assert np.array_equal(read_image(path, shrink), whole)
