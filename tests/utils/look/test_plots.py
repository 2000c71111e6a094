"""Plots can be read where they are shrunk to a page's column."""

import numpy as np
import pytest
from legible import illegible

from stacked_hourglass.evaluation import CURVE_TITLES
from stacked_hourglass.metrics import rate_curves
from stacked_hourglass.metrics.rate_curves import CurveAxes, draw_grid, draw_single
from twod_threed import error_plots
from twod_threed.error_plots import draw_error_bars, draw_pck_3d
from twod_threed.mpjpe import AUC_THRESHOLDS
from utils.human36m.actions import ACTIONS
from utils.training.training_curves import Run, draw

THRESHOLDS = np.linspace(0, 0.5, 51)
AXES = CurveAxes(CURVE_TITLES, THRESHOLDS, "head size", "PCKh@0.5")
NAMES = ["default", "a network with a name that is far too long for its legend", "third", "fourth"]
RATES = {name: dict.fromkeys(CURVE_TITLES, 90 * THRESHOLDS) for name in NAMES}


@pytest.fixture
def plotted(monkeypatch):
    """The figures that would be written, in order."""
    figures = []
    for module in (rate_curves, error_plots):
        monkeypatch.setattr(module, "save_plot", lambda figure, path: figures.append(figure))
    return figures


def training(with_parts: bool = False) -> Run:
    epochs = np.arange(1.0, 4)
    names = ["train/loss", "val/loss", "val/MPJPE", "val/P-MPJPE", "val/SW", "lr"]
    parts = [f"val/MPJPE/{action}" for action in ACTIONS] if with_parts else []
    return Run("default", epochs, dict.fromkeys(names + parts, 50 + epochs), units={"MPJPE": "mm"})


@pytest.mark.parametrize("by_part", [False, True])
def test_training_curves(by_part):
    assert illegible(draw([training(by_part), training(by_part)], by_part)) == {}


def test_rates(plotted):
    draw_grid(RATES, AXES, None, "PCKh, person-centric")
    draw_single(RATES, AXES, "head", None)
    for figure in plotted:
        assert illegible(figure) == {}


def test_names_are_below_all_panels_and_rates_below_each(plotted):
    draw_grid(RATES, AXES, None)
    [figure] = plotted
    [names] = figure.legends
    assert [text.get_text() for text in names.get_texts()][2:] == ["third", "fourth"]
    for panel in figure.axes:
        assert [text.get_text() for text in panel.get_legend().get_texts()] == ["45.00"] * 4
    colors = [line.get_color() for line in figure.axes[0].lines]
    assert [line.get_color() for line in names.get_lines()] == colors


def test_names_of_models_stay_within_the_figure(plotted):
    draw_grid({f"{number} {'w' * 40}": RATES["third"] for number in range(7)}, AXES, None)
    [figure] = plotted
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("models", [1, 7])
def test_errors(plotted, models):
    by_action = dict.fromkeys(ACTIONS, 50.0)
    draw_error_bars({f"model {number}": by_action for number in range(models)}, "MPJPE by action", None)
    draw_pck_3d({f"model {number}": [50.0] * len(AUC_THRESHOLDS) for number in range(models)}, None)
    for figure in plotted:
        assert illegible(figure) == {}
