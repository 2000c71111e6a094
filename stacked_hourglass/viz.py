"""Draws 2D poses on their photos or video frames.

python viz.py 2d_overlay --img_dir PHOTOS --2d_pose_estimations data/hourglass_mpii/2d_pose_estimations.pt
"""

from argparse import Namespace
from pathlib import Path

import numpy as np
from torch import Tensor

from utils.doors.option_rules import from_options
from utils.imaging.captions import captioned, side_keys
from utils.imaging.draw2d import enlarge_small, move_to
from utils.imaging.figures import DARK_STYLE, FigureStyle, photo_panels, zoom_box
from utils.imaging.image_sources import open_source
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Sketch
from utils.predictions.picture_files import (
    confident_joints,
    draw_images,
    find_skeleton,
    hidden_note,
    matching_names,
    warn_about_nan,
)
from utils.predictions.prediction_files import load_predictions
from utils.transform import Skeleton


def overlay_2d(options: Namespace) -> None:
    """`viz.py 2d_overlay`."""
    style = from_options(FigureStyle, options)
    draw_overlays(options.img_dir, options.pose_2d_estimations, options.output_dir, options.min_score, style)


def draw_overlays(
    img_dir: str | Path,
    pose_2d_estimations: str | Path,
    output_dir: str | Path,
    min_score: float | None = None,
    style: FigureStyle = DARK_STYLE,
) -> None:
    """Draw 2D poses on their photos or video frames: one figure per image, and a contact sheet of up to 16.

    Args:
        img_dir: a folder of photos, a photo, or a video.
        pose_2d_estimations: file of image name -> (P, J, 2) zero-based px. `metas.pt` beside it names the joint order;
            without it 16 joints are MPII's, 14 LSP's, 17 COCO's.
        output_dir: figures are named after their images; ".png" is appended for video frames.
        min_score: see `confident_joints`.

    Raises UserError, before anything is written, for unusable input, if no image has a prediction, and if the output
    would overwrite the photos.
    """
    predictions = load_predictions(pose_2d_estimations)
    skeleton = find_skeleton(pose_2d_estimations, predictions)
    source = open_source(img_dir, "--img_dir")
    names = matching_names(source, predictions, pose_2d_estimations)
    drawn = {name: predictions[name] for name in names}
    shown, thresholds = confident_joints(drawn, pose_2d_estimations, min_score)

    def draw(name: str, image: np.ndarray) -> Sketch:
        note = hidden_note(drawn[name], shown[name], skeleton, thresholds[name])
        return overlay_figure(image, shown[name], skeleton, note, style)

    draw_images(source, names, draw, output_dir, style=style)
    warn_about_nan(drawn, "2D")


def overlay_figure(
    image: np.ndarray, joints: Tensor, skeleton: Skeleton, note: str = "", style: FigureStyle = DARK_STYLE
) -> Sketch:
    """A photo (H, W, 3) uint8 with 2D poses (P, J, 2) px, numbered from 0 if there are several, above its caption.

    `note`: a sentence for the caption.
    """
    image, spans = enlarge_small(image)
    points = move_to(joints, spans)
    width = image.shape[1] if zoom_box(points, image.shape[1::-1]) is None else image.shape[1] + image.shape[0]
    numbers = range(len(points)) if len(points) > 1 else ()
    figure = photo_panels(image, points, skeleton, numbers, style.palette, size_for(width))
    found = "" if len(points) else "no person found"
    return captioned(figure, side_keys(style.palette), [found, note], style.palette)
