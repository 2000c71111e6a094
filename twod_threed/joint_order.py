"""Check whether 2D poses in a file are in Human3.6M's joint order, which the 3D baseline expects."""

from collections.abc import Iterable

import torch
from torch import Tensor

from utils.transform import H36M, H36M_2D, Skeleton

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
