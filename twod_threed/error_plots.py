"""Plots of 3D errors: 3D PCK over thresholds, and bars by joint and by action, a line or bar per model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from twod_threed.mpjpe import AUC_THRESHOLDS, PCK_THRESHOLD
from utils.look.palette import model_line
from utils.look.plots import WIDEST_PLOT, plain_label, save_plot
from utils.transform import spoken

PCK_FILE, JOINTS_FILE, ACTIONS_FILE = "mpjpe_pck.png", "mpjpe_joints.png", "mpjpe_actions.png"


def draw_pck_3d(curves: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw 3D PCK in percent at `AUC_THRESHOLDS` mm, a line per model, with PCK@150 and AUC in the legend."""
    figure = Figure(figsize=(6.4, 4.8 + 0.25 * len(curves)), layout="constrained")
    panel = figure.subplots()
    for index, (name, rates) in enumerate(curves.items()):
        color, style = model_line(index)
        label = f"{rates[-1]:.1f}, {np.mean(rates):.1f}  {name}"
        panel.plot(AUC_THRESHOLDS, rates, style, color=color, label=plain_label(label))
    panel.set(xlim=(0, PCK_THRESHOLD), ylim=(0, 101), title="3D PCK, hips aligned")
    panel.set(xlabel="threshold (mm)", ylabel="joints with a smaller error (%)")
    panel.grid(alpha=0.3)
    title = f"PCK@{PCK_THRESHOLD:.0f} (%), AUC (%)"
    legend = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "frameon": False}
    panel.legend(title=title, alignment="left", **legend)
    save_plot(figure, path)


def draw_error_bars(errors: Mapping[str, Mapping[str, float]], title: str, path: Path) -> None:
    """Draw MPJPE in mm by joint or action, model -> part -> mm, a group of bars per part and a bar per model."""
    parts = list(dict.fromkeys(part for by_part in errors.values() for part in by_part))
    wide = 1.5 + 0.35 * len(parts) * max(1, 0.6 * len(errors))
    figure = Figure(figsize=(min(wide, WIDEST_PLOT), 4.2), layout="constrained")
    panel, width = figure.subplots(), 0.8 / len(errors)
    for index, (name, by_part) in enumerate(errors.items()):
        heights = [by_part.get(part, np.nan) for part in parts]
        places = np.arange(len(parts)) - 0.4 + width * (index + 0.5)
        panel.bar(places, heights, width, color=model_line(index)[0], label=plain_label(name))
    panel.set_xticks(range(len(parts)), [plain_label(spoken(part)) for part in parts], rotation=45, ha="right")
    panel.set(title=title, ylabel="MPJPE (mm)", ylim=(0, None))
    panel.grid(alpha=0.3, axis="y")
    panel.set_axisbelow(True)
    figure.legend(loc="outside lower left", frameon=False, ncols=2)
    save_plot(figure, path)
