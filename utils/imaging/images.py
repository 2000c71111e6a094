"""Decodes photos, and computes exact affine maps between photo and crop.

Pixel convention (throughout the project): pixel centres at integers, zero-based, x right, y down.

        -0.5    0.5    1.5
          +------+------+
          | 0, 0 | 1, 0 |     a picture of width w spans -0.5 … w - 0.5
          +------+------+     its flip is x -> w - 1 - x
          | 0, 1 | 1, 1 |     shrinking by k: u = (x - (k - 1) / 2) / k
          +------+------+

An affine map is a (2, 3) matrix that takes (x, y, 1) to (x', y').
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from utils.files.inside import fault_of_file
from utils.files.sizes import max_pixels
from utils.osutils import UserError, counted, first_few, warn

CROP_SIZE = 256
CROP_MARGIN = 1.25  # side of a crop / longer side of the person, as used in training
JOINTS_MARGIN = 1.05  # longer side of the person / longer side of the joints' box: joints lie inside the outline
BAND_PIXELS = 1 << 22  # converted to RGB at a time
MIN_IMAGE_SIDE, MAX_IMAGE_SIDE = 8, 32766  # px; OpenCV can't warp larger images
JPEG_START, JPEG_SHRINK = b"\xff\xd8\xff", 8  # first bytes; the most that its decoder shrinks by
JPEG_SPACES = ("YCbCr", "RGB", "Gray")  # that its decoder turns into RGB
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class ImageError(Exception):
    """A photo that can't be used (missing, empty, truncated, not an image, too small). The message is one line."""


def report_unreadable(faults: Sequence[str], total: int, then: str, source: str, what: str = "photo") -> None:
    """Warn once of the images of a folder that could not be read.

    Args:
        faults: one reason per unreadable image.
        total: number of images, readable or not.
        then: what happened to them, e.g. "skipped".
        source: where they come from, for the error message.
        what: noun for the images.

    Raises UserError if none could be read.
    """
    if faults and len(faults) == total:
        raise UserError(f"{source}: no {what} could be read; the first error: {faults[0]}")
    if faults:
        warn(f"{len(faults)} of {counted(total, what)} unreadable, {then}: {first_few(list(faults), ';')}")


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of a photo as `read_image` returns it, from its header only. Raises ImageError."""
    with _open(path) as image:
        width, height = image.size
        return (height, width) if _orientation(image) >= 5 else (width, height)


def is_readable(path: str | Path) -> bool:
    """Whether `read_image` can decode a photo. JPEGs are decoded at an eighth of their size for speed."""
    try:
        read_image(path, shrink=8)
    except ImageError:
        return False
    return True


def read_image(path: str | Path, shrink: int = 1) -> np.ndarray:
    """Decode a photo to (H, W, 3) uint8 RGB, shrunk by `shrink`, a power of two.

    JPEGs are shrunk while decoding (reduced DCT scale), the rest by box averaging. Either way pixel u of the result is
    centred on x = (u + 0.5) * shrink - 0.5 of the photo. EXIF orientation is applied, grey becomes RGB, 16 bits become
    8, transparency is composited on white.

    Raises ImageError.
    """
    if (decoded := _plain_jpeg(path, shrink)) is not None:
        return decoded
    with _open(path) as image:
        turned = _orientation(image) != 1
        try:
            if image.format == "JPEG" and image.mode in ("RGB", "L") and not turned:
                image.fp.seek(0)
                if (decoded := _decode_jpeg(image.fp.read(), image.size, shrink)) is not None:
                    return decoded
            decoded_shrink = 1
            if image.format == "JPEG" and shrink > 1 and not turned:
                image.draft("RGB", (max(image.width // shrink, 1), max(image.height // shrink, 1)))
                decoded_shrink = _draft_factor(image)
            image.load()
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise ImageError(f"{path}: truncated or damaged image ({error})") from None
        return _as_rgb(ImageOps.exif_transpose(image) if turned else image, shrink // decoded_shrink)


def _plain_jpeg(path: str | Path, shrink: int) -> np.ndarray | None:
    """What `read_image` returns for a grey or RGB JPEG that says nothing of its orientation.

    None for all others, and for those with anything wrong. For these Pillow reads the header, and says what it is; that
    takes a tenth of the time of the decoding.
    """
    if fault_of_file(path):
        return None
    try:
        with open(path, "rb") as file:
            if file.read(len(JPEG_START)) != JPEG_START:
                return None
            file.seek(0)
            data = file.read()
        if b"Exif" in data or b"Orientation" in data:  # the latter in XMP
            return None
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except (OSError, ValueError):
        return None
    if space not in JPEG_SPACES or _fault_of_size(width, height):
        return None
    return _decode_jpeg(data, (width, height), shrink)


def _decode_jpeg(data: bytes, size: tuple[int, int], shrink: int) -> np.ndarray | None:
    """A JPEG of `size` (width, height) px as RGB, shrunk; None if damaged, even where something could be seen.

    simplejpeg decodes the same pixels as Pillow and OpenCV, in less time than either (`benchmarks/input.py`).
    """
    scale = min(shrink, JPEG_SHRINK)
    width, height = (-(-side // scale) for side in size)
    try:
        decoded = simplejpeg.decode_jpeg(data, min_width=width, min_height=height, min_factor=scale)
    except ValueError:
        return None
    return decoded if scale == shrink else _reduced(decoded, shrink // scale)


def crop_matrix(
    center: np.ndarray, side: float, size: int = CROP_SIZE, rotation: float = 0.0, flip: bool = False
) -> np.ndarray:
    """The (2, 3) float64 affine map from photo pixels to pixels of a square crop.

    Args:
        center: (2,) x, y of the crop's centre in the photo; it maps to ((size - 1) / 2, (size - 1) / 2).
        side: side of the square in photo pixels.
        size: side of the crop in crop pixels.
        rotation: degrees about the centre; positive rotates the content clockwise.
        flip: mirror the crop left to right, after the rotation: u -> size - 1 - u.
    """
    scale = size / side
    cosine, sine = np.cos(np.radians(rotation)) * scale, np.sin(np.radians(rotation)) * scale
    linear = np.array([[cosine, -sine], [sine, cosine]])
    if flip:
        linear[0] *= -1
    return np.column_stack([linear, (size - 1) / 2 - linear @ np.asarray(center, dtype=np.float64)])


def invert_affine(matrix: np.ndarray) -> np.ndarray:
    """Inverse maps of (..., 2, 3) matrices."""
    if matrix.ndim == 2:
        return cv2.invertAffineTransform(matrix)  # a tenth of NumPy's time, and once for every sample
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)


def apply_affine(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map (..., N, 2) points by (..., 2, 3) matrices."""
    return points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]


def product_of_affine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The (2, 3) map that applies `right`, then `left`."""
    product = left[:, :2] @ right
    product[:, 2] += left[:, 2]
    return product


def crop_image(image: np.ndarray, matrix: np.ndarray, size: int = CROP_SIZE, shrink: int = 1) -> np.ndarray:
    """Warp `image`, a photo already shrunk by `shrink`, into a (size, size, 3) crop, black outside the photo.

    `matrix` (2, 3) maps pixels of the full-size photo to crop pixels.
    """
    if shrink > 1:
        offset = (shrink - 1) / 2
        matrix = matrix @ np.array([[shrink, 0, offset], [0, shrink, offset], [0, 0, 1]])
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def shrink_for(side: float, size: int = CROP_SIZE) -> int:
    """The largest power of two by which a photo can be shrunk before a crop of `side` px is resampled to `size` px.

    The photo keeps at least the crop's resolution, and bilinear sampling then shrinks by less than two.
    """
    return 2 ** int(np.log2(max(side / size, 1)))


def crop_from_file(path: str | Path, matrix: np.ndarray, size: int = CROP_SIZE) -> np.ndarray:
    """Decode a photo at the scale that the crop needs and warp it once: (size, size, 3) uint8 RGB.

    `matrix`: from `crop_matrix`. Raises ImageError.
    """
    shrink = _shrink_of(matrix, size)
    return crop_image(read_image(path, shrink), matrix, size, shrink)


def crop_decoded(image: np.ndarray, matrix: np.ndarray, size: int = CROP_SIZE) -> np.ndarray:
    """Like `crop_from_file`, for an (H, W, 3) uint8 photo in memory: (size, size, 3).

    Only the part that the crop shows is shrunk, which is most of the time for a small person in a large photo.
    """
    shrink = _shrink_of(matrix, size)
    if shrink == 1:
        return crop_image(image, matrix, size)
    sides = np.array(image.shape[1::-1])
    ends = np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]])
    corners = apply_affine(invert_affine(matrix), ends) / shrink
    # In whole boxes of `shrink` px, with two more around for interpolation and rounding.
    low = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, (sides - 1) // shrink) * shrink
    high = np.clip((np.ceil(corners.max(0)).astype(int) + 2) * shrink, low + 1, sides)
    part = _reduced(image[low[1] : high[1], low[0] : high[0]], shrink)
    of_part = matrix.copy()
    of_part[:, 2] += matrix[:, :2] @ low
    return crop_image(part, of_part, size, shrink)


def _reduced(image: np.ndarray, shrink: int) -> np.ndarray:
    """(H, W, 3) uint8 averaged over boxes of `shrink` px; the last of a row or column may be smaller."""
    height, width = image.shape[:2]
    if shrink == 2 and height % 2 == width % 2 == 0:  # the same pixels in a sixth of the time
        return cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(Image.fromarray(image).reduce(shrink))


def crop_photo(photo: str | Path | np.ndarray, matrix: np.ndarray, size: int = CROP_SIZE) -> np.ndarray:
    """`crop_from_file` for a path, `crop_decoded` for a photo in memory."""
    return (crop_decoded if isinstance(photo, np.ndarray) else crop_from_file)(photo, matrix, size)


def _shrink_of(matrix: np.ndarray, size: int) -> int:
    side = size / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return shrink_for(side, size)


def _open(path: str | Path) -> Image.Image:
    """Open a photo, reading only its header."""
    if fault := fault_of_file(path):
        raise ImageError(f"{path}: {fault}")
    image = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # very large photos and odd EXIF blocks are accepted
            image = Image.open(path)
            _orientation(image)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: a folder, not an image") from None
    except Exception as error:  # Pillow's plugins raise anything on a damaged header
        if image:
            image.close()
        empty = os.path.isfile(path) and os.path.getsize(path) == 0
        reason = "empty file" if empty else f"not a readable image ({error})"
        raise ImageError(f"{path}: {reason}") from None
    if fault := _fault_of_size(*image.size):
        image.close()
        raise ImageError(f"{path}: {fault}")
    return image


def _fault_of_size(width: int, height: int) -> str | None:
    """What is wrong with a photo of this size; None for others."""
    if fault := too_many_pixels(width, height):
        return fault
    if MIN_IMAGE_SIDE <= min(width, height) <= max(width, height) <= MAX_IMAGE_SIDE:
        return None
    return f"{width} × {height} px; its sides must be {MIN_IMAGE_SIDE} to {MAX_IMAGE_SIDE} px"


def too_many_pixels(width: int, height: int) -> str | None:
    """What is wrong with a photo or frame of more pixels than are decoded; None for others."""
    if width * height <= max_pixels():
        return None
    return (
        f"{width} × {height} px, more than --max_pixels {max_pixels()} are not decoded; shrink it, or give a larger "
        "--max_pixels"
    )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; 1 for a TIFF, which Pillow turns upright itself."""
    orientation = image.getexif().get(0x0112, 1)
    return orientation if orientation in range(2, 9) and image.format != "TIFF" else 1


def _draft_factor(image: Image.Image) -> int:
    """The factor by which the decoder shrinks after `draft`: 1, 2, 4 or 8."""
    return image.decoderconfig[0] if image.decoderconfig else 1


def _as_rgb(image: Image.Image, shrink: int) -> np.ndarray:
    """A decoded photo of any Pillow mode as (H, W, 3) uint8 RGB, shrunk by box averaging.

    Done in bands of rows: a whole photo with transparency would be in memory five times.
    """
    width, height = image.size
    rows = max(BAND_PIXELS // width // shrink, 1) * shrink
    bands = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    most = max(_grey(image.crop(box)).max() for box in bands) if image.mode == "F" else 0.0
    result = np.empty((-(-height // shrink), -(-width // shrink), 3), np.uint8)
    for box in bands:
        part = np.asarray(_to_rgb(image.crop(box), most).reduce(shrink))
        start = box[1] // shrink
        result[start : start + len(part)] = part
    return result


def _to_rgb(image: Image.Image, most: float) -> Image.Image:
    """Convert any Pillow mode to RGB: 16-bit and float grey scaled to 8 bits, transparency composited on white.

    The range of float grey is taken to be the smallest of 0-1, 0-255 and 0-65535 that holds `most`.
    """
    if image.mode.startswith("I") or image.mode == "F":
        tops = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
        top = next((top for top in tops if most <= top), 65535.0)
        return Image.fromarray((_grey(image).clip(0, top) * (255.0 / top)).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return image.convert("RGB")


def _grey(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image, dtype=np.float32))
