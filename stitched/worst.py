"""The people of a run with the largest error, the prediction beside the truth.

python run.py hourglass_mpii --data_dir data/mpii --output_dir data/hourglass_mpii
python viz.py worst --predictions data/hourglass_mpii --num_pictures 12

Works on the folders that run.py writes on annotated data: MPII, LSP and COCO (2D) and Human3.6M (3D).
"""

from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stitched.viewer import image_folder_of
from stitched.viz import box_diagonals
from twod_threed.viz import draw_comparison, frame_mpjpe
from utils.doors.option_rules import from_options, refuse_useless
from utils.files.inside import inside
from utils.formats.requirements import POSES_2D, POSES_3D
from utils.imaging.captions import captioned, side_keys, titled_row
from utils.imaging.draw2d import move_to, resized, sketch_pose
from utils.imaging.figures import DARK_STYLE, PANEL_GAP, FigureStyle, save_figure
from utils.imaging.image_sources import open_source
from utils.imaging.images import ImageError
from utils.imaging.sketch import Sketch
from utils.osutils import UserError, inform, warn
from utils.predictions.picture_files import ContactSheet, find_skeleton
from utils.predictions.prediction_files import load_predictions, metas_of
from utils.transform import Skeleton

TRUE_POSES_2D, TRUE_POSES_3D = "2d_pose_ground_truths.pt", "3d_pose_ground_truths.pt"
HEIGHT = 480  # px, of the cut-out person
MARGIN = 0.25  # of the poses' size, around them
ERROR_2D = "error: mean distance of the annotated joints from their truth, in % of the diagonal of the true pose's box"
ERROR_3D = "MPJPE: mean over the joints, hips at the origin"


class LargeError(NamedTuple):
    """A person of an image, or a frame of a sequence, and the error in % or mm."""

    name: str
    index: int
    error: float


def worst(options: Namespace) -> None:
    """`viz.py worst`."""
    [folder, *others] = options.predictions
    if others:
        raise UserError(f"--predictions: {len(others) + 1} folders; expected one, whose largest errors are drawn")
    of_photos = f"is for 3D poses; of {folder} the 2D poses are drawn, which have ground truth"
    refuse_useless(options, [(_has_2d(Path(folder)), ["views", "color"], of_photos)])
    style = from_options(FigureStyle, options)
    draw_worst(folder, options.output_dir, img_dir=options.img_dir, num_pictures=options.num_pictures, style=style)


def draw_worst(
    predictions: str | Path,
    output_dir: str | Path,
    *,
    img_dir: str | Path | None = None,
    num_pictures: int = 24,
    style: FigureStyle = DARK_STYLE,
) -> list[Path]:
    """Draw the people with the largest errors, the worst first, and a contact sheet; returns the figures' paths.

    Args:
        predictions: a folder that run.py wrote on annotated data. With photos its 2D poses are drawn; without, the 3D
            poses of sequences, of each sequence the worst frame.
        img_dir: the photos; by default those that the folder's `metas.pt` names.
        num_pictures: so many people at most.
        style: views and colour are those of 3D poses.

    Raises UserError for a folder without ground truth, and if no image can be read.
    """
    folder = Path(predictions)
    if _has_2d(folder):
        figures = _worst_in_photos(folder, img_dir, num_pictures, style)
        definition = ERROR_2D
    elif (folder / POSES_3D).is_file() and (folder / TRUE_POSES_3D).is_file():
        figures, definition = _worst_sequences(folder, num_pictures, style), ERROR_3D
    else:
        raise UserError(
            f"--predictions {folder}: has no ground truth ({TRUE_POSES_2D} or {TRUE_POSES_3D}) beside its poses; "
            "give the output folder of a run on annotated data"
        )
    sheet, paths = ContactSheet(list(figures), columns=3, cell=(560, 420), palette=style.palette), []
    for name, figure in figures.items():
        paths.append(inside(Path(output_dir), f"{name}.png"))
        save_figure(paths[-1], figure, style)
        sheet.add(name, figure)
    inform(f"the {len(paths)} largest errors in {output_dir}, the worst first\n{definition}")
    sheet.save(Path(output_dir))
    return paths


def _has_2d(folder: Path) -> bool:
    """Whether the errors of a folder are those of its 2D poses."""
    return (folder / POSES_2D).is_file() and (folder / TRUE_POSES_2D).is_file()


def errors_2d(predictions: dict[str, Tensor], truth: dict[str, Tensor]) -> list[LargeError]:
    """The error in % (see `ERROR_2D`) of every person with at least two annotated joints, (P, J, 2) px by image."""
    found = []
    for name in [name for name in predictions if name in truth]:
        joints, known = predictions[name].double(), truth[name].double()
        if joints.shape != known.shape:
            raise UserError(f"{name!r} has {tuple(joints.shape)} predictions, its truth {tuple(known.shape)}")
        annotated = known.isfinite().all(dim=2)
        distances = (joints - known).norm(dim=2).nan_to_num(nan=0.0) * annotated
        shares = 100 * distances.sum(dim=1) / annotated.sum(dim=1) / box_diagonals(known)
        enough = annotated.sum(dim=1) > 1
        found += [LargeError(name, k, shares[k].item()) for k in enough.nonzero().flatten().tolist()]
    return found


def _worst_in_photos(folder: Path, img_dir: str | Path | None, count: int, style: FigureStyle) -> dict[str, Sketch]:
    predictions, truth = load_predictions(folder / POSES_2D), load_predictions(folder / TRUE_POSES_2D)
    skeleton = find_skeleton(folder / POSES_2D, predictions)
    source = open_source(img_dir or image_folder_of(metas_of(folder), folder), "--img_dir")
    ranked = sorted(errors_2d(predictions, truth), key=lambda one: -one.error)[:count]
    present = set(source.names())
    figures, lost = {}, 0
    for rank, one in enumerate(ranked, 1):
        image = source.read(one.name) if one.name in present else None
        if image is None or isinstance(image, ImageError):
            lost += 1
            continue
        pair = predictions[one.name][one.index], truth[one.name][one.index]
        title = f"{one.name}, person {one.index}, error {one.error:.0f} %"
        figures[f"{rank:03d}_{Path(one.name).stem}_person{one.index}"] = photo_pair(
            image, *pair, skeleton, title, style
        )
    if lost:
        warn(f"{lost} of the {len(ranked)} images are unreadable or not in {source.root}, left out")
    if not figures:
        raise UserError(f"--img_dir {source.root}: none of the images with ground truth could be read")
    return figures


def photo_pair(
    image: np.ndarray, joints: Tensor, truth: Tensor, skeleton: Skeleton, title: str, style: FigureStyle = DARK_STYLE
) -> Sketch:
    """A person (J, 2) px cut out of a photo (H, W, 3), the prediction beside the truth, above a caption."""
    points = torch.cat([joints, truth]).double().numpy()
    points = points[np.isfinite(points).all(axis=1)]
    limits = np.array(image.shape[1::-1])
    room = MARGIN * np.ptp(points, axis=0).max() + 8
    low = np.clip(np.floor(points.min(axis=0) - room), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + room), low + 1, limits).astype(int)
    small, spans = resized(image[low[1] : high[1], low[0] : high[0]], HEIGHT / (high[1] - low[1]))
    palette = style.palette
    panels = [
        sketch_pose(small, move_to(pose.double() - torch.from_numpy(low), spans), skeleton, min_side=0, palette=palette)
        for pose in (joints, truth)
    ]
    row = titled_row(panels, ["prediction", "truth"], palette, title, PANEL_GAP)
    return captioned(row, side_keys(palette), [ERROR_2D], palette)


def _worst_sequences(folder: Path, count: int, style: FigureStyle) -> dict[str, Sketch]:
    predictions, truth = load_predictions(folder / POSES_3D), load_predictions(folder / TRUE_POSES_3D)
    inputs = load_predictions(folder / TRUE_POSES_2D) if (folder / TRUE_POSES_2D).is_file() else {}
    found = []
    for name in [name for name in predictions if name in truth and len(predictions[name]) == len(truth[name])]:
        errors = [frame_mpjpe(*pair) for pair in zip(predictions[name], truth[name], strict=True)]
        frame = int(np.argmax(errors))
        found.append(LargeError(name, frame, errors[frame]))
    if not found:
        raise UserError(f"--predictions {folder}: no sequence of {POSES_3D} is in {TRUE_POSES_3D} with as many frames")
    figures = {}
    for rank, one in enumerate(sorted(found, key=lambda one: -one.error)[:count], 1):
        pose, known = predictions[one.name][one.index], truth[one.name][one.index]
        given = inputs[one.name][one.index] if one.name in inputs else torch.full((16, 2), torch.nan)
        heading = f"{one.name}, frame {one.index}"
        name = f"{rank:03d}_{one.name.replace('/', '_')}_{one.index:06d}"
        figures[name] = draw_comparison(given, known, {"": pose}, heading, style)
    return figures
