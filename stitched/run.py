"""2D and 3D poses in photos, videos and Human3.6M's images, by the stitched network.

python run.py stitched_mpii --load_hourglass HOURGLASS --load_2d3d LIFTER --data_dir holiday_photos --person_box hog
python run.py stitched_mpii --data_dir clip.mp4 --draw                       # the demo weights
python run.py stitched_mpii --load STITCHED --data_dir 0 --show              # a camera, live, until Ctrl-C
python run.py stitched_h36m --load STITCHED                                  # Human3.6M's S9 and S11 in data/h36m
"""

import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from stacked_hourglass.annotations.joined import has_people
from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.photos import find_poses, image_folder
from stacked_hourglass.sample_predictions import predict_samples, without_pose
from stitched.crop_predictor import StitchedPredictor
from stitched.live import LiveWindow
from stitched.loading import load_network
from stitched.video import draw_video
from stitched.viz import draw_poses
from twod_threed.absolute_people import place_people
from twod_threed.loading import require_normalisation
from twod_threed.mpjpe import mpjpe, p_mpjpe
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
from utils.console.commands import shell_command
from utils.doors.option_rules import given_value, processes_of, refuse_disagreement, refuse_useless, workers_of_run
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS, select_actions
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.human36m_frames import FrameCrops, Frames, find_frames, has_listed_frames, read_listed_frames
from utils.imaging.images import report_unreadable
from utils.imaging.source_paths import is_camera, is_video
from utils.imaging.video_source import FrameRange
from utils.osutils import UserError
from utils.predictions.pose_results import PoseResults
from utils.predictions.smoothed_people import smooth_people
from utils.transform import H36M, H36M_2D

COORDINATES = (
    "2D: {} order, zero-based px of the photo, x right, y down\n"
    "3D: Human3.6M order, mm, camera coordinates (x right, y down, z forward), hip at the origin"
)
ABSOLUTE_COORDINATES = COORDINATES.replace("hip at the origin", "camera at the origin")
PICTURES = "pictures"  # folder in --output_dir


def stitched_mpii(options: Namespace) -> None:
    """`run.py stitched_mpii`."""
    if options.draw and is_camera(options.data_dir):
        raise UserError(f"--draw: frames of camera {options.data_dir} are not stored; record a video and give that")
    refuse_useless(options, [(not options.absolute, ["focal"], "has no effect without --absolute")])
    if options.absolute and has_people(options.data_dir):
        raise UserError(f"--absolute: {options.data_dir} has annotated people; give its images folder")
    if options.show and not is_camera(options.data_dir):
        raise UserError(f"--show: for a camera, such as --data_dir 0; for {options.data_dir} use viz.py viewer")
    processes = processes_of(options)
    predictor = _predictor(options, image_scale="any")
    start = time.monotonic()
    window = LiveWindow(predictor.skeleton, predictor.score_threshold) if options.show else nullcontext()
    with window as watch:
        results = find_poses(
            predictor,
            options.data_dir,
            person_box=given_value(options, "person_box"),
            frames=FrameRange(options.start, options.end, options.every, options.max_frames),
            run_with_train=options.run_with_train,
            batch_size=options.test_batch_size,
            workers=workers_of_run(options, predictor.device.type),
            processes=processes,
            watch=watch,
        )
    if options.smooth != "none":
        print(smooth_people(results, options.smooth, predictor.lift))
    if options.absolute:
        print(place_people(results, image_folder(options.data_dir), options.focal))
    files = results.save(options.output_dir, processes)
    _print(results, files, time.monotonic() - start, options.absolute)
    if not results.people and options.draw:
        print("no person was found, so nothing is drawn")
    elif results.people and not is_camera(options.data_dir):
        _draw(options, "video" if is_video(options.data_dir) else "2d_overlay_3d_pred", image_folder(options.data_dir))
    results.require_whole()


def stitched_h36m(options: Namespace) -> None:
    """`run.py stitched_h36m`."""
    processes = processes_of(options)
    frames = open_frames(options.data_dir, select_actions(options.action), options.run_with_train)
    predictor = _predictor(options, image_scale="human36m")
    start = time.monotonic()
    workers = workers_of_run(options, predictor.device.type)
    results = run_frames(predictor, frames, options.test_batch_size, workers, processes)
    files = results.save(options.output_dir, processes)
    _print(results, files, time.monotonic() - start)
    print(errors(results))
    _draw(options, "2d_overlay_3d_gt_3d_pred", frames.images_dir)
    results.require_whole()


def _predictor(options: Namespace, image_scale: str) -> StitchedPredictor:
    """Load the network. Raises UserError also for an option that contradicts a checkpoint."""
    load = weights_to_load(options.load, options.load_hourglass, options.load_2d3d)
    network = load_network(
        load,
        options.load_hourglass,
        options.load_2d3d,
        device=pick_device(options.device, processes_of(options)),
        image_scale=image_scale,
        allow_unsafe=options.allow_unsafe_load,
        processes=processes_of(options),
    )
    refuse_disagreement(options, vars(network.hourglass.architecture), load or options.load_hourglass)
    refuse_disagreement(options, network.lifter.architecture(), load or options.load_2d3d)
    asked = given_value(options, "dataset_normalization")
    require_normalisation(asked, network.normalisation.kind, load or options.load_2d3d)
    return StitchedPredictor(network, options.precision, options.flip, options.compile)


def _draw(options: Namespace, script: str, img_dir: Path) -> None:
    """Draw the results into the folder `PICTURES`, like this script of viz.py; without --draw, print its command."""
    kinds = ["2d_pose_estimations", "3d_pose_estimations"]
    if script == "2d_overlay_3d_gt_3d_pred":
        kinds.append("3d_pose_ground_truths")
    files = [options.output_dir / f"{kind}.pt" for kind in kinds]
    if not options.draw:
        command = shell_command("viz", script, {"img_dir": img_dir} | dict(zip(kinds, files, strict=True)))
        print(f"draw them: {command}")
    elif processes_of(options).is_main:
        folder = options.output_dir / PICTURES
        if script == "video":
            draw_video(img_dir, *files, folder)
        else:
            draw_poses(img_dir, *files[:2], folder, pose_3d_ground_truths=files[2] if files[2:] else None)


# ------------------------------------------------------------------------------------------ Human3.6M
def open_frames(folder: str | Path, actions: Sequence[str], run_with_train: bool = False) -> Frames:
    """Images with ground truth in a folder, of these actions and of the validation (or training) subjects.

    If the folder lists frames in poses.npz, all of them are used, regardless of the subject.

    Raises UserError if there is no image, and for `run_with_train` with such a list.
    """
    folder = Path(folder)
    if has_listed_frames(folder):
        if run_with_train:
            raise UserError(f"--run_with_train has no effect: {folder} lists single frames, all of which are used")
        return read_listed_frames(folder).of_actions(actions)
    files = find_sequences(folder)
    poses = load_pose_set(files, TRAIN_SUBJECTS if run_with_train else TEST_SUBJECTS, actions)
    return find_frames(poses, files.data_dir / "images")


def run_frames(
    predictor: StitchedPredictor,
    frames: Frames,
    batch_size: int = 16,
    workers: int = 0,
    processes: Processes = ALONE,
) -> PoseResults:
    """Predict the person in every frame, from a crop around the true joints; results are named by relative path.

    Unreadable images are skipped, with a warning. The 2D ground truth is in the order `H36M_2D`, stored in `metas` as
    `skeleton_truth`.

    Args:
        batch_size: crops per forward pass.
        workers: processes that decode and crop.

    Raises UserError if no image can be read.
    """
    found, lost = predict_samples(predictor, FrameCrops(frames), "frames", batch_size, workers, processes)
    faults = without_pose(found[0])
    if not lost:
        missing = [str(frames.path(i)) for i in faults]
        report_unreadable(missing, len(frames), "left out", f"{frames.images_dir}", "image")
    results = PoseResults(predictor.skeleton, predictor.score_threshold, image_kind="image", lost=lost)
    for index in sorted(set(range(len(frames))) - set(faults)):
        name = frames.path(index).relative_to(frames.images_dir).as_posix()
        meta = {"clip": str(frames.clips[frames.clip[index]]), "frame": int(frames.number[index])}
        results.add(name, meta | {"skeleton_truth": H36M_2D.name}, *(part[index : index + 1] for part in found))
        results.truth[name] = torch.from_numpy(frames.pose_2d[index : index + 1]).float()
        results.truth_3d[name] = torch.from_numpy(frames.pose_3d[index : index + 1]).float()
    return results


def errors(results: PoseResults) -> str:
    """A text with the MPJPE and its definition."""
    predicted, truth = (torch.cat(list(poses.values())) for poses in (results.joints_3d, results.truth_3d))
    return (
        f"MPJPE {mpjpe(predicted, truth):.1f} mm (Protocol 1: mean distance of a joint from its truth, hips at the "
        f"origin), {p_mpjpe(predicted, truth):.1f} mm after Procrustes alignment of each pose (Protocol 2); mean over "
        f"{len(truth)} frames and {len(H36M)} joints; crops around the true joints"
    )


# ------------------------------------------------------------------------------------------ messages
def _print(results: PoseResults, files: list[Path], seconds: float, absolute: bool = False) -> None:
    names = ", ".join(path.name for path in files)
    print(f"{results.summary(seconds)}\n{files[0].parent}: {names}")
    print((ABSOLUTE_COORDINATES if absolute else COORDINATES).format(results.skeleton.name))
