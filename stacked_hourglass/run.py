"""2D poses in photos, from a trained hourglass.

python run.py hourglass_mpii --data_dir my_photos                                          # the demo weights: weak
python run.py hourglass_mpii --load model_checkpoints/hourglass_mpii_default                 # MPII in data/mpii
python run.py hourglass_mpii --load CHECKPOINT --data_dir my_photos --person_box hog
python run.py hourglass_mpii --load CHECKPOINT --data_dir clip.mp4
python run.py hourglass_mpii --load CHECKPOINT --data_dir 0                   # a camera, until Ctrl-C
"""

import time
from argparse import Namespace

from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass, require_same_architecture
from stacked_hourglass.photos import find_poses, image_folder
from utils.compute.devices import pick_device
from utils.imaging.image_sources import is_camera
from utils.osutils import UserError


def hourglass_mpii(options: Namespace) -> None:
    """`run.py hourglass_mpii`."""
    checkpoint = weights_to_load(options.load)
    if not checkpoint:
        raise UserError("--load missing: give a checkpoint of train.py hourglass_mpii, or a published hourglass")
    device = pick_device(options.device)
    model = load_hourglass(checkpoint, device, options.allow_unsafe_load)
    require_same_architecture(model.architecture, options, checkpoint)
    predictor = Predictor(model, device, options.precision, options.flip, options.compile)
    start = time.monotonic()
    results = find_poses(predictor, options)
    results.save(options.output_dir)
    print(
        f"{results.count_line(time.monotonic() - start)}\n"
        f"joints in {results.skeleton.name} order, zero-based photo pixels: {options.output_dir}"
    )
    if not is_camera(options.data_dir):  # whose pictures are gone
        print(
            f"draw them: python viz.py 2d_overlay --img_dir {image_folder(options)} "
            f"--2d_pose_estimations {options.output_dir / '2d_pose_estimations.pt'}"
        )
