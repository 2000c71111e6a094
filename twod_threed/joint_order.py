"""From other joint orders to the 3D baseline's input, by name, and a check whether poses are in Human3.6M's order."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from utils.transform import COCO, EVA, H36M, H36M_2D, LSP, MPII, Skeleton, joint_terms, joint_weights, made_joints

JOINT_ORDERS = tuple(one.name for one in (H36M_2D, H36M, MPII, COCO, LSP, EVA))

# Largest median distance of the pelvis from the midpoint of the hips, in diagonals of the pose. It is below 0.03 in
# Human3.6M's order. Motion capture in MPII's order, read as Human3.6M's, has 0.24; the other way round, 0.17.
PELVIS_OFF_HIPS = 0.1


def skeleton_2d(joints: int) -> Skeleton:
    """`H36M_2D` for 16 joints, `H36M` for 17. Raises KeyError for another number."""
    return {len(skeleton): skeleton for skeleton in (H36M_2D, H36M)}[joints]


def whole_poses(poses: Iterable[Tensor]) -> Tensor:
    """The poses of all entries (N, J, 2) with only finite joints: (M, J, 2) float64; M may be 0."""
    together = torch.cat([entry.double() for entry in poses])
    return together[together.isfinite().all(-1).all(-1)]


def pelvis_is_between_hips(poses: Tensor) -> bool:
    """Whether the pelvis is between the hips in most of the finite poses (N, 16 or 17, 2); N is at least 1.

    If not, either the joints are in another order or the poses are poor detections.
    """
    skeleton = skeleton_2d(poses.shape[1])
    pelvis, right, left = poses[:, skeleton.indices(["pelvis", "r_hip", "l_hip"])].unbind(dim=1)
    diagonals = (poses.amax(dim=1) - poses.amin(dim=1)).norm(dim=1).clamp(min=1e-6)
    return bool(((pelvis - (right + left) / 2).norm(dim=1) / diagonals).median() <= PELVIS_OFF_HIPS)


def input_terms(source: Skeleton, places: str = "h36m") -> tuple[Tensor, Tensor]:
    """Indices and factors (16, K) that give the lifter's input from joints of `source`; for `mix_joints`.

    `places` is the lifter's `input_places`: "mpii" puts spine and thorax where MPII has thorax and upper neck. Raises
    KeyError for a skeleton that lacks joints.
    """
    indices, factors = joint_terms(_weights(source, places))
    return torch.from_numpy(indices), torch.from_numpy(factors)


def approximate_inputs(source: Skeleton, places: str = "h36m") -> list[str]:
    """The joints of the lifter's input that `source` lacks and that are made from others."""
    return made_joints(_weights(source, places), H36M_2D)


def mix_joints(points: Tensor, indices: Tensor, factors: Tensor) -> Tensor:
    """Weighted sums of joints: (B, J, D) -> (B, T, D), for indices and factors (T, K)."""
    terms = points.index_select(1, indices.flatten()).unflatten(1, indices.shape)
    return (terms * factors[..., None].to(points.dtype)).sum(2)


def doubtful_joints(unsure: Tensor, source: Skeleton) -> Tensor:
    """3D joints (…, 17) bool that were lifted from unsure 2D joints (…, J) bool of `source`.

    The nose, which the lifter is not given, counts with the head. No joint is doubtful for a skeleton that can't be
    lifted.
    """
    try:
        used = torch.from_numpy(_weights(source, "h36m") != 0)
    except KeyError:
        return torch.zeros(*unsure.shape[:-1], len(H36M), dtype=torch.bool)
    given = (unsure[..., None, :] & used).any(-1)
    return given[..., H36M_2D.indices(["head_top" if joint == "nose" else joint for joint in H36M.joints])]


def _weights(source: Skeleton, places: str) -> np.ndarray:
    if places == "mpii" and source not in (H36M, H36M_2D, MPII):
        return joint_weights(MPII, H36M_2D) @ joint_weights(source, MPII)
    return joint_weights(source, H36M_2D)
