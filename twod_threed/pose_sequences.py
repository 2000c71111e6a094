"""Human3.6M's true and predicted 3D poses as sequences: key -> (frames, 17 or 16, 3) mm, camera coordinates.

A key is a sequence in a camera, 'S9/Walking 1/54138969', or one image of it, 'S9/Walking 1/54138969/000001.jpg'. 16
joints are all joints except the hip, relative to it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from twod_threed.mpjpe import JOINT_SETS, from_hip
from utils.human36m.actions import TEST_SUBJECTS
from utils.human36m.files import find_sequences, load_motions
from utils.osutils import UserError
from utils.predictions.prediction_arrays import ARRAY_SUFFIXES, load_pose_array
from utils.predictions.prediction_files import load_predictions
from utils.transform import H36M, H36M_SLOTS

KEY = re.compile(r"(S\d+)/([^/]+?)(?: \d+)?/[^/]+(?P<image>/[^/]+)?")
# A person's median bone is about 200 to 300 mm. A poor model's poses may be collapsed, so only the range of metres and
# of poses scaled to unit size is refused.
METRES = (0.02, 1.0)

Sequences = Mapping[str, Tensor]


def image_of(key: str) -> str:
    """ "/000001.jpg" for the key of a single image, "" for a sequence."""
    return KEY.fullmatch(key)["image"] or ""


def ground_truth_of_folder(data_dir: Path) -> dict[str, Tensor]:
    """Poses of the test subjects in every camera: key -> (frames, 17, 3) mm, camera coordinates, hip at the origin.

    Raises UserError as `find_sequences`, `load_motions` and `Human36mFiles.cameras`.
    """
    files = find_sequences(data_dir)
    sequences, cameras = files.select(TEST_SUBJECTS), files.cameras()
    truth = {}
    for sequence, positions, _ in load_motions(sequences, H36M_SLOTS):
        world = torch.from_numpy(positions).double()
        for camera in (camera for (subject, _), camera in cameras.items() if subject == sequence.subject):
            key = f"S{sequence.subject}/{sequence.name}/{camera.name}"
            truth[key] = from_hip(camera.world_to_camera(world)).float()
    return truth


def load_true_poses(path: Path) -> dict[str, Tensor]:
    """Read true poses: key -> (frames, 17, 3) mm, as on file.

    Raises UserError as `load_predictions`, and for other keys, shapes or units, for NaN, and for empty sequences.
    """
    truth = load_predictions(path)
    _check_keys_and_shapes(truth, path, (len(H36M),))
    empty = next((key for key, poses in truth.items() if not len(poses)), None)
    if empty is not None:
        raise UserError(f"{path}: {empty!r} has no frames; expected at least one in every sequence of a ground truth")
    _check_values(truth, path)
    return truth


def load_predicted(path: Path, truth: Sequences, truth_path: Path) -> dict[str, Tensor]:
    """Read predictions of exactly the sequences and frames of `truth`: key -> (frames, 17 or 16, 3) mm, as on file.

    A `.pt` file has them by key. An array (`.mat`, `.h5`, `.npz`: `preds`, N × 17 or 16 × 3) has all frames
    concatenated: sequences in the order of `truth`, frames in order.

    Raises UserError for anything else, metres, and NaN.
    """
    suffix = path.suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        poses = _split(torch.from_numpy(load_pose_array(path)), truth, path, truth_path)
    elif suffix == ".pt":
        poses = load_predictions(path)
    else:
        known = ", ".join((".pt", *ARRAY_SUFFIXES))
        raise UserError(f"--prediction_files {path}: unknown suffix {path.suffix!r}; choose one of {known}")
    _check_keys_and_shapes(poses, path, (len(H36M), len(JOINT_SETS[16])))
    missing, surplus = [key for key in truth if key not in poses], [key for key in poses if key not in truth]
    if missing or surplus:
        detail = f"{missing[0]!r} is missing" if missing else f"{surplus[0]!r} has no truth"
        raise UserError(
            f"{path}: {len(missing)} of the {len(truth)} sequences of {truth_path} are missing, and {len(surplus)} "
            f"others are present ({detail}); expected one prediction for each, from the same data and --action"
        )
    other = next((key for key in truth if len(poses[key]) != len(truth[key])), None)
    if other is not None:
        raise UserError(
            f"{path}: {other!r} has {len(poses[other])} frames, its truth in {truth_path} has {len(truth[other])}; "
            "expected one pose per frame"
        )
    _check_values(poses, path)
    return {key: poses[key] for key in truth}


def _split(poses: Tensor, truth: Sequences, path: Path, truth_path: Path) -> dict[str, Tensor]:
    """Split concatenated frames into sequences."""
    lengths = [len(frames) for frames in truth.values()]
    if len(poses) != sum(lengths):
        raise UserError(
            f"{path}: {len(poses)} poses for the {sum(lengths)} frames of {truth_path}; expected one pose per frame, "
            "in the order of the truth (from a folder: by subject, action, take and camera)"
        )
    return dict(zip(truth, poses.split(lengths), strict=True))


def _check_keys_and_shapes(poses: Sequences, path: Path, joint_counts: Sequence[int]) -> None:
    if not poses:
        raise UserError(f"{path}: has no sequences; expected 'S9/Walking 1/54138969' -> frames × 17 × 3 mm, etc.")
    bad_key = next((key for key in poses if not KEY.fullmatch(key)), None)
    if bad_key is not None:
        raise UserError(
            f"{path}: {bad_key!r} is not a sequence of Human3.6M (an image name?); expected subject/sequence/camera, "
            "e.g. 'S9/Walking 1/54138969', as run.py 2d3d_h36m writes them, or images of these"
        )
    shapes = {tuple(value.shape[1:]) for value in poses.values()}
    if len(shapes) > 1 or next(iter(shapes)) not in {(count, 3) for count in joint_counts}:
        found = ", ".join(f"{joints} × {numbers}" for joints, numbers in sorted(shapes))
        right = " or ".join(f"{count} × 3" for count in joint_counts)
        raise UserError(f"{path}: poses are {found}; expected {right} for every pose (mm, joints in Human3.6M's order)")


def _check_values(poses: Sequences, path: Path) -> None:
    """Raise UserError for NaN or infinite values, and for poses in metres."""
    joints = joint_names(poses)
    bad = {key: ~value.isfinite().all(dim=2) for key, value in poses.items()}
    count = sum(int(frames.any(dim=1).sum()) for frames in bad.values())
    if count:
        key, frames = next((key, frames) for key, frames in bad.items() if frames.any())
        frame = int(frames.any(dim=1).nonzero()[0])
        named = ", ".join(joints[joint] for joint in frames[frame].nonzero().flatten().tolist())
        raise UserError(
            f"{path}: {count} of {sum(map(len, poses.values()))} frames have NaN or infinite joints, first frame "
            f"{frame} (from 0) of {key!r} ({named}); expected a position for every joint of every frame"
        )
    median = _median_bone(poses, joints)
    if METRES[0] <= median <= METRES[1]:
        raise UserError(
            f"{path}: the median bone is {median:.3g} long, as in metres or normalised poses; "
            "expected mm (about 250): multiply metres by 1000"
        )


def joint_names(poses: Sequences) -> tuple[str, ...]:
    """The joint names of poses with 17 joints, or 16 without the hip."""
    return JOINT_SETS[next(iter(poses.values())).shape[1]]


def _median_bone(poses: Sequences, joints: Sequence[str]) -> float:
    """Median length over all frames and all bones with both ends in `joints`."""
    starts, ends = zip(*[map(joints.index, bone) for bone in H36M.bones if set(bone) <= set(joints)], strict=True)
    lengths = [(value[:, starts] - value[:, ends]).float().norm(dim=2).flatten() for value in poses.values()]
    return torch.cat(lengths).median().item()
