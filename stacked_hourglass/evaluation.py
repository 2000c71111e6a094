"""`python eval.py mpii_PCKh`: score prediction files on MPII's validation people.

    python eval.py mpii_PCKh --data_dir data/mpii --prediction_files preds_valid.mat 2d_pose_estimations.pt

One table for all files, curves as PNG, and `pckh.json`. Every file is read and checked before anything is written.
Coordinates are original image pixels, zero-based, as everywhere inside this project.
"""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stacked_hourglass.annotations.mpii import find_head_boxes, validation_photos
from stacked_hourglass.metrics import pckh
from stacked_hourglass.metrics.validation_predictions import is_by_image, load_validation_predictions
from utils.console.evaluation_tables import format_rows, model_names, tables_as_json
from utils.files.mat_files import read_mat
from utils.osutils import UserError, output_folder, write_text
from utils.transform import MPII

MPII_TRUTH_FILE = "detections_our_format.mat"
CURVE_TITLES = {
    "head": "head (head top)",
    **{joint: f"{joint} (mean of left and right)" for joint in pckh.PAIRED_JOINTS},
    "mean": "plain mean of 14 joints",
}

Table = Mapping[str, Mapping[str, float]]


def mpii_PCKh(options: Namespace) -> None:
    """Print and write PCKh@0.5, PCKh@0.1, AUC (`pckh` defines them) and curves of prediction files.

    Reads `data_dir`, `prediction_files`, `model_names` (None: from the files' names) and `output_dir` of `options`;
    writes `pckh.json`, `pckh_all.png` and `pckh_<column>.png` there. Raises UserError, with nothing written, for
    ground truth or a prediction file that is missing, damaged, of another length or incomplete.
    """
    paths = [Path(path) for path in options.prediction_files]
    names = model_names(paths, options.model_names)
    output_dir = output_folder(options.output_dir)
    truth_path = find_head_boxes(options.data_dir) or Path(options.data_dir, MPII_TRUTH_FILE)
    truth = load_mpii_truth(truth_path)
    images = validation_images(options.data_dir, truth_path, len(truth)) if any(map(is_by_image, paths)) else []
    predictions = [load_validation_predictions(path, images, len(truth), MPII) for path in paths]

    errors = [pckh.normalised_errors(prediction, truth.joints, truth.head_sizes) for prediction in predictions]
    tables = {name: pckh.pckh_table(error, truth.missing) for name, error in zip(names, errors, strict=True)}
    curves = {name: pckh.pckh_curves(error, truth.missing) for name, error in zip(names, errors, strict=True)}
    print(format_pckh_tables(tables, truth_path, len(truth)))
    draw_pckh_curves(curves, output_dir)
    write_text(output_dir / "pckh.json", tables_as_json(tables))
    print(f"\nwrote {output_dir / 'pckh.json'}, {output_dir / 'pckh_all.png'} and a pckh_<joint>.png for each curve")


# Ground truth


@dataclass(frozen=True)
class GroundTruth:
    """The N validation people, in annotation order.

    Attributes:
        joints: (N, 16, 2) float64, zero-based px of the original image; undefined where missing.
        missing: (N, 16) bool, `jnt_missing`: excluded.
        head_sizes: (N,) px, 0.6 × the diagonal of the head box.
    """

    joints: np.ndarray
    missing: np.ndarray
    head_sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.joints)


def load_mpii_truth(path: str | Path) -> GroundTruth:
    """Read MPII's `detections_our_format.mat`: `pos_gt_src` (16, 2, N) one-based px, `jnt_missing` (16, N), and
    `headboxes_src` (2 corners, 2, N).

    Raises UserError for a missing or damaged file, arrays that are absent or disagree, an empty head box, and a
    joint that counts but is NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"{path} does not exist; --data_dir must hold the ground truth of MPII's validation people under this "
            "name (jnt_missing, pos_gt_src, headboxes_src), or try --data_dir sample, which needs no download"
        )
    try:
        content = read_mat(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: truncated, damaged or not a MATLAB file ({error})") from error
    wanted = {"pos_gt_src": (16, 2), "jnt_missing": (16,), "headboxes_src": (2, 2)}
    arrays = {key: _people_first(content, key, shape, path) for key, shape in wanted.items()}
    counts = {key: len(array) for key, array in arrays.items()}
    if len(set(counts.values())) > 1 or not counts["pos_gt_src"]:
        raise UserError(f"{path}: numbers of people are {counts}; expected equal, non-zero counts")
    missing = arrays["jnt_missing"] != 0
    unusable = ~missing & ~np.isfinite(arrays["pos_gt_src"]).all(axis=2)
    if unusable.any():
        person, joint = np.argwhere(unusable)[0]
        raise UserError(f"{path}: {MPII.joints[joint]} of person {person} (from 0) is NaN but not in jnt_missing")
    head_sizes = pckh.head_box_sizes(arrays["headboxes_src"])
    if not (head_sizes > 0).all():
        person = int(np.argmin(head_sizes > 0))
        raise UserError(f"{path}: the head box of person {person} (from 0) is empty; PCKh needs a diagonal above 0")
    return GroundTruth(arrays["pos_gt_src"] - 1, missing, head_sizes)


def _people_first(content: Mapping[str, np.ndarray], key: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """The array (*shape, N) as float64 (N, *shape); an absent last axis is one person's."""
    if key not in content:
        raise UserError(f"{path}: has no {key!r} (it holds {', '.join(content)})")
    array = np.asarray(content[key])
    if array.shape == shape:
        array = array[..., None]
    if array.dtype.kind not in "uifb" or array.shape[:-1] != shape:
        raise UserError(f"{path}: {key!r} is {array.dtype} {array.shape}; expected numbers {(*shape, 'people')}")
    return np.moveaxis(array, -1, 0).astype(np.float64)


def validation_images(data_dir: str | Path, truth_path: Path, count: int) -> list[Path]:
    """The photo of each validation person. Raises UserError if the annotations do not have `count` of them."""
    images = validation_photos(data_dir)
    if len(images) != count:
        raise UserError(
            f"{truth_path} holds {count} people, the annotations in {data_dir} have {len(images)} validation people; "
            "expected equal numbers, from the same data set"
        )
    return images


# Output


def format_pckh_tables(tables: Mapping[str, Table], truth_path: Path, count: int) -> str:
    """The printed table: definitions, then for each metric one row per model. Percent, '-' for no joint."""
    lines = [
        f"PCKh on {count} validation people of {truth_path}, in %",
        "  detected: error < threshold × 0.6 × head-box diagonal; joints in jnt_missing are excluded",
        "  head: head top alone; shoulder to ankle: mean of left and right",
        "  mean: plain mean of 14 joints (without pelvis and thorax); mean_by_count: the same 14, weighted by people",
        "  AUC: area under PCKh over thresholds 0, 0.01, ..., 0.5 (trapezoidal rule), divided by 0.5",
    ]
    metrics, columns = list(next(iter(tables.values()))), pckh.MPII_GROUPING.columns
    width = max(map(len, metrics))
    for metric in metrics:
        rows = [(name, [table[metric][column] for column in columns]) for name, table in tables.items()]
        lines += ["", *format_rows(metric, columns, rows, width)]
    return "\n".join(lines)


def draw_pckh_curves(curves: Mapping[str, Mapping[str, np.ndarray]], output_dir: Path) -> None:
    """Write `pckh_all.png`, a panel for each column but `mean_by_count`, and `pckh_<column>.png` for each alone.

    `curves`: (51,) percent at `pckh.CURVE_THRESHOLDS` by model and column; one line per model.
    """
    from stacked_hourglass.metrics.rate_curves import CurveAxes, draw_grid, draw_single  # noqa: PLC0415 - imports matplotlib

    axes = CurveAxes(CURVE_TITLES, pckh.CURVE_THRESHOLDS, "head size", "PCKh@0.5")
    draw_grid(curves, axes, output_dir / "pckh_all.png")
    for column in CURVE_TITLES:
        draw_single(curves, axes, column, output_dir / f"pckh_{column}.png")
