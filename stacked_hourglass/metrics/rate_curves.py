"""Plots curves, e.g. detection rates over thresholds: one panel per joint, one line per model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from utils.console.evaluation_tables import format_number
from utils.look.palette import model_line
from utils.look.plots import WIDEST_PLOT, plain_label, save_plot

Curves = Mapping[str, Mapping[str, np.ndarray]]
RATES_A_ROW, NAMES_A_ROW = 3, 3  # in the legends
LINE_HEIGHT = 0.25  # inches, of a legend


@dataclass(frozen=True)
class CurveAxes:
    """Axes and titles of the panels.

    Attributes:
        titles: column -> title of its panel.
        thresholds: (T,) x values.
        unit: unit of the thresholds, e.g. "head size"; ignored with an `x_label`.
        metric: name of the number in the legend, e.g. "PCKh@0.5".
        x_label, y_label: axis labels.
        numbers: model -> column -> percent, for the legend; by default the rate at the last threshold.
        start: lower limit of x.
    """

    titles: Mapping[str, str]
    thresholds: np.ndarray
    unit: str
    metric: str
    x_label: str = ""
    y_label: str = "detection rate (%)"
    numbers: Mapping[str, Mapping[str, float]] | None = None
    start: float = 0.0


def draw_grid(curves: Curves, axes: CurveAxes, path: Path, heading: str = "") -> None:
    """Write one figure, as PNG and PDF, with a panel for each of `axes.titles`; names of models stand below them all.

    `curves` holds (T,) percent at `axes.thresholds` by model and column; one line per model.
    """
    rows = 2
    columns = -(-len(axes.titles) // rows)
    below = math.ceil(len(curves) / RATES_A_ROW) * rows + math.ceil(len(curves) / NAMES_A_ROW)
    size = (min(4.5 * columns, WIDEST_PLOT), 6.6 + LINE_HEIGHT * below)
    figure = Figure(figsize=size, layout="constrained")
    for panel, column in zip(figure.subplots(rows, columns).flat, axes.titles, strict=False):
        lines = _draw_panel(panel, curves, axes, column)
        labels = [format_number(_rate(curves, axes, column, name)) for name in curves]
        _add_legend(panel, lines, labels, axes, RATES_A_ROW)
    names = [plain_label(_short(name)) for name in curves]
    figure.legend(lines, names, loc="outside lower left", frameon=False, ncols=NAMES_A_ROW)
    if heading:
        figure.suptitle(heading, fontsize="x-large")
    save_plot(figure, path)


def draw_single(curves: Curves, axes: CurveAxes, column: str, path: Path) -> None:
    """Write the panel of a single column, as PNG and PDF; arguments as for `draw_grid`."""
    figure = Figure(figsize=(6.4, 4.8 + LINE_HEIGHT * len(curves)), layout="constrained")
    panel = figure.subplots()
    lines = _draw_panel(panel, curves, axes, column)
    labels = [f"{format_number(_rate(curves, axes, column, name))}  {_short(name)}" for name in curves]
    _add_legend(panel, lines, [plain_label(label) for label in labels], axes)
    save_plot(figure, path)


def _rate(curves: Curves, axes: CurveAxes, column: str, name: str) -> float:
    """Percent, for the legend."""
    return curves[name][column][-1] if axes.numbers is None else axes.numbers[name][column]


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:15]}…{name[-16:]}"  # wider, names of a row would overlap


def _draw_panel(panel: Axes, curves: Curves, axes: CurveAxes, column: str) -> list[Line2D]:
    """Draw a line per model; returns them."""
    lines = []
    for index, by_column in enumerate(curves.values()):
        color, style = model_line(index)
        lines += panel.plot(axes.thresholds, by_column[column], style, color=color)
    panel.set(xlim=(axes.start, axes.thresholds[-1]), ylim=(0, 101), title=axes.titles[column])
    x_label = axes.x_label or f"distance / {axes.unit}"
    panel.set(xlabel=x_label, ylabel=axes.y_label)
    panel.locator_params(axis="x", nbins=5)  # more labels would touch
    panel.grid(alpha=0.3)
    return lines


def _add_legend(panel: Axes, lines: list[Line2D], labels: list[str], axes: CurveAxes, columns: int = 1) -> None:
    """Below the axes, since inside it would hide lines in some panel."""
    panel.legend(
        lines, labels, title=f"{axes.metric} (%)", alignment="left", ncols=columns,
        loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False,
    )  # fmt: skip
