"""Pictures of 3D poses beside the 2D poses that they were lifted from.

python viz.py 2d_gt_3d_gt_3d_pred --2d_pose_ground_truths data/2d3d_h36m/2d_pose_ground_truths.pt \\
    --3d_pose_ground_truths data/2d3d_h36m/3d_pose_ground_truths.pt \\
    --3d_pose_estimations data/2d3d_h36m/3d_pose_estimations.pt
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from twod_threed.joint_order import pelvis_is_between_hips, skeleton_2d, whole_poses
from twod_threed.mpjpe import JOINT_SETS, from_hip, mpjpe
from twod_threed.pose_sequences import load_predicted, load_true_poses
from utils.console.progress import progress
from utils.doors.option_rules import from_options
from utils.files.inside import inside
from utils.imaging.captions import Key, captioned, doubt_key, side_keys, titled, truth_key
from utils.imaging.draw3d import FLOOR_GRID, FULL_ERROR_MM, GRID_PX, sketch_pose_2d, sketch_pose_3d
from utils.imaging.figures import DARK_STYLE, PANEL_GAP, FigureStyle, save_figure
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Sketch, arranged
from utils.imaging.view3d import VIEWS, describe_views
from utils.osutils import UserError, counted, output_folder, warn
from utils.predictions.picture_files import ContactSheet, warn_about_nan
from utils.predictions.prediction_files import load_predictions
from utils.transform import H36M, H36M_2D

SHEET = {"pictures": 24, "columns": 3, "cell": (640, 280)}
CAMERA_TILT = 13.0  # degrees; Human3.6M's cameras look down by 11 to 16


def truth_and_prediction(options: Namespace) -> None:
    """`viz.py 2d_gt_3d_gt_3d_pred`: 2D input, true and predicted 3D pose of selected frames, side by side.

    Reads `.pt` files, 'S9/Walking 1/54138969' -> frames: `pose_2d_ground_truths` (frames × 16 × 2 px, or 17),
    `pose_3d_ground_truths` (frames × 17 × 3 mm, camera coordinates) and `pose_3d_estimations` (17, or 16 without the
    hip), of one or more models, all in Human3.6M's order. Writes `num_pictures` figures of evenly spaced frames as
    S9/Walking 1/54138969/000012.png (frames count from 0) into `output_dir`, and a contact sheet. The MPJPE in a title
    is that of the frame: mean joint error, hips at the origin, over the predicted joints.

    Raises UserError, with nothing written, for a file that is missing, damaged, of other sequences, frames or units
    than the truth, in another order, or (3D only) with NaN. 2D joints that are NaN are counted and not drawn.
    """
    output_dir, truth_path = output_folder(options.output_dir), Path(options.pose_3d_ground_truths)
    style, paths = from_options(FigureStyle, options), list(map(Path, options.pose_3d_estimations))
    models = model_names_for(paths, options.model_names)
    truth = load_true_poses(truth_path)
    predictions = {name: _load_estimations(path, truth, truth_path) for name, path in zip(models, paths, strict=True)}
    inputs = _load_inputs(Path(options.pose_2d_ground_truths), truth, truth_path)
    frames = spread_frames({key: len(poses) for key, poses in truth.items()}, options.num_pictures)
    targets = [inside(output_dir, f"{key}/{frame:06d}.png") for key, frame in frames]
    warn_about_nan(inputs, "2D")

    sheet = ContactSheet(frames, **SHEET, palette=style.palette)
    for (key, frame), target in zip(progress(frames, len(frames), "drawing", "picture"), targets, strict=True):
        name = f"{key}, frame {frame}"
        known = {model: poses[key][frame] for model, poses in predictions.items()}
        figure = draw_comparison(inputs[key][frame], truth[key][frame], known, name, style)
        save_figure(target, figure, style)
        sheet.add((key, frame), figure, name)
    joints = sorted({next(iter(poses.values())).shape[1] for poses in predictions.values()})
    print(f"{len(frames)} pictures in {output_dir}, of {sum(map(len, truth.values()))} frames; frames count from 0")
    print(f"MPJPE in titles: of the frame, mean over {' or '.join(map(str, joints))} joints, hips at the origin")
    sheet.save(output_dir)


def model_names_for(paths: Sequence[str | Path], names: Sequence[str] | None) -> list[str]:
    """Names of models: those given, else "" for a single file and the folders' names for several.

    Raises UserError for another number of names than files, and for two models of one name.
    """
    if names is None:
        folders = [Path(path).absolute().parent.name for path in paths]
        names = [""] if len(paths) == 1 else folders if len(set(folders)) == len(paths) else list(map(str, paths))
    if len(names) != len(paths):
        raise UserError(f"--model_names: {len(names)} names for {counted(len(paths), 'file')} of --3d_pose_estimations")
    if len(set(names)) < len(names):
        raise UserError(f"--model_names {' '.join(names)}: two models have one name; expected different names")
    return list(names)


def keys_3d(style: FigureStyle, truth: bool, threshold: float | None = None) -> list[Key]:
    """The legend of 3D panels. `threshold`: confidence below which joints are doubtful, if there are such joints."""
    keys = side_keys(style.palette)
    if style.color == "error" and truth:
        keys.append(Key(f"error of the prediction, 0 to {FULL_ERROR_MM} mm"))
    if truth:
        keys.append(truth_key(style.palette))
    if threshold is not None:
        keys.append(doubt_key(style.palette, threshold))
    return keys


def draw_comparison(
    joints_2d: Tensor,
    truth: Tensor,
    predictions: Mapping[str, Tensor],
    heading: str = "",
    style: FigureStyle = DARK_STYLE,
) -> Sketch:
    """2D pose, true 3D pose, and predicted over true 3D poses, side by side under a heading and above a caption.

    Args:
        joints_2d: (16, 2) or (17, 2) px, `H36M_2D` or `H36M`.
        truth: (17, 3) mm, camera coordinates.
        predictions: model -> (17, 3), or (16, 3) without and relative to the hip. A single model may have the name "".

    All 3D poses have their hips aligned and are drawn at the same scale. Several views are a row each.
    """
    errors = {model: frame_mpjpe(pose, truth) for model, pose in predictions.items()}
    truth, poses = from_hip(truth), {model: from_hip(pose) for model, pose in predictions.items()}
    common = {"camera_tilt": CAMERA_TILT, "limits": torch.stack([truth, *poses.values()]), "palette": style.palette}
    panels, titles = [], []
    for view in style.views:
        how, seen = common | VIEWS[view].angles, f", {view}" if len(style.views) > 1 else ""
        panels.append(sketch_pose_3d(truth, H36M, **how))
        titles.append(f"3D truth{seen}")
        for model, pose in poses.items():
            colored = {"errors": (pose - truth).norm(dim=1)} if style.color == "error" else {}
            panels.append(sketch_pose_3d(pose, H36M, truth=truth, **how, **colored))
            titles.append(f"{model or '3D prediction'}, MPJPE {errors[model]:.1f} mm{seen}")
    panel_2d = sketch_pose_2d(joints_2d, skeleton_2d(len(joints_2d)), palette=style.palette)
    columns = 1 + len(predictions)
    size = size_for((1 + columns) * (panel_2d.size[0] + PANEL_GAP) - PANEL_GAP)
    cells = [titled(one, title, style.palette, size) for one, title in zip(panels, titles, strict=True)]
    right = arranged(cells, columns, PANEL_GAP, style.palette.gap)
    both = arranged([titled(panel_2d, "2D input", style.palette, size), right], 2, PANEL_GAP, style.palette.gap)
    figure = titled(both, heading, style.palette, size) if heading else both
    sentences = [describe_views(style.views), FLOOR_GRID, f"2D grid {GRID_PX} px"]
    return captioned(figure, keys_3d(style, truth=True), sentences, style.palette)


def frame_mpjpe(prediction: Tensor, truth: Tensor) -> float:
    """Mean distance, mm, of the joints of `prediction` (17, 3), or (16, 3) without the hip, from `truth` (17, 3), hips
    at the origin."""
    counted = H36M.indices(JOINT_SETS[len(prediction)])
    return mpjpe(from_hip(prediction)[None, counted], from_hip(truth)[None, counted]).item()


def spread_frames(frames: Mapping[str, int], count: int) -> list[tuple[str, int]]:
    """(key, frame) of at most `count` evenly spaced frames; `frames`: key -> number of frames."""
    keys, starts, total = list(frames), np.cumsum([0, *frames.values()]), sum(frames.values())
    count = min(count, total)
    chosen = ((2 * np.arange(count) + 1) * total) // (2 * count)  # the middles of `count` equal parts
    sequences = np.searchsorted(starts, chosen, side="right") - 1
    return [(keys[s], int(place - starts[s])) for s, place in zip(sequences, chosen, strict=True)]


# ------------------------------------------------------------------------------------------ files
def _load_estimations(path: Path, truth: Mapping[str, Tensor], truth_path: Path) -> dict[str, Tensor]:
    if path.suffix.lower() != ".pt":
        raise UserError(f"--3d_pose_estimations {path}: unknown suffix {path.suffix!r}; expected a .pt file of run.py")
    return load_predicted(path, truth, truth_path)


def _load_inputs(path: Path, truth: Mapping[str, Tensor], truth_path: Path) -> dict[str, Tensor]:
    """2D poses of the sequences of `truth`: key -> (frames, 16 or 17, 2) px, as on file."""
    name = f"--2d_pose_ground_truths {path}"
    inputs = load_predictions(path)
    missing, surplus = [key for key in truth if key not in inputs], [key for key in inputs if key not in truth]
    if missing:
        raise UserError(
            f"{name}: {len(missing)} of the {len(truth)} sequences of {truth_path} are missing ({missing[0]!r}); "
            "expected one for each, from the same run"
        )
    if surplus:
        warn(f"{name}: {len(surplus)} sequences have no 3D truth and are not drawn ({surplus[0]!r})")
    inputs = {key: inputs[key] for key in truth}
    other = next((key for key in truth if len(inputs[key]) != len(truth[key])), None)
    if other is not None:
        raise UserError(
            f"{name}: {other!r} has {len(inputs[other])} frames, its 3D truth has {len(truth[other])}; expected a "
            "2D pose for each frame"
        )
    shapes = {tuple(poses.shape[1:]) for poses in inputs.values()}
    if len(shapes) > 1 or next(iter(shapes)) not in {(len(skeleton), 2) for skeleton in (H36M_2D, H36M)}:
        found = ", ".join(f"{joints} × {numbers}" for joints, numbers in sorted(shapes))
        raise UserError(f"{name}: poses are {found}; expected 16 × 2 or 17 × 2 (px, joints in Human3.6M's order)")
    _require_order(inputs, name)
    return inputs


def _require_order(inputs: Mapping[str, Tensor], name: str) -> None:
    """Raise UserError if most pelvises are not between the hips: the joints are in another order."""
    poses = whole_poses(inputs.values())
    if not len(poses):
        raise UserError(f"{name}: no frame has only finite joints; expected at least one")
    if not pelvis_is_between_hips(poses):
        raise UserError(
            f"{name}: joints are not in Human3.6M's order (the first is not between the hips; MPII's order?); give the "
            "file that run.py 2d3d_h36m wrote"
        )
