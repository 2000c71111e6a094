"""`python eval.py lsp_PCK`: score prediction files on Leeds Sports Pose's validation people.

    python eval.py lsp_PCK --prediction_files model_checkpoints/hourglass_lsp_default/preds_valid.mat

Tables for all files, curves as PNG, and `lsp_pck.json`, each under both conventions of left and right (`lsp_pck`
defines them and the metrics). Every file is read and checked before anything is written. Coordinates are original image
pixels, zero-based, as everywhere inside this project.
"""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stacked_hourglass.annotations.lsp import read_lsp
from stacked_hourglass.annotations.people import People
from stacked_hourglass.metrics import pckh
from stacked_hourglass.metrics.lsp_pck import (
    CONVENTIONS,
    GROUPING,
    LSP_METRICS,
    counted_people,
    lsp_curves,
    lsp_tables,
    observer_order,
)
from stacked_hourglass.metrics.validation_predictions import load_validation_predictions
from utils.console.evaluation_tables import format_rows, model_names, tables_as_json
from utils.osutils import UserError, output_folder, write_text
from utils.transform import LSP

CURVE_TITLES = {
    "head": "head (mean of neck and head top)",
    **{joint: f"{joint} (mean of left and right)" for joint in pckh.PAIRED_JOINTS},
    "mean": "plain mean of 14 joints",
}
LENGTH_UNITS = {"PCK@0.2": "torso", "PCKh@0.5": "head size"}

DEFINITIONS = """\
  PCK@0.2: error < 0.2 × torso (right shoulder to left hip)
  PCKh@0.5: error < 0.5 × head size (neck to head top: LSP has no head boxes; MPII's head size is about 0.75 × this, so
  PCKh is more forgiving here)
  head: mean of neck and head top; shoulder to ankle: mean of left and right
  mean: plain mean of 14 joints; mean_by_count: the same 14, weighted by people
  joints that are not annotated are excluded; so are, from a metric, people without its torso or head
  person-centric: left and right as annotated (in LSP's own files the person's)
  observer-centric: labels as if everybody faced the camera; in truth and predictions alike the arm whose shoulder lies
  farther left in the image is the right arm, the leg whose hip does is the right leg. Published observer-centric
  figures use labels made by hand (Eichner and Ferrari, ACCV 2012): comparable only roughly"""

Tables = Mapping[str, Mapping[str, Mapping[str, float]]]


def lsp_PCK(options: Namespace) -> None:
    """Print and write PCK@0.2, PCKh@0.5 (`lsp_pck` defines them) and curves of prediction files.

    Reads `data_dir`, `prediction_files`, `model_names` (None: from the files' names) and `output_dir` of `options`.
    The validation people, and their order, are those of `load_lsp`; photos are not needed. Writes `lsp_pck.json` and
    `<metric>_<convention>.png` for each metric and convention.

    Raises UserError, with nothing written, for annotations or a prediction file that are missing, damaged, of another
    length or incomplete.
    """
    paths = [Path(path) for path in options.prediction_files]
    names = model_names(paths, options.model_names)
    output_dir = output_folder(options.output_dir)
    training, people = read_lsp(options.data_dir)
    if not len(people):
        raise UserError(f"{people.source[0]}: no validation people; expected at least two photos")
    predictions = {
        name: load_validation_predictions(path, people.image_paths, len(people), LSP, others=training.image_paths)
        for name, path in zip(names, paths, strict=True)
    }

    truth = people.joints.astype(np.float64), people.annotated
    tables = {name: lsp_tables(prediction, *truth) for name, prediction in predictions.items()}
    curves = {name: lsp_curves(prediction, *truth) for name, prediction in predictions.items()}
    print(format_lsp_tables(tables, people))
    pictures = draw_lsp_curves(curves, output_dir)
    write_text(output_dir / "lsp_pck.json", tables_as_json(tables))
    print(f"\nwrote {output_dir / 'lsp_pck.json'} and {', '.join(path.name for path in pictures)}")


def format_lsp_tables(tables: Mapping[str, Tables], people: People) -> str:
    """The printed tables: definitions, then for each convention and metric one row per model. Percent."""
    counts = counted_people(people.joints, people.annotated)
    lines = [f"PCK and PCKh on {len(people)} validation people of {people.source[-1]}, in %", DEFINITIONS]
    if min(counts.values()) < len(people):
        lines.append("  people counted: " + ", ".join(f"{counts[metric]} for {metric}" for metric in LSP_METRICS))
    changed = (observer_order(people.joints, people.annotated) != np.arange(len(LSP))).any(axis=1).sum()
    if changed:
        lines.append(f"  labels of {changed} people differ between the two conventions")
    else:
        lines.append("  the annotations are observer-centric already: the truth is the same under both conventions")
    titles = {(c, m): f"{m}, {c.replace('_', '-')}" for c in CONVENTIONS for m in LSP_METRICS}
    width = max(map(len, titles.values()))
    for (convention, metric), title in titles.items():
        rows = [
            (name, [table[convention][metric][column] for column in GROUPING.columns]) for name, table in tables.items()
        ]
        lines += ["", *format_rows(title, GROUPING.columns, rows, width)]
    return "\n".join(lines)


def draw_lsp_curves(curves: Mapping[str, Mapping], output_dir: Path) -> list[Path]:
    """Write a picture per metric and convention, with a panel for each of `CURVE_TITLES`; returns the paths."""
    from stacked_hourglass.metrics.rate_curves import CurveAxes, draw_grid  # noqa: PLC0415 - imports matplotlib

    paths = []
    for convention in CONVENTIONS:
        for metric, (_, _, thresholds) in LSP_METRICS.items():
            axes = CurveAxes(CURVE_TITLES, thresholds, LENGTH_UNITS[metric], metric)
            lines = {name: by_convention[convention][metric] for name, by_convention in curves.items()}
            paths.append(output_dir / f"{metric.partition('@')[0].lower()}_{convention}.png")
            draw_grid(lines, axes, paths[-1], f"{metric.partition('@')[0]}, {convention.replace('_', '-')}")
    return paths
