"""Plots the curves of one or more trainings from their `log.txt`.

python viz.py training_curves --load model_checkpoints/hourglass_mpii_default model_checkpoints/hourglass_mpii_wide
"""

import math
import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from utils.look.palette import model_line
from utils.look.plots import WIDEST_PLOT, plain_label, save_plot
from utils.osutils import UserError, inform
from utils.training.log_files import (
    LOG_FILE,
    PERCENT,
    is_part,
    read_better,
    read_log,
    read_units,
    rows_in_percent,
    shares_in,
)

FILE = "training_curves.png"
PARTS = {"val/": "-", "train/": "--", "": "-"}  # column prefix -> line style
NO_CURVE = ("epoch", "seconds")
COLUMNS = 3
PANEL = (WIDEST_PLOT / COLUMNS, 3.3)  # inches


@dataclass
class Run:
    """One training.

    Attributes:
        name: name in the legend.
        epochs: (E,) finished epochs, ascending.
        curves: log column, e.g. "val/PCKh@0.5", -> (E,) values; NaN where missing.
        better: quantity, e.g. "PCKh@0.5", -> "higher" or "lower"; None if the training did not store it.
        units: quantity -> unit, e.g. "%", where known.
    """

    name: str
    epochs: np.ndarray
    curves: dict[str, np.ndarray]
    better: dict[str, str] | None = None
    units: dict[str, str] = field(default_factory=dict)


def training_curves(options: Namespace) -> None:
    """`viz.py training_curves`."""
    loaded = options.load if isinstance(options.load, list | tuple) else [options.load]
    draw_training_curves(loaded, options.output_dir, by_part=options.by_part)


def draw_training_curves(experiments: Sequence[str | Path], output_dir: str | Path, *, by_part: bool = False) -> Path:
    """Draw one figure with a panel per quantity, a colour per training and the best epochs marked, as PNG and PDF.

    Returns the path of the PNG. Training and validation of one quantity share a panel. A quantity that never changes,
    such as "SW_real", is a dotted line in the panel of the one that it is a reference for ("SW"). Whether
    higher or lower is better comes from the training's `options.json`, or from the metric's name in older ones.

    Args:
        experiments: folders that trainings wrote, or their `log.txt` files.
        output_dir: folder for the files.
        by_part: add a panel for each metric that is reported by part (MPJPE by action).

    Raises UserError for a missing or malformed log, before anything is written; it names the line.
    """
    logs = [find_log(Path(path)) for path in experiments]
    runs = [read_run(log, name) for log, name in zip(logs, run_names(logs), strict=True)]
    path = Path(output_dir) / FILE
    try:
        save_plot(draw(runs, by_part), path)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise UserError(f"--output_dir {output_dir}: not writable ({error.strerror})") from None
    inform("\n".join([*map(summary, runs), f"curves: {path}"]))
    return path


def find_log(path: Path) -> Path:
    """The `log.txt` of an experiment folder, or `path` itself if it is a file. Raises UserError if there is none."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"--load {path}: does not exist; give an experiment folder that train.py wrote, or its log.txt")
    log = path / LOG_FILE
    if not log.is_file():
        inside = sorted(str(found.parent) for found in path.glob("*/log.txt"))
        hint = f"; did you mean {' '.join(inside[:3])}?" if inside else ": no training finished an epoch in it"
        raise UserError(f"--load {path}: has no log.txt{hint}")
    return log


def read_run(log: Path, name: str) -> Run:
    """Read a training's log; for an epoch logged twice the later line counts. Raises UserError.

    Older trainings logged rates as fractions; these are converted to percent.
    """
    columns, rows = read_log(log)
    units = read_units(log)
    shares = shares_in(columns, rows, units)
    rows, units = rows_in_percent(rows, shares), units | {column[4:]: PERCENT for column in shares}
    by_epoch = {row["epoch"]: row for row in rows if math.isfinite(row["epoch"])}
    if not by_epoch:
        raise UserError(f"--load {log}: has no epoch yet, only the header line")
    if set(columns) <= set(NO_CURVE):
        raise UserError(f"--load {log}: line 1 names only epochs, so there is no curve to draw")
    epochs = np.array(sorted(by_epoch))
    table = np.array([[by_epoch[epoch][column] for column in columns] for epoch in epochs])  # (E, columns)
    table[~np.isfinite(table)] = np.nan
    curves = {column: table[:, i] for i, column in enumerate(columns) if column not in NO_CURVE}
    return Run(name, epochs, curves, read_better(log) or None, units)


def run_names(logs: Sequence[Path]) -> list[str]:
    """Short names: the experiment's folder, with as many parents as needed to make them unique."""
    folders = [log.resolve().parent if log.name == LOG_FILE else log.resolve() for log in logs]
    for depth in range(1, max(len(folder.parts) for folder in folders)):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(set(folders)):
            break
    return names


def draw(runs: Sequence[Run], by_part: bool = False) -> Figure:
    """The figure of all quantities of all runs; `by_part` as for `draw_training_curves`."""
    shown, divided = shown_quantities(runs), with_parts(runs) if by_part else []
    references = {name: target for name in shown if (target := reference_for(runs, name, shown)) is not None}
    quantities = [name for name in shown if name not in references]
    count = len(quantities) + len(divided)
    columns = 2 if count == 4 else min(COLUMNS, count)
    rows = math.ceil(count / columns)
    handles = _legend(runs, quantities)
    legend_height = 0.2 + 0.24 * math.ceil(len(handles) / columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows + legend_height), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, quantity in zip(panels, quantities, strict=False):
        _draw_panel(panel, runs, quantity, [name for name, target in references.items() if target == quantity])
    for panel, quantity in zip(panels[len(quantities) :], divided, strict=False):
        _draw_parts(panel, runs, quantity)
    for panel in panels[count:]:
        panel.set_axis_off()
    figure.legend(handles=handles, loc="outside upper left", frameon=False, ncols=columns)
    return figure


def shown_quantities(runs: Sequence[Run]) -> list[str]:
    """Names without "train/" and "val/", in log order, the learning rate last.

    A loss term that equals the total loss is omitted, and so are the parts of a metric, which share a panel.
    """
    columns = [column for run in runs for column in run.curves if not is_part(column)]
    names = list(dict.fromkeys(re.sub(r"^(train|val)/", "", column) for column in columns))
    parts = [name for name in names if name != "loss" and name.endswith("_loss")]
    repeated = {name for name in parts if all(_is_whole_loss(run, name) for run in runs)}
    return sorted((name for name in names if name not in repeated), key=lambda name: name == "lr")


def reference_for(runs: Sequence[Run], quantity: str, others: Sequence[str]) -> str | None:
    """The quantity for which a constant is a reference: "SW" for "SW_real"; None if it changes or there is none."""
    target = quantity.rpartition("_")[0]
    curves = [curve for run in runs for prefix in PARTS if (curve := run.curves.get(prefix + quantity)) is not None]
    constant = bool(curves) and all(len(np.unique(curve[np.isfinite(curve)])) == 1 for curve in curves)
    several = any(len(run.epochs) > 1 for run in runs)
    return target if constant and several and target in others else None


def with_parts(runs: Sequence[Run]) -> list[str]:
    """Metrics that the validation also reports by part, e.g. "MPJPE" with "val/MPJPE/Walking"."""
    columns = [column.split("/") for run in runs for column in run.curves if is_part(column)]
    return list(dict.fromkeys(name for prefix, name, *_ in columns if prefix == "val"))


def parts_of(runs: Sequence[Run], quantity: str) -> list[str]:
    """Names of a metric's parts, e.g. the actions, in log order."""
    prefix = f"val/{quantity}/"
    columns = dict.fromkeys(column for run in runs for column in run.curves if column.startswith(prefix))
    return [column.removeprefix(prefix) for column in columns]


def direction(run: Run, quantity: str) -> int:
    """-1 if lower is better, 1 if higher is better, 0 if unknown. "MPJPE/Walking" follows "MPJPE"."""
    if run.better is not None:
        named = run.better.get(quantity, run.better.get(quantity.partition("/")[0]))
        return {"higher": 1, "lower": -1}.get(named, 0)
    if re.search(r"critic|discr|generator|gan_", quantity, re.IGNORECASE):
        return 0  # the loss of one of two opponents says nothing about quality
    if re.search(r"loss|error|mpjpe", quantity, re.IGNORECASE):
        return -1
    return int(bool(re.search(r"pck|auc|accuracy", quantity, re.IGNORECASE)))


def best(run: Run, quantity: str) -> tuple[float, float] | None:
    """(epoch, value) of the best validation value of a quantity, the first of ties; None if there is none."""
    values = run.curves.get(f"val/{quantity}")
    if values is None or not direction(run, quantity) or np.isnan(values).all():
        return None
    index = np.nanargmax(direction(run, quantity) * values)
    return float(run.epochs[index]), float(values[index])


def summary(run: Run) -> str:
    """One line: epochs done and the best validation values. Of a metric's parts (actions) only the number is given."""
    quantities = [name for name in shown_quantities([run]) if f"val/{name}" in run.curves]
    found = [(quantity, best(run, quantity)) for quantity in quantities]
    units = {quantity: f" {unit}" for quantity, unit in run.units.items()}
    values = [f"best val/{name} {b[1]:.4g}{units.get(name, '')} (epoch {b[0]:g})" for name, b in found if b]
    parts = [f"{quantity} by part ({len(parts_of([run], quantity))}): --by_part" for quantity in with_parts([run])]
    return ", ".join([f"{run.name}: {run.epochs[-1]:g} epoch{'' if run.epochs[-1] == 1 else 's'}", *values, *parts])


def _is_whole_loss(run: Run, part: str) -> bool:
    return all(
        np.array_equal(values, run.curves.get(f"{prefix}loss", []), equal_nan=True)
        for prefix in ("train/", "val/")
        if (values := run.curves.get(f"{prefix}{part}")) is not None
    )


def _draw_panel(panel: Axes, runs: Sequence[Run], quantity: str, references: Sequence[str] = ()) -> None:
    """Draw the curves of a quantity; `references`: constants drawn as dotted lines."""
    values = []
    for index, run in enumerate(runs):
        color = model_line(index)[0]
        for prefix, style in PARTS.items():
            curve = run.curves.get(prefix + quantity)
            if curve is not None:
                # A line needs two adjacent epochs; markers show isolated ones.
                panel.plot(run.epochs, curve, style, color=color, marker=".", markersize=4, linewidth=1.4)
                values.append(curve)
        if (mark := best(run, quantity)) is not None:
            label = f"{mark[1]:.4g} (epoch {mark[0]:g})"
            panel.plot(
                *mark, linestyle="", marker="*", markersize=13, color=color, markeredgecolor="white", label=label
            )
            panel.legend(title="best", fontsize=10, title_fontsize=10, framealpha=0.7)
    for index, run in enumerate(runs):
        for number, name in enumerate(references):
            if (curve := run.curves.get(f"val/{name}")) is not None:
                level = float(np.nanmax(curve))
                label = f"{plain_label(name)}: {level:.4g}"
                color = model_line(index)[0]
                panel.axhline(level, linestyle=(0, (1, 1 + number)), color=color, label=label)
                panel.legend(title="best, references", fontsize=10, title_fontsize=10, framealpha=0.7)
                values.append(curve)
    panel.margins(y=0.08)
    finite = np.concatenate(values)
    finite = finite[np.isfinite(finite)]
    way = next((way for run in runs if (way := direction(run, quantity))), 0)
    if way <= 0 and len(finite) and finite.min() > 0 and finite.max() > 5 * finite.min():
        panel.set_yscale("log")
    if way > 0:
        panel.set_ylim(bottom=0)
    better = {-1: " (lower is better)", 0: "", 1: " (higher is better)"}[way]
    panel.set_title(plain_label({"lr": "learning rate"}.get(quantity, quantity)) + better, fontsize=11)
    panel.set_ylabel(next((run.units[quantity] for run in runs if quantity in run.units), ""))
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(alpha=0.3)


def _draw_parts(panel: Axes, runs: Sequence[Run], quantity: str) -> None:
    """A row per part of a metric and a dot per run, at the best epoch of the whole metric, else the last epoch."""
    parts = parts_of(runs, quantity)
    for index, run in enumerate(runs):
        mark = best(run, quantity)
        row = int(np.searchsorted(run.epochs, mark[0])) if mark else -1
        values = [
            run.curves[column][row] if (column := f"val/{quantity}/{part}") in run.curves else np.nan for part in parts
        ]
        panel.plot(values, range(len(parts)), "o", color=model_line(index)[0], markersize=5)
    panel.set_yticks(range(len(parts)), [plain_label(part) for part in parts])
    panel.invert_yaxis()
    panel.set_xlabel(next((run.units[quantity] for run in runs if quantity in run.units), ""))
    panel.set_title(f"{plain_label(quantity)} by part, at the best epoch", fontsize=11)
    panel.grid(alpha=0.3)


def _legend(runs: Sequence[Run], quantities: Sequence[str]) -> list[Line2D]:
    """The runs, and the lines and marks that the panels of `quantities` have."""
    handles = [
        Line2D([], [], color=model_line(index)[0], linewidth=3, label=plain_label(run.name))
        for index, run in enumerate(runs)
    ]
    for prefix, label in (("val/", "validation"), ("train/", "training")):
        if any(prefix + quantity in run.curves for run in runs for quantity in quantities):
            handles.append(Line2D([], [], color="grey", linestyle=PARTS[prefix], label=label))
    if any(best(run, quantity) for run in runs for quantity in quantities):
        handles.append(
            Line2D([], [], color="grey", linestyle="", marker="*", markersize=11, label="best validation epoch")
        )
    return handles
