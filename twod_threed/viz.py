"""Pictures of 3D poses beside the 2D poses that they were lifted from.

python viz.py 2d_gt_3d_gt_3d_pred --2d_pose_ground_truths data/2d3d_h36m/2d_pose_ground_truths.pt \\
    --3d_pose_ground_truths data/2d3d_h36m/3d_pose_ground_truths.pt \\
    --3d_pose_estimations data/2d3d_h36m/3d_pose_estimations.pt
"""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from twod_threed.joint_order import pelvis_is_between_hips, skeleton_2d, whole_poses
from twod_threed.mpjpe import JOINT_SETS, from_hip, mpjpe
from twod_threed.pose_sequences import load_predicted, load_true_poses
from utils.console.progress import progress
from utils.files.inside import inside
from utils.imaging.draw2d import save_image
from utils.imaging.draw3d import draw_pose_2d, draw_pose_3d, panel_row
from utils.osutils import UserError, output_folder, warn
from utils.predictions.picture_files import ContactSheet, warn_about_nan
from utils.predictions.prediction_files import load_predictions
from utils.transform import H36M, H36M_2D

SHEET = {"pictures": 24, "columns": 3, "cell": (640, 280)}
CAMERA_TILT = 13.0  # degrees; Human3.6M's cameras look down by 11 to 16


def truth_and_prediction(options: Namespace) -> None:
    """`viz.py 2d_gt_3d_gt_3d_pred`: 2D input, true and predicted 3D pose of selected frames, side by side.

    Reads three `.pt` files, 'S9/Walking 1/54138969' -> frames: `pose_2d_ground_truths` (frames × 16 × 2 px, or 17),
    `pose_3d_ground_truths` (frames × 17 × 3 mm, camera coordinates) and `pose_3d_estimations` (17, or 16 without the
    hip), all in Human3.6M's order. Writes `num_pictures` pictures of evenly spaced frames as
    S9/Walking 1/54138969/000012.png (frames count from 0) into `output_dir`, and a contact sheet. The MPJPE in a title
    is that of the frame: mean joint error, hips at the origin, over the predicted joints.

    Raises UserError, with nothing written, for a file that is missing, damaged, of other sequences, frames or units
    than the truth, in another order, or (3D only) with NaN. 2D joints that are NaN are counted and not drawn.
    """
    output_dir, truth_path = output_folder(options.output_dir), Path(options.pose_3d_ground_truths)
    truth = load_true_poses(truth_path)
    prediction = _load_estimations(Path(options.pose_3d_estimations), truth, truth_path)
    inputs = _load_inputs(Path(options.pose_2d_ground_truths), truth, truth_path)
    frames = spread_frames({key: len(poses) for key, poses in truth.items()}, options.num_pictures)
    targets = [inside(output_dir, f"{key}/{frame:06d}.png") for key, frame in frames]
    warn_about_nan(inputs, "2D")

    sheet = ContactSheet(frames, **SHEET)
    for (key, frame), target in zip(progress(frames, len(frames), "drawing", "picture"), targets, strict=True):
        picture = draw_comparison(
            inputs[key][frame], truth[key][frame], prediction[key][frame], f"{key}, frame {frame}"
        )
        save_image(target, picture)
        sheet.add((key, frame), picture)
    joints = next(iter(prediction.values())).shape[1]
    print(f"{len(frames)} pictures in {output_dir}, of {sum(map(len, truth.values()))} frames; frames count from 0")
    print(f"MPJPE in titles: of the frame, mean over {joints} joints, hips at the origin")
    sheet.save(output_dir)


def draw_comparison(joints_2d: Tensor, truth: Tensor, prediction: Tensor, heading: str = "") -> np.ndarray:
    """Draw 2D pose, true 3D pose, and predicted over true 3D pose, in one row under a heading.

    Args:
        joints_2d: (16, 2) or (17, 2) px, `H36M_2D` or `H36M`.
        truth: (17, 3) mm, camera coordinates.
        prediction: (17, 3), or (16, 3) without and relative to the hip.

    Returns: (H, W, 3) uint8; both 3D poses have their hips aligned and are drawn at the same scale.
    """
    error = frame_mpjpe(prediction, truth)
    truth, prediction = from_hip(truth), from_hip(prediction)
    view = {"camera_tilt": CAMERA_TILT, "limits": torch.stack([truth, prediction])}
    panels = [
        draw_pose_2d(joints_2d, skeleton_2d(len(joints_2d))),
        draw_pose_3d(truth, H36M, **view),
        draw_pose_3d(prediction, H36M, truth=truth, **view),
    ]
    return panel_row(panels, ["2D input", "3D truth", f"3D prediction, MPJPE {error:.1f} mm"], heading)


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
