"""Reads the 2D and 3D poses of the same people from two files of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from twod_threed.joint_order import doubtful_joints
from twod_threed.mpjpe import from_hip
from utils.osutils import UserError, first_few
from utils.predictions.picture_files import confident_joints, find_skeleton
from utils.predictions.prediction_files import load_predictions
from utils.transform import H36M, Skeleton

# A person's joints are up to about a metre from the hip. Poor networks may predict collapsed poses, so only poses that
# look like metres or unit size are refused.
SMALLEST_REACH = 10.0  # mm


class PosePair(NamedTuple):
    """By image name; row k of both tensors of an image is person k.

    Attributes:
        joints: (P, J, 2), zero-based px of the image, order `skeleton`.
        shown: like `joints`, with NaN for joints whose score is too low to draw, see `confident_joints`.
        poses: (P, 17, 3) float64, mm, camera coordinates, hip at the origin, order `H36M`.
        thresholds: the score below which a joint is not in `shown`; 0 for none.
    """

    joints: dict[str, Tensor]
    shown: dict[str, Tensor]
    skeleton: Skeleton
    poses: dict[str, Tensor]
    thresholds: dict[str, float]

    def doubtful(self, name: str) -> Tensor:
        """(P, 17) bool: 3D joints of an image that were lifted from 2D joints whose score is too low."""
        unsure = (self.joints[name].isfinite() & ~self.shown[name].isfinite()).all(-1)
        return doubtful_joints(unsure, self.skeleton)


def load_pair(
    pose_2d_estimations: str | Path, pose_3d_estimations: str | Path, min_score: float | None = None
) -> PosePair:
    """Read the two files of a run; `min_score` as in `confident_joints`.

    Raises UserError for a file that is missing, damaged or of the other kind, and if the two have different images or
    numbers of people.
    """
    joints = load_predictions(pose_2d_estimations)
    skeleton = find_skeleton(pose_2d_estimations, joints)
    poses = load_poses_3d(pose_3d_estimations, "--3d_pose_estimations")
    for one, other, option, path in (
        (joints, poses, "--3d_pose_estimations", pose_3d_estimations),
        (poses, joints, "--2d_pose_estimations", pose_2d_estimations),
    ):
        lacking = [name for name in one if name not in other]
        if lacking:
            raise UserError(
                f"{option} {path}: lacks {len(lacking)} of the {len(one)} images of the other file "
                f"({first_few(lacking, ',', 2)}); give both files of the same run"
            )
    require_same_people(joints, poses, "--2d_pose_estimations", "--3d_pose_estimations")
    shown, thresholds = confident_joints(joints, pose_2d_estimations, min_score)
    return PosePair(joints, shown, skeleton, poses, thresholds)


def load_truth(path: str | Path, poses: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Read 3D ground truth for the images `names`: (P, 17, 3) float64 mm, hip at the origin.

    Raises UserError for a bad file like `load_pair`, for an image without ground truth, and if the number of people
    differs from `poses`.
    """
    option = "--3d_pose_ground_truths"
    truth = load_poses_3d(path, option)
    lacking = [name for name in names if name not in truth]
    if lacking:
        raise UserError(
            f"{option} {path}: lacks {len(lacking)} of the {len(names)} images to draw "
            f"({first_few(lacking, ',', 2)}); without truth: python viz.py 2d_overlay_3d_pred"
        )
    truth = {name: truth[name] for name in names}
    require_same_people(truth, poses, option, "--3d_pose_estimations")
    return truth


def load_poses_3d(path: str | Path, option: str) -> dict[str, Tensor]:
    """Read 3D poses: image name -> (P, 17, 3) float64 mm, hip at the origin.

    Raises UserError, naming `option`, for a missing file, 2D poses, another number of joints, and poses in metres.
    """
    poses = load_predictions(path)
    if not poses:
        raise UserError(f"{option} {path}: holds no poses")
    shapes = sorted({tuple(values.shape[1:]) for values in poses.values()})
    if shapes != [(len(H36M), 3)]:
        found = ", ".join(f"{joints} × {numbers}" for joints, numbers in shapes)
        raise UserError(f"{option} {path}: its poses are {found}; 3D poses of run.py are people × {len(H36M)} × 3 (mm)")
    centred = {name: from_hip(values) for name, values in poses.items()}
    reach = torch.cat([values.norm(dim=2).amax(dim=1) for values in centred.values()])
    reach = reach[reach.isfinite()]
    if len(reach) and reach.median() < SMALLEST_REACH:
        raise UserError(
            f"{option} {path}: half the people reach at most {reach.median():.2g} from the hip, which looks like "
            "metres; expected mm"
        )
    return centred


def require_same_people(one: Mapping[str, Tensor], other: Mapping[str, Tensor], option: str, other_option: str) -> None:
    """Raise UserError if an image has different numbers of people in `one` and `other`."""
    differing = [name for name, values in one.items() if len(values) != len(other[name])]
    if differing:
        name = differing[0]
        raise UserError(
            f"{option}: {len(differing)} of {len(one)} images have another number of people than in {other_option}; "
            f"{name!r} has {len(one[name])} there and {len(other[name])} here; give files of the same run"
        )
