"""Draws 2D poses on their photos or video frames.

python viz.py 2d_overlay --img_dir PHOTOS --2d_pose_estimations data/hourglass_mpii/2d_pose_estimations.pt
"""

from argparse import Namespace
from pathlib import Path

from utils.imaging.draw2d import draw_pose
from utils.imaging.image_sources import open_source
from utils.predictions.picture_files import confident_joints, draw_images, find_skeleton, matching_names, warn_about_nan
from utils.predictions.prediction_files import load_predictions


def overlay_2d(options: Namespace) -> None:
    """`viz.py 2d_overlay`."""
    draw_overlays(options.img_dir, options.pose_2d_estimations, options.output_dir, options.min_score)


def draw_overlays(
    img_dir: str | Path, pose_2d_estimations: str | Path, output_dir: str | Path, min_score: float | None = None
) -> None:
    """Draw 2D poses on their photos or video frames: one picture per image, and a contact sheet of up to 16.

    Args:
        img_dir: a folder of photos, a photo, or a video.
        pose_2d_estimations: file of image name -> (P, J, 2) zero-based px. `metas.pt` beside it names the joint order;
            without it 16 joints are MPII's, 14 LSP's, 17 COCO's.
        output_dir: pictures are named after their images; ".png" is appended for video frames.
        min_score: see `confident_joints`.

    Raises UserError, before anything is written, for unusable input, if no image has a prediction, and if the output
    would overwrite the photos.
    """
    predictions = load_predictions(pose_2d_estimations)
    skeleton = find_skeleton(pose_2d_estimations, predictions)
    source = open_source(img_dir, "--img_dir")
    names = matching_names(source, predictions, pose_2d_estimations)
    drawn = {name: predictions[name] for name in names}
    shown = confident_joints(drawn, pose_2d_estimations, min_score)
    draw_images(source, names, lambda name, image: draw_pose(image, shown[name], skeleton), output_dir)
    warn_about_nan(drawn, "2D")
