"""Whether the text of a picture can be read where the picture is shrunk to a page's column."""

from collections.abc import Iterator

from matplotlib.figure import Figure
from matplotlib.text import Text as PlotText

from utils.imaging.lettering import LEGIBLE_SIZE, README_WIDTH
from utils.imaging.sketch import Inset, Sketch, Text
from utils.look.plots import DPI


def illegible(picture: Sketch | Figure) -> dict[str, float]:
    """The lines of text that are too small on a page, with their size there, px. There has to be some text."""
    sizes = dict(_of_plot(picture) if isinstance(picture, Figure) else _of_sketch(picture))
    width = picture.get_figwidth() * DPI if isinstance(picture, Figure) else picture.size[0]
    assert sizes
    shrunk = {text: size * min(1, README_WIDTH / width) for text, size in sizes.items()}
    return {text: size for text, size in shrunk.items() if size < LEGIBLE_SIZE}


def _of_plot(figure: Figure) -> Iterator[tuple[str, float]]:
    """Text -> px of the figure."""
    figure.draw_without_rendering()
    for text in figure.findobj(PlotText):
        if text.get_visible() and text.get_text().strip():
            yield text.get_text(), text.get_fontsize() * DPI / 72


def _of_sketch(sketch: Sketch) -> Iterator[tuple[str, float]]:
    for mark in sketch.marks:
        if isinstance(mark, Text):
            yield mark.text, mark.size
        elif isinstance(mark, Inset):
            yield from _of_sketch(mark.sketch)
