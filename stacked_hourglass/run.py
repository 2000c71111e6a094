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
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.photos import find_poses, image_folder
from utils.compute.devices import pick_device
from utils.compute.launched import processes_of
from utils.console.commands import shell_command
from utils.console.option_rules import refuse_disagreement
from utils.imaging.image_sources import is_camera
from utils.osutils import UserError


def hourglass_mpii(options: Namespace) -> None:
    """`run.py hourglass_mpii`."""
    checkpoint = weights_to_load(options.load)
    if not checkpoint:
        raise UserError("--load missing: give a checkpoint of train.py hourglass_mpii, or a published hourglass")
    processes = processes_of(options)
    device = pick_device(options.device, processes)
    model = load_hourglass(checkpoint, device, options.allow_unsafe_load, processes)
    refuse_disagreement(options, vars(model.architecture), checkpoint)
    predictor = Predictor(model, options.precision, options.flip, options.compile)
    start = time.monotonic()
    results = find_poses(
        predictor,
        options.data_dir,
        person_box=options.person_box if "person_box" in options.given else None,
        max_frames=options.max_frames,
        run_with_train=options.run_with_train,
        batch_size=options.test_batch_size,
        workers=options.workers,
        processes=processes,
    )
    seconds = time.monotonic() - start
    if not is_camera(options.data_dir):
        for meta in results.metas.values():
            meta["img_dir"] = str(image_folder(options.data_dir))
    results.save(options.output_dir, processes)
    print(results.summary(seconds))
    print(f"joints in {results.skeleton.name} order, zero-based photo pixels: {options.output_dir}")
    if results.people and not is_camera(options.data_dir):  # a camera's pictures are not kept
        poses = options.output_dir / "2d_pose_estimations.pt"
        files = {"img_dir": image_folder(options.data_dir), "2d_pose_estimations": poses}
        print(f"draw them: {shell_command('viz', '2d_overlay', files)}")
