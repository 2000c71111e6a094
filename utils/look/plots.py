"""Writes plots: PNG to look at, and PDF beside it for papers."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.osutils import atomic_path

DPI = 120
WIDEST_PLOT = 12.8  # inches; in wider plots text of 10 points could not be read in a page's column


def save_plot(figure: Figure, path: str | Path) -> None:
    """Write a figure atomically as PNG, and as PDF with the same stem."""
    canvas, path = FigureCanvasAgg(figure), Path(path)
    with atomic_path(path) as temporary:
        canvas.print_figure(temporary, dpi=DPI, format="png")
    figure.set_layout_engine(None)  # the layout stays that of the PNG; computing it again would take as long as drawing
    # Text stays text. No dates: files of equal figures are equal.
    with atomic_path(path.with_suffix(".pdf")) as temporary, rc_context({"pdf.fonttype": 42}):
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})


def plain_label(text: str) -> str:
    """Escape text for matplotlib: $ would start a formula, a leading underscore would hide a legend label."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")
