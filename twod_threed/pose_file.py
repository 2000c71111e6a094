"""Lifts a file of 2D poses, and says what `metas.pt` beside it lacks for smoothing and for absolute positions."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from twod_threed.joint_order import (
    JOINT_ORDERS,
    approximate_inputs,
    mix_joints,
    pelvis_is_between_hips,
    whole_poses,
)
from twod_threed.lifting import BATCH_SIZE, LiftedPoses, input_order, lift_entries
from twod_threed.model import LinearModel
from utils.compute.distributed import ALONE, Processes
from utils.osutils import UserError, warn
from utils.predictions.prediction_files import load_predictions, metas_of, noted_images
from utils.transform import H36M_2D, MPII, SKELETONS


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


# ------------------------------------------------------------------------------------------ metas.pt beside it
def entries_of_metas(path: Path) -> list[dict]:
    """The entries of `metas.pt` beside a prediction file; empty if there is no such file."""
    return [meta for meta in metas_of(path.parent).values() if isinstance(meta, dict)]


def order_in_metas(path: Path) -> str | None:
    """The joint order that `metas.pt` beside a prediction file names, if it is a known one."""
    name = next((meta.get("skeleton") for meta in entries_of_metas(path)), None)
    return name if name in SKELETONS else None


def images_in_metas(path: Path) -> Path | None:
    """The photos or the video that `metas.pt` beside a prediction file names, if they are there."""
    named = noted_images(metas_of(path.parent))
    return Path(named) if named and Path(named).exists() else None


def require_smoothable(path: Path) -> None:
    """Raise UserError if `metas.pt` beside a prediction file lacks tracks and times, or its poses are smoothed."""
    entries = entries_of_metas(path)
    if not entries or any(meta.get("tracks") is None or "time" not in meta for meta in entries):
        raise UserError(
            f"--smooth: needs the people of a video, with tracks and times in metas.pt beside {path}; run.py "
            "hourglass_mpii writes them for a video"
        )
    if any("raw_joints" in meta for meta in entries):
        raise UserError(f"--smooth: {path} is smoothed already, as metas.pt beside it says; leave the option out")


def require_sizes(path: Path) -> None:
    """Raise UserError if `metas.pt` beside a prediction file lacks the sizes of the images."""
    entries = entries_of_metas(path)
    if not entries or any(not meta.get("size") for meta in entries):
        raise UserError(
            f"--absolute: needs the size of each image in metas.pt beside {path}; run.py hourglass_mpii writes it for "
            "photos and videos"
        )
