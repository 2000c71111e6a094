"""The strip below a figure, with its legend and what else a reader has to know, and titles above panels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from utils.imaging.lettering import CAP_HEIGHT, LINE_PITCH, size_for, text_width, wrapped
from utils.imaging.sketch import Line, Polygon, Sketch, Text, arranged, as_sketch, stacked
from utils.look.palette import ERROR_RAMP, Color, Palette

SWATCH = 2.2  # length of a line sample, in text sizes
TRUTH_DASH = (1.6, 1.4)  # in line widths
DOUBT_DASH = (0.9, 2.0)
FADE = 0.3


class Key(NamedTuple):
    """An entry of a legend: a line sample, or a colour bar from low to high."""

    label: str
    color: Color | None = None  # None for a colour bar
    dash: tuple[float, float] | None = None  # in line widths
    width: float = 0.3  # of the text size
    ramp: Sequence[Color] = ERROR_RAMP  # of the colour bar


def side_keys(palette: Palette) -> list[Key]:
    """The colours of a person's sides."""
    return [Key("person's right", palette.sides["r"]), Key("person's left", palette.sides["l"])]


def truth_key(palette: Palette) -> Key:
    """The line of ground truth."""
    return Key("truth", palette.truth, TRUTH_DASH, 0.18)


def doubt_key(palette: Palette, threshold: float) -> Key:
    """The line of 3D limbs whose 2D joints are below the threshold."""
    label = f"doubtful: 2D confidence below {threshold:.2g}"
    return Key(label, faded(palette.sides["l"], palette), DOUBT_DASH, 0.18)


def faded(color: Color, palette: Palette) -> Color:
    """A colour moved towards the ground."""
    return tuple(round((1 - FADE) * a + FADE * b) for a, b in zip(color, palette.ground, strict=True))


def caption(
    width: int, keys: Sequence[Key], sentences: Sequence[str], palette: Palette, size: int | None = None
) -> Sketch:
    """A strip of `width` px with a legend and sentences, in as many lines as they need.

    `size`: of the text, px; by default readable where the picture is shrunk to a page's column.
    """
    size = size or size_for(width)
    pad = round(0.6 * size)
    room = width - 2 * pad
    rows: list[list[Key]] = []
    for key in keys:
        if rows and sum(_key_width(one, size) for one in [*rows[-1], key]) <= room:
            rows[-1].append(key)
        else:
            rows.append([key])
    lines = wrapped(" · ".join(filter(None, sentences)).split(" "), size, room) if any(sentences) else []
    pitch = round(LINE_PITCH * size)
    strip = Sketch((width, 2 * pad + pitch * (len(rows) + len(lines)) - (pitch - size)), palette.ground)
    for row, entries in enumerate(rows):
        left = float(pad)
        for key in entries:
            _add_key(strip, key, left, pad + row * pitch, size, palette)
            left += _key_width(key, size)
    for row, words in enumerate(lines, len(rows)):
        strip.write(" ".join(words), (pad, pad + row * pitch + CAP_HEIGHT * size), size, palette.faint_ink)
    return strip


def captioned(figure: Sketch | np.ndarray, keys: Sequence[Key], sentences: Sequence[str], palette: Palette) -> Sketch:
    """A figure with a `caption` below it."""
    figure = as_sketch(figure)
    strip = caption(figure.size[0], keys, sentences, palette)
    whole = stacked([figure, strip], palette.ground)
    whole.legend, whole.sentences, whole.caption_height = tuple(keys), tuple(filter(None, sentences)), strip.size[1]
    return whole


def titled(panel: Sketch | np.ndarray, title: str, palette: Palette, size: int, color: Color | None = None) -> Sketch:
    """A panel below a line of text, which is made smaller if it would not fit."""
    panel = as_sketch(panel)
    strip = Sketch((panel.size[0], round(1.7 * size)), palette.ground)
    strip.write(title, (size // 2, round(1.2 * size)), size, color or palette.ink)
    return stacked([strip, panel], palette.ground)


def titled_row(
    panels: Sequence[Sketch | np.ndarray], titles: Sequence[str], palette: Palette, heading: str = "", gap: int = 6
) -> Sketch:
    """Panels side by side, each below its title, all below a heading.

    Raises ValueError for a wrong number of titles.
    """
    width = sum(as_sketch(panel).size[0] + gap for panel in panels) - gap
    size = size_for(width)
    cells = [titled(panel, title, palette, size) for panel, title in zip(panels, titles, strict=True)]
    row = arranged(cells, len(cells), gap, palette.gap)
    return titled(row, heading, palette, size) if heading else row


def _key_width(key: Key, size: int) -> float:
    return _sample_length(key, size) + 0.5 * size + text_width(key.label, size) + 1.5 * size


def _sample_length(key: Key, size: int) -> float:
    return SWATCH * size * (2 if key.color is None else 1)


def _add_key(strip: Sketch, key: Key, left: float, top: float, size: int, palette: Palette) -> None:
    middle = top + CAP_HEIGHT * size / 2
    length = _sample_length(key, size)
    if key.color is None:
        edges = np.linspace(left, left + length, len(key.ramp) + 1)
        for a, b, color in zip(edges, edges[1:], key.ramp, strict=False):
            low, high = middle - 0.3 * size, middle + 0.3 * size
            strip.add(Polygon(np.array([(a, low), (b, low), (b, high), (a, high)]), color))
    else:
        width = max(2, round(key.width * size))
        dash = key.dash and (key.dash[0] * width, key.dash[1] * width)
        ends = np.array([left + width, middle]), np.array([left + length - width, middle])
        if key.dash is None:
            strip.add(Line(*ends, palette.outline, width + 2))
        strip.add(Line(*ends, key.color, width, dash))
    place = round(left + length + 0.5 * size), round(top + CAP_HEIGHT * size)
    strip.add(Text(key.label, *place, size, palette.ink))
