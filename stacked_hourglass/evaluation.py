"""`python eval.py mpii_PCKh`: score prediction files on MPII's validation people.

    python eval.py mpii_PCKh --data_dir data/mpii --prediction_files preds_valid.mat 2d_pose_estimations.pt

One table for all files, curves as PNG, and `pckh.json`. Every file is read and checked before anything is written.
Coordinates are original image pixels, zero-based, as everywhere inside this project.
"""

from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.io import loadmat

from stacked_hourglass import pckh
from stacked_hourglass.annotations import validation_photos
from utils.console.evaluation_tables import format_number, format_rows, model_names, tables_as_json
from utils.osutils import UserError, atomic_path, require_folder, write_text
from utils.predictions.coco_results import load_coco_results
from utils.predictions.prediction_arrays import ARRAY_SUFFIXES, load_prediction_array, require_finite
from utils.transform import MPII

GROUND_TRUTH_FILE = "detections_our_format.mat"
BY_IMAGE_SUFFIXES = (".pt", ".json")
CURVES = (*pckh.GROUPS, "mean")
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
    output_dir = require_folder(options.output_dir)
    truth_path = Path(options.data_dir, GROUND_TRUTH_FILE)
    truth = load_ground_truth(truth_path)
    images = validation_images(options.data_dir, truth_path, len(truth)) if any(map(_is_by_image, paths)) else []
    predictions = [load_validation_predictions(path, images, len(truth)) for path in paths]

    errors = [pckh.normalised_errors(prediction, truth.joints, truth.head_sizes) for prediction in predictions]
    tables = {name: pckh.pckh_table(error, truth.missing) for name, error in zip(names, errors, strict=True)}
    curves = {name: pckh.pckh_curves(error, truth.missing) for name, error in zip(names, errors, strict=True)}
    print(format_tables(tables, truth_path, len(truth)))
    draw_curves(curves, output_dir)
    write_text(output_dir / "pckh.json", tables_as_json(tables))
    print(f"\nwrote {output_dir / 'pckh.json'}, {output_dir / 'pckh_all.png'} and a pckh_<joint>.png for each curve")


# Ground truth


@dataclass(frozen=True)
class GroundTruth:
    """The N validation people, in annotation order.

    Attributes:
        joints: (N, 16, 2) float64, zero-based px of the original image; meaningless where missing.
        missing: (N, 16) bool, `jnt_missing`: does not count.
        head_sizes: (N,) px, 0.6 × the diagonal of the head box.
    """

    joints: np.ndarray
    missing: np.ndarray
    head_sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.joints)


def load_ground_truth(path: str | Path) -> GroundTruth:
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
        content = loadmat(path)
    except Exception as error:  # scipy raises nearly anything on damaged bytes
        raise UserError(f"{path}: truncated, damaged or no MATLAB file ({type(error).__name__})") from error
    wanted = {"pos_gt_src": (16, 2), "jnt_missing": (16,), "headboxes_src": (2, 2)}
    arrays = {key: _people_first(content, key, shape, path) for key, shape in wanted.items()}
    counts = {key: len(array) for key, array in arrays.items()}
    if len(set(counts.values())) > 1 or not counts["pos_gt_src"]:
        raise UserError(f"{path}: numbers of people are {counts}; one and the same is right, and above 0")
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
    found = [name for name in content if not name.startswith("__")]
    if key not in content:
        raise UserError(f"{path}: has no {key!r} (it holds {', '.join(found)})")
    array = content[key]
    if array.shape == shape:
        array = array[..., None]
    if array.dtype.kind not in "uifb" or array.shape[:-1] != shape:
        raise UserError(f"{path}: {key!r} is {array.dtype} {array.shape}; right is numbers {(*shape, 'people')}")
    return np.moveaxis(array, -1, 0).astype(np.float64)


# Predictions


def _is_by_image(path: Path) -> bool:
    return path.suffix.lower() in BY_IMAGE_SUFFIXES


def validation_images(data_dir: str | Path, truth_path: Path, count: int) -> list[Path]:
    """The photo of each validation person. Raises UserError where the annotations do not have `count` of them."""
    images = validation_photos(data_dir)
    if len(images) != count:
        raise UserError(
            f"{truth_path} holds {count} people, the annotations in {data_dir} have {len(images)} validation people; "
            "the two files must belong together"
        )
    return images


def load_validation_predictions(path: Path, images: Sequence[Path], count: int) -> np.ndarray:
    """Read one prediction file of any kind as (N, 16, 2), zero-based px, in validation order, all finite.

    Args:
        path: an array file, or `.pt` or `.json` by image: person k of an image is its k-th validation person.
        images: the photo of each validation person; used for files by image only.
        count: N.

    Raises UserError for another suffix, number of people or number of joints, and for NaN.
    """
    if _is_by_image(path):
        by_image = _load_tensors(path) if path.suffix.lower() == ".pt" else load_coco_results(path).keypoints
        array = _in_validation_order(by_image, images, path)
    elif path.suffix.lower() in ARRAY_SUFFIXES:
        array = load_prediction_array(path)
    else:
        suffixes = ", ".join((*BY_IMAGE_SUFFIXES, *ARRAY_SUFFIXES))
        raise UserError(f"--prediction_files {path}: unknown suffix {path.suffix!r}; choose one of {suffixes}")
    if len(array) != count:
        raise UserError(f"{path}: {len(array)} predictions for {count} validation people; one for each is right")
    if array.shape[1] != len(MPII):
        raise UserError(f"{path}: {array.shape[1]} joints a person; MPII has {len(MPII)}")
    require_finite(array, path, MPII)
    return array


def _load_tensors(path: Path) -> dict[str, np.ndarray]:
    from utils.predictions.prediction_files import load_predictions  # noqa: PLC0415 - torch, for these files alone

    return {name: poses.double().numpy() for name, poses in load_predictions(path).items()}


def _in_validation_order(by_image: Mapping[str, np.ndarray], images: Sequence[Path], path: Path) -> np.ndarray:
    """Poses by image name as (N, J, 2), a row for each of `images`."""
    shapes = {tuple(poses.shape[1:]) for poses in by_image.values()}
    if len(shapes) != 1 or next(iter(shapes))[-1] != 2:
        found = ", ".join(" × ".join(map(str, shape)) for shape in sorted(shapes)) or "no image"
        raise UserError(f"{path}: a person is {found}; for PCKh every person is {len(MPII)} × 2 px")
    keys = [_key_of(image, by_image) for image in images]
    total, expected = sum(map(len, by_image.values())), Counter(keys)
    absent = next((image.name for image, key in zip(images, keys, strict=True) if key is None), None)
    wrong = next((key for key in by_image if len(by_image[key]) != expected[key]), None)
    if absent is not None or wrong is not None:
        detail = (
            f"{absent} has none"
            if absent is not None
            else f"{wrong} has {len(by_image[wrong])} people, {expected[wrong]} are right"
        )
        raise UserError(f"{path}: {total} predictions for {len(images)} validation people; the first fault: {detail}")
    starts = dict(zip(by_image, np.cumsum([0, *map(len, by_image.values())]).tolist(), strict=False))
    rows = []
    for key in keys:
        rows.append(starts[key])
        starts[key] += 1
    return np.concatenate(list(by_image.values()))[rows]


def _key_of(image: Path, by_image: Mapping[str, np.ndarray]) -> str | None:
    """The name under which a file knows a photo: as much of the end of its path as is a key, the longest first."""
    ends = ("/".join(image.parts[start:]) for start in range(len(image.parts)))
    return next((end for end in ends if end in by_image), None)


# Output


def format_tables(tables: Mapping[str, Table], truth_path: Path, count: int) -> str:
    """The printed table: what the numbers mean, then for each metric a row a model. Percent, '-' for no joint."""
    lines = [
        f"PCKh on {count} validation people of {truth_path}, in %",
        "  detected: error < threshold × 0.6 × head-box diagonal; joints in jnt_missing do not count",
        "  head: head top alone; shoulder to ankle: mean of left and right",
        "  mean: plain mean of 14 joints (without pelvis and thorax); mean_by_count: the same 14, weighted by people",
        "  AUC: area under PCKh over thresholds 0, 0.01, ..., 0.5 (trapezoidal rule), divided by 0.5",
    ]
    metrics = list(next(iter(tables.values())))
    width = max(map(len, metrics))
    for metric in metrics:
        rows = [(name, [table[metric][column] for column in pckh.COLUMNS]) for name, table in tables.items()]
        lines += ["", *format_rows(metric, pckh.COLUMNS, rows, width)]
    return "\n".join(lines)


def draw_curves(curves: Mapping[str, Mapping[str, np.ndarray]], output_dir: Path) -> None:
    """Write `pckh_all.png`, a panel for each of `CURVES`, and `pckh_<column>.png` for each alone.

    `curves` holds (51,) percent at `pckh.CURVE_THRESHOLDS` by model and column; a line a model.
    """
    legend_height = 0.25 * len(curves)  # inches
    grid = Figure(figsize=(18, 9 + 2 * legend_height), layout="constrained")
    for axes, column in zip(grid.subplots(2, len(CURVES) // 2).flat, CURVES, strict=True):
        _draw_panel(axes, curves, column)
    _save(grid, output_dir / "pckh_all.png")
    for column in CURVES:
        figure = Figure(figsize=(6.4, 4.8 + legend_height), layout="constrained")
        _draw_panel(figure.subplots(), curves, column)
        _save(figure, output_dir / f"pckh_{column}.png")


def _draw_panel(axes: Axes, curves: Mapping[str, Mapping[str, np.ndarray]], column: str) -> None:
    for index, (name, by_column) in enumerate(curves.items()):
        rate = format_number(by_column[column][-1])
        short = name if len(name) <= 32 else f"{name[:15]}…{name[-16:]}"  # wider, legends of a row would overlap
        # The rate comes first since matplotlib hides labels that begin with an underscore; $ would start a formula.
        label = f"{rate}  {short}".replace("$", r"\$")
        style = ("-", "--", ":", "-.")[index // 10 % 4]  # ten colours, then the next style
        axes.plot(pckh.CURVE_THRESHOLDS, by_column[column], style, color=f"C{index % 10}", label=label)
    axes.set(xlim=(0, 0.5), ylim=(0, 101), title=CURVE_TITLES[column])
    axes.set(xlabel="normalised distance (fraction of head size)", ylabel="detection rate (%)")
    axes.grid(alpha=0.3)
    # Below the axes: inside, it would hide part of a line in one panel or another.
    axes.legend(title="PCKh@0.5 (%)", alignment="left", loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)


def _save(figure: Figure, path: Path) -> None:
    canvas = FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        canvas.print_figure(temporary, dpi=120)
