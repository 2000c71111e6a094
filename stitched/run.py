"""2D and 3D poses in photos, videos and Human3.6M's images, by the stitched network.

python run.py stitched_mpii --load_hourglass HOURGLASS --load_2d3d LIFTER --data_dir holiday_photos --person_box hog
python run.py stitched_mpii --data_dir clip.mp4 --draw                       # the demo weights, where they are there
python run.py stitched_mpii --load STITCHED --data_dir 0                     # a camera, until Ctrl-C
python run.py stitched_h36m --load STITCHED                                  # Human3.6M's S9 and S11 in data/h36m
"""

import time
from argparse import Namespace
from pathlib import Path

import torch

from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.photos import find_poses, image_folder, predict_samples, without_pose
from stitched.crop_predictor import StitchedPredictor
from stitched.loading import load_stitched
from stitched.video import video
from stitched.viz import overlay_2d_3d_gt_3d_pred, overlay_2d_3d_pred
from twod_threed.mpjpe import mpjpe, p_mpjpe
from utils.compute.devices import pick_device
from utils.compute.launched import processes_of
from utils.console.commands import shell_command
from utils.console.option_rules import refuse_useless
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS, select_actions
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.human36m_frames import FrameCrops, Frames, find_frames, has_listed_frames, read_listed_frames
from utils.imaging.image_sources import VIDEO_SUFFIXES, is_camera
from utils.imaging.images import report_unreadable
from utils.osutils import UserError
from utils.predictions.pose_results import PoseResults
from utils.transform import H36M, H36M_2D

COORDINATES = (
    "2D: MPII order, zero-based px of the photo, x right, y down\n"
    "3D: Human3.6M order, mm, camera coordinates (x right, y down, z forward), hip at the origin"
)
PICTURES = "pictures"
DRAWERS = {
    "2d_overlay_3d_pred": overlay_2d_3d_pred,
    "2d_overlay_3d_gt_3d_pred": overlay_2d_3d_gt_3d_pred,
    "video": video,
}
# The drawers' options, and the files that they are given.
PREDICTED = {"pose_2d_estimations": "2d_pose_estimations", "pose_3d_estimations": "3d_pose_estimations"}
TRUE = {"pose_3d_ground_truths": "3d_pose_ground_truths"}


def stitched_mpii(options: Namespace) -> None:
    """`run.py stitched_mpii`."""
    if options.draw and is_camera(options.data_dir):
        raise UserError(f"--draw: the pictures of camera {options.data_dir} are not kept; record a video and give that")
    predictor = _predictor(options, image_scale="any")
    start = time.monotonic()
    results = find_poses(
        predictor,
        options.data_dir,
        person_box=options.person_box if "person_box" in options.given else None,
        max_frames=options.max_frames,
        run_with_train=options.run_with_train,
        batch_size=options.test_batch_size,
        workers=options.workers,
        processes=processes_of(options),
    )
    files = results.save(options.output_dir, processes_of(options))
    _print(results, files, time.monotonic() - start)
    if results.people and not is_camera(options.data_dir):
        script = "video" if options.data_dir.suffix.lower() in VIDEO_SUFFIXES else "2d_overlay_3d_pred"
        _draw(script, image_folder(options.data_dir), options, PREDICTED)


def stitched_h36m(options: Namespace) -> None:
    """`run.py stitched_h36m`."""
    frames = open_frames(options)
    predictor = _predictor(options, image_scale="human36m")
    start = time.monotonic()
    results = run_frames(predictor, frames, options)
    files = results.save(options.output_dir, processes_of(options))
    _print(results, files, time.monotonic() - start)
    print(errors(results))
    _draw("2d_overlay_3d_gt_3d_pred", frames.images_dir, options, PREDICTED | TRUE)


def _predictor(options: Namespace, image_scale: str) -> StitchedPredictor:
    device = pick_device(options.device, processes_of(options))
    options.load = weights_to_load(options.load, options.load_hourglass, options.load_2d3d)
    network = load_stitched(options, device, image_scale)
    return StitchedPredictor(network, options.precision, options.flip, options.compile)


# ------------------------------------------------------------------------------------------ Human3.6M
def open_frames(options: Namespace) -> Frames:
    """The images with truth of `--data_dir`, of the validation (or training) subjects and `--action`.

    Frames that a folder lists in poses.npz are no split: all of them are taken, whoever they show.
    """
    folder, actions = Path(options.data_dir), select_actions(options.action)
    if has_listed_frames(folder):
        fault = f"has no effect: {folder} lists single frames, all of which are run"
        refuse_useless(options, [(True, ["run_with_train"], fault)])
        return read_listed_frames(folder).of_actions(actions)
    files = find_sequences(folder)
    poses = load_pose_set(files, TRAIN_SUBJECTS if options.run_with_train else TEST_SUBJECTS, actions)
    return find_frames(poses, files.data_dir / "images")


def run_frames(predictor: StitchedPredictor, frames: Frames, options: Namespace) -> PoseResults:
    """The person of every frame, in a crop about the true joints, under the image's path relative to its folder.

    A frame whose image can't be read is left out, with a warning. The 2D truth is in the order `H36M_2D`; `metas` has
    it as `skeleton_truth`.
    """
    crops = FrameCrops(frames)
    found = predict_samples(predictor, crops, "frames", options.test_batch_size, options.workers, processes_of(options))
    lost = without_pose(found[0])
    report_unreadable([str(frames.path(i)) for i in lost], len(frames), "left out", f"{frames.images_dir}", "image")
    results = PoseResults(predictor.skeleton, predictor.score_threshold, image_kind="image")
    for index in sorted(set(range(len(frames))) - set(lost)):
        name = frames.path(index).relative_to(frames.images_dir).as_posix()
        meta = {"clip": str(frames.clips[frames.clip[index]]), "frame": int(frames.number[index])}
        results.add(name, meta | {"skeleton_truth": H36M_2D.name}, *(part[index : index + 1] for part in found))
        results.truth[name] = torch.from_numpy(frames.pose_2d[index : index + 1]).float()
        results.truth_3d[name] = torch.from_numpy(frames.pose_3d[index : index + 1]).float()
    return results


def errors(results: PoseResults) -> str:
    """MPJPE against the truth, and what it means, for people to read."""
    predicted, truth = (torch.cat(list(poses.values())) for poses in (results.joints_3d, results.truth_3d))
    return (
        f"MPJPE {mpjpe(predicted, truth):.1f} mm (Protocol 1: mean distance of a joint from its truth, hips at the "
        f"origin), {p_mpjpe(predicted, truth):.1f} mm after Procrustes alignment of each pose (Protocol 2); mean over "
        f"{len(truth)} frames and {len(H36M)} joints; crops about the true joints"
    )


# ------------------------------------------------------------------------------------------ what is said
def _print(results: PoseResults, files: list[Path], seconds: float) -> None:
    names = ", ".join(path.name for path in files)
    print(f"{results.summary(seconds)}\n{files[0].parent}: {names}\n{COORDINATES}")


def _draw(script: str, img_dir: Path, options: Namespace, files: dict[str, str]) -> None:
    """Draw what was found as this script of viz.py does, into the folder `PICTURES`; without --draw, say how."""
    paths = {dest: options.output_dir / f"{name}.pt" for dest, name in files.items()}
    if options.draw and processes_of(options).is_main:
        folder = options.output_dir / PICTURES
        DRAWERS[script](Namespace(img_dir=img_dir, output_dir=folder, min_score=None, **paths))
    elif not options.draw:
        given = {"img_dir": img_dir} | {name: paths[dest] for dest, name in files.items()}
        print(f"draw them: {shell_command('viz', script, given)}")
