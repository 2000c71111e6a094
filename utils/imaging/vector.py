"""Writes a drawing as PDF or SVG: lines and text stay lines and text, photos are embedded."""

import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patches import Polygon as PolygonPatch

from utils.imaging.sketch import Disc, Image, Inset, Line, Polygon, Sketch, Text, dashes
from utils.look.palette import hexadecimal
from utils.osutils import atomic_path

PX = 0.72  # points; a drawing of 100 px is an inch wide
VECTOR_SUFFIXES = (".pdf", ".svg")
# Text stays text in a PDF; in an SVG it becomes outlines, since a reader may lack the font. No dates: files of equal
# drawings are equal.
_SETTINGS = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "human-pose", "image.interpolation": "none"}
_NO_DATE = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


def save_vector(path: str | Path, sketch: Sketch) -> None:
    """Write a drawing atomically in the format of the path's suffix, .pdf or .svg."""
    path = Path(path)
    width, height = sketch.size
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=hexadecimal(sketch.ground))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    for order, (mark, left, top) in enumerate(_flat(sketch, 0, 0)):
        _ARTISTS[type(mark)](axes, mark, np.array([left, top]), order)
    content = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(content, format=path.suffix[1:].lower(), metadata=_NO_DATE[path.suffix.lower()], dpi=100)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())


def _flat(sketch: Sketch, left: int, top: int) -> Iterator[tuple]:
    """(mark, left, top) of all marks of a drawing and its parts, whose ground is a mark, too."""
    for mark in sketch.marks:
        if isinstance(mark, Inset):
            width, height = mark.sketch.size
            corners = np.array([(0, 0), (width, 0), (width, height), (0, height)]) - 0.5
            yield Polygon(corners, mark.sketch.ground), left + mark.left, top + mark.top
            yield from _flat(mark.sketch, left + mark.left, top + mark.top)
        else:
            yield mark, left, top


def _add_image(axes: Axes, mark: Image, place: np.ndarray, order: int) -> None:
    height, width = mark.pixels.shape[:2]
    left, top = place + np.array([mark.left, mark.top]) - 0.5
    axes.imshow(mark.pixels, extent=(left, left + width, top + height, top), aspect="auto", zorder=order)


def _add_line(axes: Axes, mark: Line, place: np.ndarray, order: int) -> None:
    for start, end in dashes(mark):
        (x0, y0), (x1, y1) = start + place, end + place
        width = mark.width * PX
        line = Line2D(
            (x0, x1), (y0, y1), color=hexadecimal(mark.color), linewidth=width, solid_capstyle="round", zorder=order
        )
        axes.add_line(line)


def _add_disc(axes: Axes, mark: Disc, place: np.ndarray, order: int) -> None:
    color, filled = hexadecimal(mark.color), mark.width is None
    how = {"facecolor": color, "linewidth": 0} if filled else {"fill": False, "edgecolor": color}
    if not filled:
        how["linewidth"] = mark.width * PX
    axes.add_patch(Circle(tuple(mark.center + place), mark.radius, zorder=order, **how))


def _add_polygon(axes: Axes, mark: Polygon, place: np.ndarray, order: int) -> None:
    axes.add_patch(PolygonPatch(mark.points + place, facecolor=hexadecimal(mark.color), linewidth=0, zorder=order))


def _add_text(axes: Axes, mark: Text, place: np.ndarray, order: int) -> None:
    x, y = place + np.array([mark.x, mark.y])
    how = {"fontsize": mark.size * PX, "fontfamily": "DejaVu Sans", "parse_math": False}
    axes.text(x, y, mark.text, color=hexadecimal(mark.color), zorder=order, ha="left", va="baseline", **how)


_ARTISTS = {Image: _add_image, Line: _add_line, Disc: _add_disc, Polygon: _add_polygon, Text: _add_text}
