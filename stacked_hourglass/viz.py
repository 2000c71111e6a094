"""2D poses on the photos or video frames that they belong to.

python viz.py 2d_overlay --img_dir PHOTOS --2d_pose_estimations data/hourglass_mpii/2d_pose_estimations.pt
"""

from argparse import Namespace

from utils.imaging.draw2d import draw_pose
from utils.imaging.image_sources import open_source
from utils.predictions.picture_files import confident_joints, draw_images, find_skeleton, matching_names, warn_about_nan
from utils.predictions.prediction_files import load_predictions


def overlay_2d(options: Namespace) -> None:
    """`viz.py 2d_overlay`: a picture an image under the image's own name, and a contact sheet of up to 16.

    Reads `--2d_pose_estimations`: image name -> people × J × 2, zero-based px; J is told by `metas.pt` beside
    it, else 16 is MPII, 14 LSP, 17 COCO. Frames of a video get ".png" behind their name.

    Raises UserError before it writes anything: unreadable or unusable input, no image with a prediction, an
    output folder whose files would replace the photos.
    """
    predictions = load_predictions(options.pose_2d_estimations)
    skeleton = find_skeleton(options.pose_2d_estimations, predictions)
    source = open_source(options.img_dir, "--img_dir")
    names = matching_names(source, predictions, options)
    shown = confident_joints(
        {name: predictions[name] for name in names}, options.pose_2d_estimations, options.min_score
    )
    draw_images(source, names, options, lambda name, image: draw_pose(image, shown[name], skeleton))
    warn_about_nan({name: predictions[name] for name in names}, "2D")
