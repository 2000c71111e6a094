"""Draws photos with 2D poses and the 3D poses beside them.

python viz.py 2d_overlay_3d_pred --img_dir PHOTOS --2d_pose_estimations data/stitched_mpii/2d_pose_estimations.pt \\
    --3d_pose_estimations data/stitched_mpii/3d_pose_estimations.pt
python viz.py 2d_overlay_3d_gt_3d_pred --img_dir data/h36m/images \\
    --2d_pose_estimations data/stitched_h36m/2d_pose_estimations.pt \\
    --3d_pose_estimations data/stitched_h36m/3d_pose_estimations.pt \\
    --3d_pose_ground_truths data/stitched_h36m/3d_pose_ground_truths.pt
"""

import math
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stitched.pose_files import load_pair, load_truth
from twod_threed.viz import CAMERA_TILT, frame_mpjpe
from utils.imaging.draw2d import OUTLINE, draw_pose, image_grid, move_to, person_color, resized, side_by_side
from utils.imaging.draw3d import POSE_PANEL, draw_pose_3d, floor_shift, pose_limits
from utils.imaging.image_sources import open_source
from utils.osutils import counted, first_few, inform, warn
from utils.predictions.picture_files import draw_images, matching_names, warn_about_nan
from utils.transform import H36M, Skeleton

PANEL_GAP = 6  # px between panels
MOST_PANELS = 8  # in two rows
LEAST_HEIGHT, MOST_HEIGHT = 480, 1080  # px, of a picture
LEAST_PANEL = 360  # px, minimum panel height for two rows
MOST_WIDTH = 1280  # px, of the photo
SHEET_CELL, SHEET_CELL_WITH_TRUTH = (640, 320), (880, 320)  # width, height px
DEFINITION = "MPJPE in their titles: of the person, mean over 17 joints, hips aligned"


def overlay_2d_3d_pred(options: Namespace) -> None:
    """`viz.py 2d_overlay_3d_pred`."""
    files = options.pose_2d_estimations, options.pose_3d_estimations
    draw_poses(options.img_dir, *files, options.output_dir, min_score=options.min_score)


def overlay_2d_3d_gt_3d_pred(options: Namespace) -> None:
    """`viz.py 2d_overlay_3d_gt_3d_pred`."""
    draw_poses(
        options.img_dir,
        options.pose_2d_estimations,
        options.pose_3d_estimations,
        options.output_dir,
        pose_3d_ground_truths=options.pose_3d_ground_truths,
        min_score=options.min_score,
    )


def draw_poses(
    img_dir: str | Path,
    pose_2d_estimations: str | Path,
    pose_3d_estimations: str | Path,
    output_dir: str | Path,
    *,
    pose_3d_ground_truths: str | Path | None = None,
    min_score: float | None = None,
) -> None:
    """Draw photos with 2D poses and the 3D poses beside them: one picture per image, and a contact sheet.

    Each person has a panel with the 3D pose. With ground truth there are two: the true pose, and the prediction with
    the truth drawn thin and the MPJPE in the title.

    Args:
        img_dir: a folder of photos, a photo, or a video.
        pose_2d_estimations: file of image name -> (P, J, 2) zero-based px; `metas.pt` beside it names the joint order.
        pose_3d_estimations: file of image name -> (P, 17, 3) mm, camera coordinates.
        output_dir: pictures are named after their images.
        pose_3d_ground_truths: like `pose_3d_estimations`.
        min_score: see `confident_joints`.

    Raises UserError, with nothing written, if the files don't belong together, if the ground truth lacks an image or a
    person, and like `draw_images`.
    """
    pair = load_pair(pose_2d_estimations, pose_3d_estimations, min_score)
    source = open_source(img_dir, "--img_dir")
    names = matching_names(source, pair.joints, pose_2d_estimations)
    truth = load_truth(pose_3d_ground_truths, pair.poses, names) if pose_3d_ground_truths else {}

    def draw(name: str, image: np.ndarray) -> np.ndarray:
        return compose(image, pair.shown[name], pair.skeleton, pair.poses[name], truth.get(name))

    draw_images(source, names, draw, output_dir, SHEET_CELL_WITH_TRUTH if truth else SHEET_CELL)
    warn_about_nan({name: pair.joints[name] for name in names}, "2D")
    warn_about_nan({name: pair.poses[name] for name in names}, "3D")
    most = most_people(bool(truth))
    crowded = [name for name in names if len(pair.poses[name]) > most]
    if crowded:
        images = counted(len(crowded), "image")
        warn(f"{images} with more than {most} people; 3D shows the largest: {first_few(crowded, ',')}")
    if truth:
        inform(DEFINITION)


def most_people(with_truth: bool) -> int:
    """Maximum number of people per image with a 3D panel."""
    return MOST_PANELS // 2 if with_truth else MOST_PANELS


def compose(
    image: np.ndarray, joints: Tensor, skeleton: Skeleton, poses: Tensor, truth: Tensor | None = None
) -> np.ndarray:
    """A photo with 2D poses, and 3D poses beside it, all at the same scale.

    Args:
        image: (H, W, 3) uint8 RGB.
        joints: (P, J, 2) px of the photo, order `skeleton`.
        poses: (P, 17, 3) mm, camera coordinates, hip at the origin.
        truth: like `poses`, or None.

    Returns: (H', W', 3) uint8. Small photos are enlarged, large ones shrunk. Several people are numbered from 0.
    """
    people = _largest(joints, most_people(truth is not None))
    count = max(1, len(people)) * (1 if truth is None else 2)
    rows = 1 if count <= 2 else 2
    factor = MOST_WIDTH / image.shape[1]
    height = round(np.clip(image.shape[0] * min(factor, 1), max(LEAST_HEIGHT, rows * LEAST_PANEL), MOST_HEIGHT))
    photo, spans = resized(image, min(height / image.shape[0], factor))
    numbers = range(len(joints)) if len(joints) > 1 else ()
    photo = draw_pose(photo, move_to(joints, spans), skeleton, min_side=0, numbers=numbers)

    panel_height = (height - PANEL_GAP * (rows - 1)) // rows
    size = (round(panel_height * POSE_PANEL[0] / POSE_PANEL[1]), panel_height)
    panels = list(_panels(people, poses, truth, size, numbered=len(joints) > 1))
    columns = math.ceil(len(panels) / rows)
    columns += columns % 2 if truth is not None else 0  # truth and prediction stay in one row
    return side_by_side([photo, image_grid(panels, columns, gap=PANEL_GAP, level=OUTLINE[0])], PANEL_GAP)


def _largest(joints: Tensor, most: int) -> list[int]:
    """Ascending indices of the `most` largest people (P, J, 2)."""
    finite = joints.isfinite().all(dim=2, keepdim=True)
    high = joints.masked_fill(~finite, -torch.inf).amax(dim=1)
    low = joints.masked_fill(~finite, torch.inf).amin(dim=1)
    extents = (high - low).clamp(min=0).norm(dim=1)
    return sorted(extents.argsort(descending=True, stable=True)[:most].tolist())


def _panels(
    people: list[int], poses: Tensor, truth: Tensor | None, size: tuple[int, int], numbered: bool
) -> Iterator[np.ndarray]:
    """One 3D panel per person, or two with ground truth; a single empty one without people."""
    if not people:
        yield draw_pose_3d(poses[:0], H36M, size, "no person found", legend=False)
        return
    drawn = poses[people] if truth is None else torch.cat([poses[people], truth[people]], dim=1)
    # Truth and prediction move together, so that their hips stay aligned.
    shifts = torch.from_numpy(floor_shift(drawn, camera_tilt=CAMERA_TILT))
    view = {"camera_tilt": CAMERA_TILT, "limits": pose_limits(drawn + shifts, camera_tilt=CAMERA_TILT)}
    for index, shift in zip(people, shifts, strict=True):
        if numbered:
            view["title_color"] = person_color(index)
        who = f"person {index}: " if numbered else "3D "
        view["legend"] = index == people[0]
        if truth is None:
            yield draw_pose_3d(poses[index] + shift, H36M, size, who + "prediction", **view)
            continue
        error = frame_mpjpe(poses[index], truth[index])
        known = f"MPJPE {error:.0f} mm, hips aligned" if math.isfinite(error) else "MPJPE unknown, joints missing"
        yield draw_pose_3d(truth[index] + shift, H36M, size, who + "truth", **view | {"legend": False})
        yield draw_pose_3d(
            poses[index] + shift,
            H36M,
            size,
            f"{who}{'' if numbered else 'prediction, '}{known}",
            truth=truth[index] + shift,
            **view,
        )
