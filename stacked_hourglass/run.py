"""2D poses in photos, from a trained hourglass.

python run.py hourglass_mpii --data_dir my_photos                                          # the demo weights: weak
python run.py hourglass_mpii --load model_checkpoints/hourglass_mpii_default                 # MPII in data/mpii
python run.py hourglass_mpii --load CHECKPOINT --data_dir my_photos --person_box hog
python run.py hourglass_mpii --load CHECKPOINT --data_dir clip.mp4 --smooth zero_phase
python run.py hourglass_mpii --load CHECKPOINT --data_dir 0                   # a camera, until Ctrl-C
python run.py hourglass_coco --load model_checkpoints/hourglass_coco_default     # COCO's people in their boxes
"""

import time
from argparse import Namespace
from pathlib import Path

from stacked_hourglass.annotations.coco import coco_photos, is_coco, results_file
from stacked_hourglass.coco_run import find_coco_poses
from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.photos import find_poses, image_folder
from utils.compute.devices import pick_device
from utils.console.commands import shell_command
from utils.doors.option_rules import processes_of, refuse_disagreement, refuse_useless, workers_of_run
from utils.imaging.source_paths import is_camera
from utils.imaging.video_source import FrameRange
from utils.osutils import UserError, written_together
from utils.predictions.keypoint_results import save_keypoint_results
from utils.predictions.pose_results import PoseResults
from utils.predictions.smoothed_people import smooth_people
from utils.transform import COCO


def hourglass_mpii(options: Namespace) -> None:
    """`run.py hourglass_mpii`."""
    checkpoint = weights_to_load(options.load)
    if not checkpoint:
        raise UserError("--load missing: give a checkpoint of train.py hourglass_mpii, or a published hourglass")
    predictor, start = _predictor(options, checkpoint), time.monotonic()
    _run_on_photos(options, predictor, start)


def hourglass_coco(options: Namespace) -> None:
    """`run.py hourglass_coco`."""
    predictor, start = _predictor(options, options.load), time.monotonic()
    if predictor.skeleton != COCO:
        raise UserError(
            f"--load {options.load}: predicts {predictor.skeleton.name} joints, not COCO's 17; give a checkpoint of "
            "train.py hourglass_coco, or use run.py hourglass_mpii"
        )
    if not is_coco(options.data_dir):
        _run_on_photos(options, predictor, start)
        return
    useless = "{0} has annotated people; give its folder of photos for others"
    refuse_useless(
        options, [(True, ["person_box", "max_frames", "start", "end", "every"], useless.format(options.data_dir))]
    )
    part, processes = "train2017" if options.run_with_train else "val2017", processes_of(options)
    results, records = find_coco_poses(
        predictor,
        options.data_dir,
        part,
        batch_size=options.test_batch_size,
        workers=workers_of_run(options, predictor.device.type),
        processes=processes,
    )
    with written_together():
        if processes.is_main:
            save_keypoint_results(options.output_dir / results_file(part), records)
        _report(options, results, coco_photos(options.data_dir, part), start)
    print(f"official results: {options.output_dir / results_file(part)}")
    if part == "val2017":
        files = {"data_dir": options.data_dir, "prediction_files": options.output_dir / results_file(part)}
        print(f"score them: {shell_command('eval', 'coco_AP', files)}")
    results.require_whole()


def _predictor(options: Namespace, checkpoint: str | Path) -> Predictor:
    processes = processes_of(options)
    device = pick_device(options.device, processes)
    model = load_hourglass(checkpoint, device, options.allow_unsafe_load, processes)
    refuse_disagreement(options, vars(model.architecture), checkpoint)
    return Predictor(model, options.precision, options.flip, options.compile, options.decoding)


def _run_on_photos(options: Namespace, predictor: Predictor, start: float) -> None:
    results = find_poses(
        predictor,
        options.data_dir,
        person_box=options.person_box if "person_box" in options.given else None,
        frames=FrameRange(options.start, options.end, options.every, options.max_frames),
        run_with_train=options.run_with_train,
        batch_size=options.test_batch_size,
        workers=workers_of_run(options, predictor.device.type),
        processes=processes_of(options),
    )
    if options.smooth != "none":
        print(smooth_people(results, options.smooth))
    # Camera frames are not stored.
    _report(options, results, None if is_camera(options.data_dir) else image_folder(options.data_dir), start)
    results.require_whole()


def _report(options: Namespace, results: PoseResults, photos: Path | None, start: float) -> None:
    """Write the results, print a summary, and the command that draws them on `photos`."""
    seconds = time.monotonic() - start
    results.save(options.output_dir, processes_of(options))
    print(results.summary(seconds))
    print(f"joints in {results.skeleton.name} order, zero-based photo pixels: {options.output_dir}")
    if results.people and photos:
        files = {"img_dir": photos, "2d_pose_estimations": options.output_dir / "2d_pose_estimations.pt"}
        print(f"draw them: {shell_command('viz', '2d_overlay', files)}")
