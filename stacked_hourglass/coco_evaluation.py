"""`python eval.py coco_AP`: score results files on COCO's validation people.

    python eval.py coco_AP --prediction_files data/hourglass_coco/person_keypoints_val2017_results.json

A table for all files, curves as PNG, and `coco_ap.json`. `coco_ap` defines the metrics. Every file is read and checked
before anything is written.
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stacked_hourglass.annotations.coco import annotation_file, read_truth
from stacked_hourglass.metrics.coco_ap import (
    COCO_DEFINITIONS,
    COCO_METRICS,
    OKS_THRESHOLDS,
    RECALLS,
    CocoScores,
    coco_ap,
)
from utils.console.evaluation_tables import format_rows, model_names, tables_as_json
from utils.osutils import UserError, output_folder, write_text
from utils.predictions.keypoint_results import load_keypoint_results

PART = "val2017"
CURVES = {"precision": "coco_precision_recall.png", "ap": "coco_ap_over_oks.png"}


def coco_AP(options: Namespace) -> None:
    """Print and write AP and AR (`coco_ap` defines them) and curves of results files.

    Reads `data_dir`, `prediction_files`, `model_names` (None: from the files' names) and `output_dir` of `options`.
    Photos are not needed. Writes `coco_ap.json` (percent) and the pictures of `CURVES`.

    Raises UserError, with nothing written, for annotations or a results file that are missing, damaged, or not of
    the same photos.
    """
    paths = [Path(path) for path in options.prediction_files]
    names = model_names(paths, options.model_names)
    output_dir = output_folder(options.output_dir)
    truth = read_truth(options.data_dir, PART)
    if not any(one["num_keypoints"] and not one["iscrowd"] for one in truth["annotations"]):
        raise UserError(f"{annotation_file(options.data_dir, PART)}: no person with annotated joints except crowds")
    results = {name: load_keypoint_results(path) for name, path in zip(names, paths, strict=True)}
    for path, records in zip(paths, results.values(), strict=True):
        _require_photos_of(truth, records, path, annotation_file(options.data_dir, PART))

    scores = {name: coco_ap(truth, records) for name, records in results.items()}
    print(format_coco_table(scores, truth, {name: len(records) for name, records in results.items()}))
    draw_coco_curves(scores, output_dir)
    write_text(
        output_dir / "coco_ap.json", tables_as_json({name: scores_in_percent(one) for name, one in scores.items()})
    )
    print(f"\nwrote {output_dir / 'coco_ap.json'} and {', '.join(CURVES.values())}")


def _require_photos_of(
    truth: Mapping[str, Sequence[Mapping[str, Any]]], records: Sequence[Mapping[str, Any]], path: Path, source: Path
) -> None:
    known = {image["id"] for image in truth["images"]}
    foreign = [record["image_id"] for record in records if record["image_id"] not in known]
    if foreign:
        raise UserError(
            f"{path}: {len(foreign)} of {len(records)} results are of images that {source.name} lacks, e.g. "
            f"{foreign[0]}; expected results on {PART}"
        )


def scores_in_percent(scores: CocoScores) -> dict[str, Any]:
    """The metrics in percent, with AP at each OKS threshold."""
    by_threshold = dict(zip((f"{t:.2f}" for t in OKS_THRESHOLDS), (100 * scores.by_threshold).tolist(), strict=True))
    return {name: 100 * value for name, value in scores.values.items()} | {"AP_at_OKS": by_threshold}


def format_coco_table(
    scores: Mapping[str, CocoScores], truth: Mapping[str, Sequence[Mapping[str, Any]]], counts: Mapping[str, int]
) -> str:
    """The printed table: what the numbers mean, then one row per model. Percent; `counts` are the models' poses."""
    scored = sum(1 for one in truth["annotations"] if one["num_keypoints"] and not one["iscrowd"])
    photos = len(truth["images"])
    lines = [f"Keypoint AP on {scored} people in {photos} photos of COCO {PART}, in %", COCO_DEFINITIONS, ""]
    rows = [(name, [100 * one.values[metric] for metric in COCO_METRICS]) for name, one in scores.items()]
    lines += format_rows("model", COCO_METRICS, rows)
    poses = ", ".join(f"{name} {count}" for name, count in counts.items())
    return "\n".join([*lines, "", f"poses: {poses}"])


def draw_coco_curves(scores: Mapping[str, CocoScores], output_dir: Path) -> None:
    """Write precision over recall, one panel per OKS threshold, and AP over the OKS threshold."""
    from stacked_hourglass.metrics.rate_curves import CurveAxes, draw_grid, draw_single  # noqa: PLC0415 - imports matplotlib

    columns = [f"{threshold:.2f}" for threshold in OKS_THRESHOLDS]
    precision = {name: dict(zip(columns, 100 * one.precision, strict=True)) for name, one in scores.items()}
    means = {name: {key: float(np.mean(row)) for key, row in rows.items()} for name, rows in precision.items()}
    titles = {column: f"OKS ≥ {column}" for column in columns}
    axes = CurveAxes(titles, RECALLS, "", "AP", x_label="recall", y_label="precision (%)", numbers=means)
    draw_grid(precision, axes, output_dir / CURVES["precision"], "Precision over recall")
    whole = {name: {"AP": 100 * one.values["AP"]} for name, one in scores.items()}
    axes = CurveAxes(
        {"AP": "AP over the OKS threshold"}, OKS_THRESHOLDS, "", "mean AP", x_label="OKS threshold", y_label="AP (%)",
        numbers=whole, start=float(OKS_THRESHOLDS[0]),
    )  # fmt: skip
    draw_single({name: {"AP": 100 * one.by_threshold} for name, one in scores.items()}, axes, "AP",
                output_dir / CURVES["ap"])  # fmt: skip
