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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stitched.pose_files import PosePair, load_pair, load_poses_3d, load_truth, require_same_people
from twod_threed.viz import CAMERA_TILT, frame_mpjpe, keys_3d, model_names_for
from utils.doors.option_rules import from_options
from utils.imaging.captions import captioned
from utils.imaging.draw2d import move_to, resized
from utils.imaging.draw3d import FLOOR_GRID, POSE_PANEL, floor_shift, pose_limits, sketch_pose_3d
from utils.imaging.figures import DARK_STYLE, PANEL_GAP, FigureStyle, photo_panels, zoom_box
from utils.imaging.image_sources import open_source
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Polygon, Sketch, arranged
from utils.imaging.view3d import VIEWS, describe_views
from utils.look.palette import person_color
from utils.osutils import UserError, counted, first_few, inform, warn
from utils.predictions.picture_files import draw_images, hidden_note, matching_names, warn_about_nan
from utils.transform import H36M, Skeleton

MOST_PANELS = 8  # with several people, about
LEAST_HEIGHT, MOST_HEIGHT = 480, 1080  # px, of a picture
LEAST_PANEL = 360  # px, minimum panel height for several rows
MOST_WIDTH = 1280  # px, of the photo
SHEET_CELL, SHEET_CELL_WITH_TRUTH = (640, 320), (880, 320)  # width, height px
DEFINITION = "MPJPE: of the person, mean over 17 joints, hips aligned"


class Scene(NamedTuple):
    """What is known of the people in one photo.

    Attributes:
        joints: (P, J, 2) px of the photo, NaN for joints that are hidden, order `skeleton`.
        poses: model -> (P, 17, 3) mm, camera coordinates, hip at the origin. A single model may have the name "".
        truth: (P, 17, 3) likewise, or None.
        doubtful: (P, 17) bool, 3D joints that are not to be trusted; None for none.
        threshold: the confidence below which joints are doubtful.
        note: a sentence for the caption.
    """

    joints: Tensor
    skeleton: Skeleton
    poses: Mapping[str, Tensor]
    truth: Tensor | None = None
    doubtful: Tensor | None = None
    threshold: float = 0.0
    note: str = ""


def overlay_2d_3d_pred(options: Namespace) -> None:
    """`viz.py 2d_overlay_3d_pred`."""
    _draw(options, None)


def overlay_2d_3d_gt_3d_pred(options: Namespace) -> None:
    """`viz.py 2d_overlay_3d_gt_3d_pred`."""
    _draw(options, options.pose_3d_ground_truths)


def _draw(options: Namespace, truth: Path | None) -> None:
    draw_poses(
        options.img_dir,
        options.pose_2d_estimations,
        options.pose_3d_estimations,
        options.output_dir,
        pose_3d_ground_truths=truth,
        model_names=options.model_names,
        min_score=options.min_score,
        style=from_options(FigureStyle, options),
    )


def draw_poses(
    img_dir: str | Path,
    pose_2d_estimations: str | Path,
    pose_3d_estimations: str | Path | Sequence[str | Path],
    output_dir: str | Path,
    *,
    pose_3d_ground_truths: str | Path | None = None,
    model_names: Sequence[str] | None = None,
    min_score: float | None = None,
    style: FigureStyle = DARK_STYLE,
) -> None:
    """Draw photos with 2D poses and the 3D poses beside them: one figure per image, and a contact sheet.

    Each person has a panel with the 3D pose of every model. With ground truth there is one more, the true pose, and
    the predictions have the truth drawn dashed and the MPJPE in the title.

    Args:
        img_dir: a folder of photos, a photo, or a video.
        pose_2d_estimations: file of image name -> (P, J, 2) zero-based px; `metas.pt` beside it names the joint order.
        pose_3d_estimations: file of image name -> (P, 17, 3) mm, camera coordinates; or several, one a model.
        output_dir: figures are named after their images.
        pose_3d_ground_truths: like `pose_3d_estimations`.
        model_names: one per file of 3D poses.
        min_score: see `confident_joints`.

    Raises UserError, with nothing written, if the files don't belong together, if the ground truth lacks an image or a
    person, and like `draw_images`.
    """
    paths = pose_3d_estimations if isinstance(pose_3d_estimations, list | tuple) else [pose_3d_estimations]
    models = model_names_for(paths, model_names)
    pair = load_pair(pose_2d_estimations, paths[0], min_score)
    source = open_source(img_dir, "--img_dir")
    names = matching_names(source, pair.joints, pose_2d_estimations)
    poses = dict(zip(models, [pair.poses, *(_same_people(path, pair) for path in paths[1:])], strict=True))
    truth = load_truth(pose_3d_ground_truths, pair.poses, names) if pose_3d_ground_truths else {}

    def draw(name: str, image: np.ndarray) -> Sketch:
        scene = Scene(
            pair.shown[name],
            pair.skeleton,
            {model: known[name] for model, known in poses.items()},
            truth.get(name),
            pair.doubtful(name),
            pair.thresholds[name],
            hidden_note(pair.joints[name], pair.shown[name], pair.skeleton, pair.thresholds[name]),
        )
        return compose(image, scene, style)

    draw_images(source, names, draw, output_dir, SHEET_CELL_WITH_TRUTH if truth else SHEET_CELL, style)
    warn_about_nan({name: pair.joints[name] for name in names}, "2D")
    for known in poses.values():
        warn_about_nan({name: known[name] for name in names}, "3D")
    most = most_people(len(models) + bool(truth))
    crowded = [name for name in names if len(pair.poses[name]) > most]
    if crowded:
        images = counted(len(crowded), "image")
        warn(f"{images} with more than {most} people; 3D shows the largest: {first_few(crowded, ',')}")
    if truth:
        inform(DEFINITION)


def most_people(panels: int) -> int:
    """Maximum number of people per image with 3D panels, of so many panels a person side by side."""
    return max(2, MOST_PANELS // panels)


def compose(image: np.ndarray, scene: Scene, style: FigureStyle = DARK_STYLE) -> Sketch:
    """A photo (H, W, 3) uint8 with 2D poses, 3D poses beside it, all at the same scale, above their caption.

    Small photos are enlarged, large ones shrunk. Several people are numbered from 0. A person's panels are side by
    side, the truth first, with a row a view.
    """
    panels = len(scene.poses) + (scene.truth is not None)
    people = _largest(scene.joints, most_people(panels))
    blocks, views = max(1, len(people)), len(style.views)
    rows = 1 if blocks == 1 or blocks * panels * views <= 2 else 2
    columns = math.ceil(blocks / rows)
    factor = MOST_WIDTH / image.shape[1]
    least = max(LEAST_HEIGHT, rows * views * LEAST_PANEL if rows * views > 1 else 0)
    height = round(np.clip(image.shape[0] * min(factor, 1), least, max(MOST_HEIGHT, least)))
    photo, spans = resized(image, min(height / image.shape[0], factor))
    joints = move_to(scene.joints, spans)

    panel_height = (height - PANEL_GAP * (rows * views - 1)) // (rows * views)
    size = (round(panel_height * POSE_PANEL[0] / POSE_PANEL[1]), panel_height)
    zoomed = zoom_box(joints, photo.shape[1::-1]) is not None
    text_size = size_for(photo.shape[1] + zoomed * photo.shape[0] + columns * panels * (size[0] + PANEL_GAP))
    numbers = range(len(joints)) if len(joints) > 1 else ()
    left = photo_panels(photo, joints, scene.skeleton, numbers, style.palette, text_size)
    right = arranged(_blocks(scene, people, size, text_size, style), columns, PANEL_GAP, style.palette.gap)
    figure = arranged([left, right], 2, PANEL_GAP, style.palette.gap)
    return captioned(figure, *_explanation(scene, people, style), style.palette)


def _explanation(scene: Scene, people: list[int], style: FigureStyle) -> tuple[list, list[str]]:
    """Legend and sentences of the caption."""
    doubtful = scene.doubtful is not None and bool(scene.doubtful[people].any())
    keys = keys_3d(style, truth=scene.truth is not None, threshold=scene.threshold if doubtful else None)
    total = len(scene.joints)
    fewer = f"3D of the {len(people)} largest of {total} people" if len(people) < total else ""
    definition = DEFINITION if scene.truth is not None else ""
    return keys, [describe_views(style.views), FLOOR_GRID, definition, scene.note, fewer]


def _same_people(path: str | Path, pair: PosePair) -> dict[str, Tensor]:
    """3D poses of a further model. Raises UserError if an image or a person of the first is missing."""
    option = f"--3d_pose_estimations {path}"
    poses = load_poses_3d(path, "--3d_pose_estimations")
    lacking = [name for name in pair.poses if name not in poses]
    if lacking:
        raise UserError(
            f"{option}: lacks {len(lacking)} of the {len(pair.poses)} images of the first file "
            f"({first_few(lacking, ',', 2)}); give files of runs on the same images"
        )
    require_same_people(pair.poses, poses, option, "the first file")
    return poses


def _largest(joints: Tensor, most: int) -> list[int]:
    """Ascending indices of the `most` largest people (P, J, 2)."""
    return sorted(box_diagonals(joints).argsort(descending=True, stable=True)[:most].tolist())


def box_diagonals(joints: Tensor) -> Tensor:
    """(P,) px, diagonals of the boxes around the finite joints (P, J, 2); 0 without any."""
    finite = joints.isfinite().all(dim=2, keepdim=True)
    high = joints.masked_fill(~finite, -torch.inf).amax(dim=1)
    low = joints.masked_fill(~finite, torch.inf).amin(dim=1)
    return (high - low).clamp(min=0).norm(dim=1)


def _blocks(scene: Scene, people: list[int], size: tuple[int, int], text_size: int, style: FigureStyle) -> list[Sketch]:
    """The panels of every person, all in one view of one scale; a single empty one without people."""
    if not people:
        look = {"text_size": text_size, "palette": style.palette}
        return [sketch_pose_3d(torch.zeros(0, len(H36M), 3), H36M, size, "no person found", **look)]
    known = [poses[people] for poses in scene.poses.values()]
    drawn = torch.cat(known if scene.truth is None else [*known, scene.truth[people]], dim=1)
    # Truth and predictions move together, so that their hips stay aligned.
    shifts = torch.from_numpy(floor_shift(drawn, camera_tilt=CAMERA_TILT))
    limits = pose_limits(drawn + shifts, camera_tilt=CAMERA_TILT)
    common = {"limits": limits, "camera_tilt": CAMERA_TILT, "text_size": text_size, "palette": style.palette}
    return [_block(scene, person, shift, size, style, common) for person, shift in zip(people, shifts, strict=True)]


def _block(scene: Scene, person: int, shift: Tensor, size: tuple[int, int], style: FigureStyle, common: dict) -> Sketch:
    """A person's panels, with a bar in the person's colour above them if there are several people."""
    numbered = len(scene.joints) > 1
    who = f"person {person}: " if numbered else ""
    truth = None if scene.truth is None else scene.truth[person]
    panels = []
    for view in style.views:
        seen = f", {view}" if len(style.views) > 1 else ""
        how = common | VIEWS[view].angles
        if truth is not None:
            panels.append(sketch_pose_3d(truth + shift, H36M, size, f"{who or '3D '}truth{seen}", **how))
        for model, poses in scene.poses.items():
            compared = {} if truth is None else {"truth": truth + shift}
            if truth is not None and style.color == "error":
                compared["errors"] = (poses[person] - truth).norm(dim=1)
            if scene.doubtful is not None:
                compared["doubtful"] = scene.doubtful[person]
            title = _title(who, model, poses[person], truth) + seen
            panels.append(sketch_pose_3d(poses[person] + shift, H36M, size, title, **how, **compared))
    block = arranged(panels, len(panels) // len(style.views), PANEL_GAP, style.palette.gap)
    if numbered:
        bar = np.array([(0, 0), (block.size[0], 0), (block.size[0], 5), (0, 5)]) - 0.5
        block.add(Polygon(bar, person_color(person)))
    return block


def _title(who: str, model: str, pose: Tensor, truth: Tensor | None) -> str:
    """E.g. "person 2: prediction", "3D prediction, MPJPE 10 mm", "person 2: ours, MPJPE 10 mm"."""
    named = model or ("prediction" if who else "3D prediction")
    if truth is None:
        return who + named
    error = frame_mpjpe(pose, truth)
    known = f"MPJPE {error:.0f} mm" if math.isfinite(error) else "MPJPE unknown, joints missing"
    return f"{who}{known}" if who and not model else f"{who}{named}, {known}"
