"""One pose in many orientations: inputs of the orthogonal augmentation, and the 3D baseline's predictions.

python viz.py orthog_augmentation --load model_checkpoints/2d3d_h36m_default --z_rotations_only
"""

import math
from argparse import Namespace

import numpy as np
import torch
from torch import Tensor

from twod_threed.lifting import lift
from twod_threed.loading import ensure_normalisation, load_lifter, require_normalisation
from twod_threed.viz import frame_mpjpe, keys_3d
from utils.camera_utils import CAMERA_NAMES, Camera
from utils.data_utils import OrthogonalAugmentation
from utils.doors.option_rules import from_options, given_value, refuse_disagreement
from utils.human36m.actions import ACTIONS, TEST_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import CAMERAS, PoseSet, load_pose_set
from utils.imaging.captions import captioned, titled
from utils.imaging.draw3d import FLOOR_GRID, GRID_PX, sketch_pose_2d, sketch_pose_3d
from utils.imaging.figures import DARK_STYLE, FigureStyle, save_figure
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Sketch, arranged, stacked
from utils.imaging.view3d import TURNED, describe_views
from utils.osutils import UserError, output_folder
from utils.transform import H36M, H36M_2D

COLUMNS = 5
PANEL = (420, 420)  # width, height px
DEFINITION = "columns: orientations; 2D truth is projected by the sample's camera"


def orthog_augmentation(options: Namespace) -> None:
    """`viz.py orthog_augmentation`: a sample of S9 or S11, unchanged and rotated about its hip, each lifted to 3D.

    A sample is a frame in a camera: sample i is frame i // 4 in camera i % 4. Each orientation is a column: the pose
    projected by the sample's camera, the true 3D pose, and the predicted pose drawn over the true one. The first column
    is the original; the others are rotated at random (`seed`), never mirrored. Writes
    `orthog_augmentation_<index>.png` into `output_dir`, and prints the MPJPE of each orientation.

    Raises UserError for an index out of range, and for options that contradict the checkpoint.
    """
    output_dir = output_folder(options.output_dir)
    model = load_lifter(options.load, allow_unsafe=options.allow_unsafe_load)
    refuse_disagreement(options, model.architecture(), options.load)
    files = find_sequences(options.data_dir)
    ensure_normalisation(model, files, ACTIONS, options.load)
    require_normalisation(given_value(options, "dataset_normalization"), model.normalisation.kind, options.load)
    samples = load_pose_set(files, TEST_SUBJECTS, ACTIONS)
    if options.index >= len(samples):
        raise UserError(
            f"--index {options.index}: {options.data_dir} has {len(samples)} test samples (frames of S9 and S11 times "
            f"{CAMERAS} cameras); expected 0 to {len(samples) - 1}"
        )
    generator = torch.Generator().manual_seed(options.seed)
    poses_2d, truth = orientations(
        samples, options.index, options.num_orientations, options.z_rotations_only, generator
    )
    prediction = lift(poses_2d, model)
    errors = [frame_mpjpe(*pair) for pair in zip(prediction, truth, strict=True)]
    path = output_dir / f"orthog_augmentation_{options.index}.png"
    tilt = camera_tilt(_camera(samples, options.index))
    style, name = from_options(FigureStyle, options), sample_name(samples, options.index)
    save_figure(path, draw_orientations(poses_2d, truth, prediction, errors, tilt, name, style), style)
    _print(errors, sample_name(samples, options.index), options.z_rotations_only)
    print(path)


def orientations(
    samples: PoseSet, index: int, count: int, z_rotations_only: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Sample `index` unchanged, then rotated at random about its hip, `count` poses in total, in its own camera.

    Returns: (count, 16, 2) px and (count, 17, 3) mm, camera coordinates, hip at the origin.
    """
    index = torch.tensor([index])
    # No mirroring: it would swap left and right, and the columns would not show the same pose.
    turn = OrthogonalAugmentation(prob=1.0, flip_prob=0.0, z_rotations_only=z_rotations_only)
    parts = samples.poses(index), samples.poses(index.repeat(count - 1), turn, generator)
    poses_2d, poses_3d = (torch.cat(pair) for pair in zip(*parts, strict=True))
    return poses_2d, poses_3d


def draw_orientations(
    poses_2d: Tensor,
    truth: Tensor,
    prediction: Tensor,
    errors: list[float],
    tilt: float,
    name: str,
    style: FigureStyle = DARK_STYLE,
) -> Sketch:
    """One column per orientation, `COLUMNS` side by side, all at the same scale, above a caption.

    Args:
        poses_2d: (N, 16, 2) px.
        truth, prediction: (N, 17, 3) mm, camera coordinates, hip at the origin.
        errors: N MPJPEs, mm.
        tilt: downward tilt of the camera in degrees.
        name: of the sample.
    """
    bounds, palette = _bounds(poses_2d), style.palette
    view = {"size": PANEL, "camera_tilt": tilt, "limits": torch.stack([truth, prediction]), "palette": palette}
    size = size_for(min(len(poses_2d), COLUMNS) * PANEL[0])
    columns = []
    for number, (joints, true, predicted, error) in enumerate(zip(poses_2d, truth, prediction, errors, strict=True)):
        colored = {"errors": (predicted - true).norm(dim=1)} if style.color == "error" else {}
        panels = {
            f"{_heading(number)}: 2D truth": sketch_pose_2d(joints, H36M_2D, PANEL, bounds, palette),
            "3D truth": sketch_pose_3d(true, H36M, **view),
            f"prediction, MPJPE {error:.1f} mm": sketch_pose_3d(predicted, H36M, truth=true, **view, **colored),
        }
        columns.append(stacked([titled(one, title, palette, size) for title, one in panels.items()], palette.gap))
    figure = arranged(columns, COLUMNS, 12, palette.gap)
    sentences = [name, DEFINITION, describe_views(TURNED), FLOOR_GRID, f"2D grid {GRID_PX} px"]
    return captioned(figure, keys_3d(style, truth=True), sentences, palette)


def camera_tilt(camera: Camera) -> float:
    """Downward tilt of a camera in degrees: the angle of its z axis below the horizontal (world z is up)."""
    return -math.degrees(math.asin(camera.R[2, 2].clamp(-1, 1).item()))


def sample_name(samples: PoseSet, index: int) -> str:
    """E.g. "S9/Walking 1/54138969, frame 12"; frames count from 0."""
    frame, camera = divmod(index, CAMERAS)
    sequence = samples.sequences[samples.sequence[frame]]
    return f"S{sequence.subject}/{sequence.name}/{CAMERA_NAMES[camera]}, frame {samples.row[frame]}"


def _camera(samples: PoseSet, index: int) -> Camera:
    frame, camera = divmod(index, CAMERAS)
    return samples.cameras[samples.first_camera[frame] + camera]


def _bounds(poses_2d: Tensor) -> np.ndarray:
    """(2, 2) px: corners of the box around all finite joints, with a margin of a tenth of its size."""
    joints = poses_2d[poses_2d.isfinite().all(-1)].numpy()
    low, high = joints.min(0), joints.max(0)
    margin = 0.1 * (high - low).max()
    return np.stack([low - margin, high + margin])


def _heading(number: int) -> str:
    return "original" if number == 0 else f"orientation {number}"


def _print(errors: list[float], name: str, z_rotations_only: bool) -> None:
    axis = "the vertical axis" if z_rotations_only else "a random axis"
    print(f"{name} (frames count from 0), rotated about {axis} through the hip")
    print(f"MPJPE in mm of the single pose: mean over {len(H36M)} joints, hips at the origin (Protocol 1)")
    rows = ["original", *(f"orientation {number}" for number in range(1, len(errors)))]
    for row, error in zip(rows, errors, strict=True):
        print(f"  {row:<16}{error:8.1f}")
    if len(errors) > 1:
        print(f"  {'mean of rotated':<16}{sum(errors[1:]) / (len(errors) - 1):8.1f}")
