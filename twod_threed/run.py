"""Estimate 3D poses from 2D poses with a trained 3D baseline.

python run.py 2d3d_h36m --load CHECKPOINT                                    # Human3.6M's S9 and S11 in data/h36m
python run.py 2d3d_h36m --load CHECKPOINT --data_dir data/hourglass_mpii     # the 2D poses of run.py hourglass_mpii
python run.py 2d3d_h36m --load CHECKPOINT --data_dir poses.pt --input_joint_order MPII
python run.py 2d3d_h36m --load CHECKPOINT --data_dir data/hourglass_mpii --smooth zero_phase --absolute   # of a video
"""

import time
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from twod_threed.absolute_people import place_people
from twod_threed.lifting import LiftedPoses, lift, lift_pose_set
from twod_threed.loading import ensure_normalisation, load_lifter, require_normalisation
from twod_threed.model import LinearModel
from twod_threed.pose_file import (
    images_in_metas,
    lift_file,
    order_in_metas,
    require_sizes,
    require_smoothable,
)
from utils.compute.devices import pick_device
from utils.console.commands import shell_command
from utils.doors.option_rules import (
    given_value,
    print_if_workers_are_ignored,
    processes_of,
    refuse_disagreement,
    refuse_useless,
)
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS, select_actions
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.imaging.source_paths import is_video
from utils.osutils import UserError, counted, written_together
from utils.predictions.coco_results import save_coco_results
from utils.predictions.pose_results import load_results_2d
from utils.predictions.prediction_files import save_metas, save_predictions
from utils.predictions.smoothed_people import smooth_people
from utils.transform import H36M, H36M_2D, SKELETONS

POSES_2D_FILE, POSES_3D_FILE = "2d_pose_estimations.pt", "3d_pose_estimations.pt"
TRUTH_2D_FILE, TRUTH_3D_FILE = "2d_pose_ground_truths.pt", "3d_pose_ground_truths.pt"


def lifter_h36m(options: Namespace) -> None:
    """`run.py 2d3d_h36m`."""
    data = _file_or_folder(options.data_dir)
    _check_options(options, data)
    print_if_workers_are_ignored(options)
    processes = processes_of(options)
    device = pick_device(options.device, processes)
    lifter = load_lifter(options.load, device, options.allow_unsafe_load, processes)
    refuse_disagreement(options, lifter.architecture(), options.load)
    if options.compile:
        lifter.compile()
    (_lift_file if data.is_file() else _lift_human36m)(data, lifter, options)


def _print(count: int, seconds: float, options: Namespace, absolute: bool = False) -> None:
    origin = "camera" if absolute else "hip"
    print(
        f"{counted(count, 'pose')}, {seconds:.1f} s, {count / seconds:.0f} poses/s\n"
        f"3D poses: mm, camera coordinates (x right, y down, z forward), {origin} at the origin: {options.output_dir}"
    )


# ------------------------------------------------------------------------------------------ options
def _file_or_folder(data_dir: Path) -> Path:
    """`data_dir`, or the file of 2D poses in it if it is an output folder of run.py."""
    inside = Path(data_dir) / POSES_2D_FILE
    return inside if inside.is_file() else Path(data_dir)


def _check_options(options: Namespace, data: Path) -> None:
    """Raise UserError for options that have no effect, and for an output folder whose files would be overwritten."""
    is_file = data.is_file()
    rules = [
        (is_file, ["run_with_train", "use_hg", "action"], f"is for a Human3.6M folder; {data} is a file of 2D poses"),
        (
            not is_file,
            ["input_joint_order", "process_as_video", "smooth", "absolute", "focal"],
            f"is for a file of 2D poses; {data} is a Human3.6M folder",
        ),
        (not options.absolute, ["focal"], "has no effect without --absolute"),
        (options.process_as_video, ["smooth"], "needs times, which the sequences of --process_as_video lack"),
    ]
    refuse_useless(options, rules)
    if options.smooth != "none":
        require_smoothable(data)
    if options.absolute:
        require_sizes(data)
    own = data.name == POSES_2D_FILE or data.with_name("metas.pt").is_file()
    if is_file and own and Path(options.output_dir).resolve() == data.parent.resolve():
        raise UserError(
            f"--output_dir {options.output_dir} holds the 2D poses, and what belongs to them would be overwritten; "
            "give another folder"
        )


def _require_stored_normalisation(options: Namespace, lifter: LinearModel) -> None:
    """Raise UserError if `--dataset_normalization` was given and differs from the lifter's."""
    require_normalisation(given_value(options, "dataset_normalization"), lifter.normalisation.kind, options.load)


def _settings(options: Namespace) -> dict[str, Any]:
    """Keyword arguments for lifting."""
    return {
        "batch_size": options.test_batch_size,
        "precision": options.precision,
        "processes": processes_of(options),
    }


def _lift_human36m(folder: Path, lifter: LinearModel, options: Namespace) -> None:
    start = time.monotonic()
    files, actions = find_sequences(folder), select_actions(options.action)
    ensure_normalisation(lifter, files, actions, options.load)
    _require_stored_normalisation(options, lifter)
    subjects = TRAIN_SUBJECTS if options.run_with_train else TEST_SUBJECTS
    poses = load_pose_set(files, subjects, actions, options.use_hg, lifter.input_places).to(lifter.w1.weight.device)
    results = lift_pose_set(poses, lifter, **_settings(options))
    if processes_of(options).is_main:
        save_lifted(results, options.output_dir)
    _print(len(results), time.monotonic() - start, options)
    print(_commands_for_truth(options.output_dir))


def _lift_file(path: Path, lifter: LinearModel, options: Namespace) -> None:
    if lifter.normalisation is None:
        raise UserError(
            f"{options.load}: published checkpoints store no normalisation and cannot lift poses from a file; "
            "give a checkpoint of train.py 2d3d_h36m"
        )
    _require_stored_normalisation(options, lifter)
    start, order = time.monotonic(), options.input_joint_order or order_in_metas(path)
    results = load_results_2d(path, SKELETONS[order or H36M_2D.name])
    for name, poses in lift_file(path, lifter, order, **_settings(options)).lifted.items():
        results.add_3d(name, poses)
        results.metas[name]["entry"] = "frames" if options.process_as_video else "people"
    if options.smooth != "none":
        settings = {"batch_size": options.test_batch_size, "precision": options.precision}
        again = partial(lift, lifter=lifter, joint_order=results.skeleton.name, **settings)
        print(smooth_people(results, options.smooth, again))
    images = images_in_metas(path)
    if options.absolute:
        print(place_people(results, images, options.focal))
    results.save(options.output_dir, processes_of(options))
    _print(results.people, time.monotonic() - start, options, options.absolute)
    print(_command_for_file(images, options.output_dir))


# ------------------------------------------------------------------------------------------ results
def save_lifted(results: LiftedPoses, directory: Path) -> None:
    """Write 3D poses, `metas.pt` and `predictions.json`, and also truth and 2D poses if the truth is known.

    All files appear together, or none after an error.
    """
    facts = {"skeleton_3d": H36M.name, "unit": "mm", "root": "hip"}
    with written_together():
        save_predictions(directory / POSES_3D_FILE, results.lifted)
        save_metas(directory / "metas.pt", {name: meta | facts for name, meta in results.metas.items()})
        save_coco_results(directory / "predictions.json", results.inputs, keypoints_3d=results.lifted)
        if results.truth:
            save_predictions(directory / TRUTH_2D_FILE, results.inputs)
            save_predictions(directory / TRUTH_3D_FILE, results.truth)


def _commands_for_truth(output_dir: Path) -> str:
    """Commands to score and draw poses with a ground truth."""
    score = shell_command("eval", "h36m_MPJPE", {"prediction_files": output_dir / POSES_3D_FILE})
    files = {name.removesuffix(".pt"): output_dir / name for name in (TRUTH_2D_FILE, TRUTH_3D_FILE, POSES_3D_FILE)}
    return f"score them: {score}\ndraw them: {shell_command('viz', '2d_gt_3d_gt_3d_pred', files)}"


def _command_for_file(images: Path | None, output_dir: Path) -> str:
    """The command to draw poses lifted from a file, on their photos or video; None if these are unknown."""
    script = "video" if images and is_video(images) else "2d_overlay_3d_pred"
    if images is None:
        return f"draw them: viz.py {script}, with the photos of the 2D poses as --img_dir"
    files = {name.removesuffix(".pt"): output_dir / name for name in (POSES_2D_FILE, POSES_3D_FILE)}
    return f"draw them: {shell_command('viz', script, {'img_dir': images} | files)}"
