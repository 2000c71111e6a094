"""A drawing as a list of strokes, text and pictures, which becomes pixels or a vector file.

Coordinates are px of the drawing, x right, y down, pixel centres at integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np

from utils.imaging.lettering import fitting_size, write_text_on
from utils.look.palette import Color

_SHIFT = 4  # OpenCV takes coordinates in 1/16 px
_FAR = 2**14  # px; OpenCV's fixed-point numbers overflow farther out


class Image(NamedTuple):
    """A picture (H, W, 3) uint8 RGB with its upper left pixel at (left, top)."""

    pixels: np.ndarray
    left: int
    top: int


class Line(NamedTuple):
    """A line with round ends from `start` to `end`, (2,) px each; `dash`: px of a dash and of a gap, or none."""

    start: np.ndarray
    end: np.ndarray
    color: Color
    width: int
    dash: tuple[float, float] | None = None


class Disc(NamedTuple):
    """A filled circle, or a ring of a line's `width`."""

    center: np.ndarray
    radius: float
    color: Color
    width: int | None = None


class Polygon(NamedTuple):
    """A filled convex polygon, points (N, 2) px."""

    points: np.ndarray
    color: Color


class Text(NamedTuple):
    """A line of text with the left end of its baseline at (x, y)."""

    text: str
    x: int
    y: int
    size: int
    color: Color


class Inset(NamedTuple):
    """Another drawing with its upper left pixel at (left, top)."""

    sketch: "Sketch"
    left: int
    top: int


@dataclass
class Sketch:
    """What is drawn, in order, on a ground of one colour.

    Attributes:
        size: (width, height) px.
        legend, sentences, caption_height: entries of the legend and sentences of a captioned figure, and px of its
            caption at the bottom.
    """

    size: tuple[int, int]
    ground: Color
    marks: list[Any] = field(default_factory=list)
    legend: tuple[Any, ...] = ()
    sentences: tuple[str, ...] = ()
    caption_height: int = 0

    def add(self, *marks: Any) -> "Sketch":
        """Draw marks on top of the others."""
        self.marks.extend(marks)
        return self

    def write(self, text: str, place: tuple[float, float], size: int, color: Color, margin: int = 4) -> None:
        """Write a line at `place` (left, baseline), smaller if it would not fit."""
        if text:
            x, y = round(place[0]), round(place[1])
            self.add(Text(text, x, y, fitting_size(text, size, self.size[0] - x - margin), color))

    def without_text_below(self, size: float) -> "Sketch":
        """The same drawing without lines of text smaller than `size` px."""
        kept = [mark for mark in self.marks if not (isinstance(mark, Text) and mark.size < size)]
        within = [
            mark._replace(sketch=mark.sketch.without_text_below(size)) if isinstance(mark, Inset) else mark
            for mark in kept
        ]
        return replace(self, marks=within)

    def raster(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        picture = np.empty((self.size[1], self.size[0], 3), np.uint8)
        self.paint_on(picture)
        return picture

    def paint_on(self, picture: np.ndarray) -> None:
        """Fill a picture of this size, or a part of a larger one, in place."""
        picture[:] = np.full((picture.shape[1], 3), self.ground, np.uint8)  # a row: faster than a pixel at a time
        for mark in self.marks:
            _RASTER[type(mark)](picture, mark)


def as_sketch(drawing: "Sketch | np.ndarray") -> Sketch:
    """A drawing, or a picture (H, W, 3) uint8 as one."""
    if isinstance(drawing, Sketch):
        return drawing
    return Sketch(drawing.shape[1::-1], (0, 0, 0), [Image(drawing, 0, 0)])


def arranged(cells: Sequence[Sketch | np.ndarray], columns: int, gap: int, ground: Color) -> Sketch:
    """Drawings in a grid at their own size, row by row, each in the upper left of its cell.

    Columns are as wide as their widest drawing, rows as high as their highest; fewer drawings than columns make one
    shorter row.
    """
    sketches = [as_sketch(cell) for cell in cells]
    columns = min(columns, len(sketches))
    widths = [max(one.size[0] for one in sketches[column::columns]) for column in range(columns)]
    heights = [
        max(one.size[1] for one in sketches[first : first + columns]) for first in range(0, len(sketches), columns)
    ]
    lefts, tops = (np.cumsum([0, *(length + gap for length in lengths)]).tolist() for lengths in (widths, heights))
    whole = Sketch((lefts[-1] - gap, tops[-1] - gap), ground)
    for index, one in enumerate(sketches):
        row, column = divmod(index, columns)
        whole.add(Inset(one, lefts[column], tops[row]))
    return whole


def stacked(parts: Sequence[Sketch | np.ndarray], ground: Color, gap: int = 0) -> Sketch:
    """Drawings below one another."""
    return arranged(parts, 1, gap, ground)


def outlined(points: np.ndarray, color: Color, outline: Color, width: int) -> list[Line]:
    """Lines from point to point, (N, 2) px, each on a wider one of the outline's colour."""
    return [line for pair in pairwise(points) for line in (Line(*pair, outline, width + 2), Line(*pair, color, width))]


def corners_of(box: Sequence[float]) -> np.ndarray:
    """(4, 2): the corners of a box (left, top, right, bottom), in turn."""
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def dashes(line: Line) -> list[tuple[np.ndarray, np.ndarray]]:
    """The ends of a line's dashes, px; the first and last dash are at the line's ends."""
    if line.dash is None:
        return [(line.start, line.end)]
    on, off = line.dash
    length = float(np.hypot(*(line.end - line.start)))
    count = max(1, round((length + off) / (on + off)))
    pitch = (length + off * length / max(count * (on + off) - off, 1e-6)) / count
    share = on / (on + off)
    begins = np.arange(count) * pitch
    ends = np.minimum(begins + share * pitch, length)
    direction = (line.end - line.start) / max(length, 1e-9)
    return [(line.start + a * direction, line.start + b * direction) for a, b in zip(begins, ends, strict=True)]


# ------------------------------------------------------------------------------------------ pixels
def _fixed(point: np.ndarray) -> tuple[int, ...]:
    """A point in OpenCV's units. Plain numbers: NumPy's functions take several times as long as drawing the line."""
    return tuple(round(min(max(value, -_FAR), _FAR) * 2**_SHIFT) for value in point.tolist())


def _paint_image(picture: np.ndarray, mark: Image) -> None:
    height, width = mark.pixels.shape[:2]
    picture[mark.top : mark.top + height, mark.left : mark.left + width] = mark.pixels


def _paint_line(picture: np.ndarray, mark: Line) -> None:
    for start, end in dashes(mark):
        cv2.line(picture, _fixed(start), _fixed(end), mark.color, mark.width, cv2.LINE_AA, _SHIFT)


def _paint_disc(picture: np.ndarray, mark: Disc) -> None:
    center, radius = _fixed(mark.center), round(mark.radius * 2**_SHIFT)
    thickness = cv2.FILLED if mark.width is None else mark.width
    cv2.circle(picture, center, radius, mark.color, thickness, cv2.LINE_AA, _SHIFT)


def _paint_polygon(picture: np.ndarray, mark: Polygon) -> None:
    cv2.fillConvexPoly(picture, np.array([_fixed(point) for point in mark.points]), mark.color, cv2.LINE_AA, _SHIFT)


def _paint_text(picture: np.ndarray, mark: Text) -> None:
    write_text_on(picture, mark.text, (mark.x, mark.y), mark.size, mark.color)


def _paint_part(picture: np.ndarray, mark: Inset) -> None:
    width, height = mark.sketch.size
    mark.sketch.paint_on(picture[mark.top : mark.top + height, mark.left : mark.left + width])


_RASTER = {
    Image: _paint_image,
    Line: _paint_line,
    Disc: _paint_disc,
    Polygon: _paint_polygon,
    Text: _paint_text,
    Inset: _paint_part,
}
