"""Plots curves, e.g. detection rates over thresholds: one panel per joint, one line per model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.console.evaluation_tables import format_number
from utils.look.palette import model_line
from utils.look.plots import plain_label, save_plot

Curves = Mapping[str, Mapping[str, np.ndarray]]


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
    """Write one figure, as PNG and PDF, with a panel for each of `axes.titles`.

    `curves` holds (T,) percent at `axes.thresholds` by model and column; one line per model.
    """
    rows = 2
    columns = -(-len(axes.titles) // rows)
    figure = Figure(figsize=(4.5 * columns, 9 + 2 * _legend_height(curves)), layout="constrained")
    for panel, column in zip(figure.subplots(rows, columns).flat, axes.titles, strict=False):
        _draw_panel(panel, curves, axes, column)
    if heading:
        figure.suptitle(heading, fontsize="x-large")
    save_plot(figure, path)


def draw_single(curves: Curves, axes: CurveAxes, column: str, path: Path) -> None:
    """Write the panel of a single column, as PNG and PDF; arguments as for `draw_grid`."""
    figure = Figure(figsize=(6.4, 4.8 + _legend_height(curves)), layout="constrained")
    _draw_panel(figure.subplots(), curves, axes, column)
    save_plot(figure, path)


def _legend_height(curves: Curves) -> float:
    """Inches."""
    return 0.25 * len(curves)


def _draw_panel(panel: Axes, curves: Curves, axes: CurveAxes, column: str) -> None:
    for index, (name, by_column) in enumerate(curves.items()):
        rate = format_number(by_column[column][-1] if axes.numbers is None else axes.numbers[name][column])
        short = name if len(name) <= 32 else f"{name[:15]}…{name[-16:]}"  # wider, legends of a row would overlap
        color, style = model_line(index)
        panel.plot(axes.thresholds, by_column[column], style, color=color, label=plain_label(f"{rate}  {short}"))
    panel.set(xlim=(axes.start, axes.thresholds[-1]), ylim=(0, 101), title=axes.titles[column])
    x_label = axes.x_label or f"normalised distance (fraction of {axes.unit})"
    panel.set(xlabel=x_label, ylabel=axes.y_label)
    panel.locator_params(axis="x", nbins=5)  # more labels would touch
    panel.grid(alpha=0.3)
    # Below the axes, since inside it would hide lines in some panel.
    legend = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "frameon": False}
    panel.legend(title=f"{axes.metric} (%)", alignment="left", **legend)
