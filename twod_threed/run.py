"""Estimate 3D poses from 2D poses with a trained 3D baseline.

python run.py 2d3d_h36m --load CHECKPOINT                                    # Human3.6M's S9 and S11 in data/h36m
python run.py 2d3d_h36m --load CHECKPOINT --data_dir data/hourglass_mpii     # the 2D poses of run.py hourglass_mpii
python run.py 2d3d_h36m --load CHECKPOINT --data_dir poses.pt --input_joint_order MPII
"""

import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from twod_threed.joint_order import (
    JOINT_ORDERS,
    approximate_inputs,
    mix_joints,
    pelvis_is_between_hips,
    whole_poses,
)
from twod_threed.lifting import BATCH_SIZE, LiftedPoses, input_order, lift_entries, lift_pose_set
from twod_threed.loading import ensure_normalisation, load_lifter, require_normalisation
from twod_threed.model import LinearModel
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
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
from utils.osutils import UserError, counted, warn, written_together
from utils.predictions.coco_results import save_coco_results
from utils.predictions.prediction_files import load_predictions, metas_of, save_metas, save_predictions
from utils.transform import H36M, H36M_2D, MPII, SKELETONS

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
    start = time.monotonic()
    results = (_lift_file if data.is_file() else _lift_human36m)(data, lifter, options)
    if processes.is_main:
        save_lifted(results, options.output_dir)
    seconds = time.monotonic() - start
    count = len(results)
    print(
        f"{counted(count, 'pose')}, {seconds:.1f} s, {count / seconds:.0f} poses/s\n"
        f"3D poses: mm, camera coordinates (x right, y down, z forward), hip at the origin: {options.output_dir}"
    )
    print(_commands_for_file(data, options.output_dir) if data.is_file() else _commands_for_truth(options.output_dir))


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
            ["input_joint_order", "process_as_video"],
            f"is for a file of 2D poses; {data} is a Human3.6M folder",
        ),
    ]
    refuse_useless(options, rules)
    if is_file and _metas_path(data).is_file() and Path(options.output_dir).resolve() == data.parent.resolve():
        raise UserError(
            f"--output_dir {options.output_dir} holds the 2D poses, whose metas.pt would be overwritten; give another "
            "folder"
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


def _lift_human36m(folder: Path, lifter: LinearModel, options: Namespace) -> LiftedPoses:
    files, actions = find_sequences(folder), select_actions(options.action)
    ensure_normalisation(lifter, files, actions, options.load)
    _require_stored_normalisation(options, lifter)
    subjects = TRAIN_SUBJECTS if options.run_with_train else TEST_SUBJECTS
    poses = load_pose_set(files, subjects, actions, options.use_hg, lifter.input_places).to(lifter.w1.weight.device)
    return lift_pose_set(poses, lifter, **_settings(options))


def _lift_file(path: Path, lifter: LinearModel, options: Namespace) -> LiftedPoses:
    if lifter.normalisation is None:
        raise UserError(
            f"{options.load}: published checkpoints store no normalisation and cannot lift poses from a file; "
            "give a checkpoint of train.py 2d3d_h36m"
        )
    _require_stored_normalisation(options, lifter)
    order = options.input_joint_order or _order_in_metas(path)
    results = lift_file(path, lifter, order, **_settings(options))
    kind = "frames" if options.process_as_video else "people"
    results.metas = {name: meta | {"entry": kind} for name, meta in results.metas.items()}
    return results


# ------------------------------------------------------------------------------------------ files of 2D poses
def lift_file(
    path: Path,
    lifter: LinearModel,
    joint_order: str | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    precision: str = "fp32",
    processes: Processes = ALONE,
) -> LiftedPoses:
    """Lift a `.pt` of 2D poses, name -> people (or frames) × joints × 2 px.

    With `joint_order` None, the lifter's order is assumed, and poses that look like another order are refused. With a
    given order, such poses are assumed to be poor detections, with a warning.

    Raises UserError for an unreadable file, another number of joints, only poses with NaN, and another order.
    """
    poses, order = load_predictions(path), joint_order or H36M_2D.name
    _require_joints(poses, order, path)
    _check_order(poses, order, joint_order is not None, path)
    if order == MPII.name and lifter.input_places != "mpii":
        warn(
            "spine and thorax are approximate: this lifter was trained on Human3.6M's, and gets MPII's thorax and "
            "upper neck instead; train.py 2d3d_h36m --input_places mpii trains one for MPII's"
        )
    if made := approximate_inputs(SKELETONS[order], lifter.input_places):
        warn(f"{path}: {', '.join(made)} are approximate, made from other {order} joints, which lack them")
    return lift_entries(poses, lifter, order, batch_size=batch_size, precision=precision, processes=processes)


def _require_joints(poses: Mapping[str, Tensor], order: str, path: Path) -> None:
    """Raise UserError if the lifter does not support a joint order, or an entry is not N × its joints × 2."""
    if order not in JOINT_ORDERS:
        raise UserError(
            f"{path}: {order} order lacks joints that the lifter needs; expected one of {', '.join(JOINT_ORDERS)}"
        )
    joints = len(SKELETONS[order])
    wrong = next((key for key, people in poses.items() if people.shape[1:] != (joints, 2)), None)
    if wrong is not None:
        shape = " × ".join(map(str, poses[wrong].shape))
        raise UserError(
            f"{path}: {wrong!r} is {shape}; expected people × {joints} × 2 px for {order} order; --input_joint_order "
            f"takes {', '.join(JOINT_ORDERS)}"
        )


def _check_order(poses: Mapping[str, Tensor], order: str, known: bool, path: Path) -> None:
    """If most pelvises are not between the hips: raise UserError if the order is assumed, warn if it is known."""
    whole = whole_poses(mix_joints(people, *input_order(order)) for people in poses.values())
    if not len(whole):
        raise UserError(f"{path}: all poses contain NaN; expected at least one complete pose")
    if pelvis_is_between_hips(whole):
        return
    if not known:
        raise UserError(
            f"{path}: joints are not in Human3.6M's order (the first is not between the hips); give the order with "
            "--input_joint_order, e.g. MPII for poses of an hourglass"
        )
    warn(
        f"{path}: in most poses the pelvis is far from the midpoint of the hips: either the 2D poses are poor, and the "
        f"3D poses will be too, or the joints are not in {order} order"
    )


def _metas_path(path: Path) -> Path:
    return path.with_name("metas.pt")


def _entries_of_metas(path: Path) -> list[dict]:
    """The entries of `metas.pt` beside a prediction file; empty if there is no such file."""
    return [meta for meta in metas_of(path.parent).values() if isinstance(meta, dict)]


def _order_in_metas(path: Path) -> str | None:
    """The joint order that `metas.pt` beside a prediction file names, if it is a known one."""
    name = next((meta.get("skeleton") for meta in _entries_of_metas(path)), None)
    return name if name in SKELETONS else None


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


def _commands_for_file(path: Path, output_dir: Path) -> str:
    """The command to draw poses lifted from a file, with the photos named by `metas.pt` beside it."""
    img_dir = next((meta["img_dir"] for meta in _entries_of_metas(path) if meta.get("img_dir")), None)
    if img_dir is None or not Path(img_dir).exists():
        return "draw them: viz.py 2d_overlay_3d_pred, with the photos of the 2D poses as --img_dir"
    files = {"img_dir": img_dir, "2d_pose_estimations": path, "3d_pose_estimations": output_dir / POSES_3D_FILE}
    return f"draw them: {shell_command('viz', '2d_overlay_3d_pred', files)}"
