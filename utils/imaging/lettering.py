"""Text on pictures, in DejaVu Sans, which comes with matplotlib. Rendered lines are cached.

A text size is the height of the font's em in px: capitals are 0.73, small letters 0.55 of it.
"""

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import ImageFont

README_WIDTH = 830  # px of a page's column, to which wider pictures are shrunk
LEAST_SIZE = 12  # px
LEGIBLE_SIZE = 9  # px; smaller text can't be read
CAP_HEIGHT = 0.73  # of the size
LINE_PITCH = 1.35  # of the size, from line to line


def size_for(width: int) -> int:
    """The text size for a picture of `width` px that is still `LEAST_SIZE` px where it is shrunk to a page's column."""
    return max(LEAST_SIZE, -(-width * LEAST_SIZE // README_WIDTH))


def legible_size(width: int) -> float:
    """The smallest text size in a picture of `width` px that can be read where it is shrunk to a page's column."""
    return max(1.0, width / README_WIDTH) * LEGIBLE_SIZE


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    folder = Path(find_spec("matplotlib").origin).parent  # without importing it, which takes a second
    return ImageFont.truetype(str(folder / "mpl-data/fonts/ttf/DejaVuSans.ttf"), size)


@lru_cache(4096)
def text_width(text: str, size: int) -> float:
    """Width of a line, px."""
    return _font(size).getlength(text)


def fitting_size(text: str, size: int, width: float) -> int:
    """The largest size, at most `size`, at which a line is at most `width` px wide; at least 1."""
    return max(1, min(size, int(size * width / max(text_width(text, size), 1e-6))))


def wrapped(words: list[str], size: int, width: float) -> list[list[str]]:
    """Words in lines of at most `width` px; a word that is wider has its own line."""
    lines: list[list[str]] = []
    for word in words:
        if lines and text_width(" ".join([*lines[-1], word]), size) <= width:
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


@lru_cache(4096)
def _line_mask(text: str, size: int) -> tuple[np.ndarray, int, int]:
    """Coverage (H, W), 0 to 1, and the place of its corner relative to the left end of the baseline."""
    mask, (left, top) = _font(size).getmask2(text, mode="L", anchor="ls")
    coverage = np.array(mask, np.float32).reshape(mask.size[::-1]) / 255
    return coverage, left, top


def write_text_on(
    picture: np.ndarray, text: str, place: tuple[int, int], size: int, color: tuple[int, int, int]
) -> None:
    """Write a line with the left end of its baseline at `place` (x, y) px, in place; what is outside is cut off."""
    coverage, left, top = _line_mask(text, size)
    x, y = place[0] + left, place[1] + top
    low, high = max(0, -x), min(coverage.shape[1], picture.shape[1] - x)
    first, last = max(0, -y), min(coverage.shape[0], picture.shape[0] - y)
    if low >= high or first >= last:
        return
    weight = coverage[first:last, low:high, None]
    part = picture[y + first : y + last, x + low : x + high]
    part[:] = np.rint(part + weight * (np.array(color, np.float32) - part))
