"""Pose arithmetic on the training device: joint selection, orthogonal augmentation, instance normalisation.

Everything is batched over (B, J, D) tensors and keeps the device and dtype of its input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.compute.batch_parts import normal, uniform
from utils.transform import H36M, H36M_2D, joint_map

HIP = H36M.index("pelvis")
# The 2D input has all joints of the 3D output except the nose.
LIFTER_INPUT_JOINTS = joint_map(H36M, H36M_2D)


def centre_on_hip(poses: Tensor, hip: int = HIP) -> Tensor:
    """Translate poses (..., J, D) so that joint `hip` is the origin."""
    return poses - poses[..., hip : hip + 1, :]


def gather_poses(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]`, (N, ...) by (B,) -> (B, ...), with samples contiguous in memory.

    Operations on single joints or coordinates then run over contiguous samples, several times as fast as over 17 joints
    or 3 coordinates. Element-wise operations preserve the layout.
    """
    rows = table.flatten(1).index_select(0, index)
    return rows.t().contiguous().t().unflatten(1, table.shape[1:])


def select_joints(poses: Tensor, joints: list[int]) -> Tensor:
    """`poses[:, joints]` of (B, J, D), in the memory layout of `gather_poses`."""
    index = torch.tensor(joints, device=poses.device)
    return poses.permute(1, 2, 0).index_select(0, index).permute(2, 0, 1)


# Position of LSP's annotated neck between the middle of the shoulders (0) and the head top (1), projected on that line:
# median of 3,836 photos of LSP-extended; quartiles 0.07 and 0.29.
NECK = 0.19


def lifter_input_joints(poses: Tensor, places: str = "h36m") -> Tensor:
    """The lifter's 16 input joints of poses (B, 17, 3) in Human3.6M's order, in the layout of `gather_poses`.

    `places`: "h36m" keeps all joints. "mpii" imitates a network trained on MPII or LSP, whose thorax and upper neck
    replace spine and thorax: spine is the middle of the shoulders, thorax the neck, and pelvis the middle of the hips.
    """
    joints = select_joints(poses, LIFTER_INPUT_JOINTS)
    if places == "h36m":
        return joints
    part = dict(zip(H36M_2D.joints, joints.unbind(1), strict=True))
    part["pelvis"] = (part["r_hip"] + part["l_hip"]) / 2
    part["spine"] = (part["r_shoulder"] + part["l_shoulder"]) / 2
    part["thorax"] = torch.lerp(part["spine"], part["head_top"], NECK)
    return torch.stack(list(part.values())).permute(1, 0, 2)


def bone_lengths(poses: Tensor, bones: Sequence[tuple[int, int]]) -> Tensor:
    """(B, J, D) -> (B, len(bones)), in the unit of the poses; a bone is a pair of joint indices (start, end)."""
    starts, ends = (list(joints) for joints in zip(*bones, strict=True))
    # The square root has no derivative at zero, where an untrained generator may start.
    return ((poses[:, ends] - poses[:, starts]).square().sum(-1) + 1e-12).sqrt()


# ------------------------------------------------------------------------------------------ augmentation
def random_rotations(count: int, generator: torch.Generator, about_z: bool = False, dtype=torch.float32) -> Tensor:
    """(count, 3, 3) random rotations, uniform over all rotations or over those about the z axis.

    Uniform rotations come from normalised Gaussian quaternions (Shoemake, Graphics Gems III, 1992).
    """
    if about_z:
        half = torch.pi * uniform(count, generator=generator, dtype=dtype)
        w, x, y, z = torch.cos(half), torch.zeros_like(half), torch.zeros_like(half), torch.sin(half)
    else:
        gauss = normal(count, 4, generator=generator, dtype=dtype).t().contiguous()
        w, x, y, z = gauss / gauss.square().sum(0).sqrt()
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows).t().unflatten(1, (3, 3))  # samples contiguous in memory


@dataclass(frozen=True)
class OrthogonalAugmentation:
    """Rotate poses about their hip and mirror some, in world coordinates (z up), before projection.

    Attributes:
        prob: probability of rotating a pose.
        flip_prob: probability of mirroring a pose, which swaps left and right joints.
        z_rotations_only: rotate about the vertical axis only, so that people stay upright.
    """

    prob: float = 1.0
    flip_prob: float = 0.5
    z_rotations_only: bool = False

    def __call__(self, poses: Tensor, generator: torch.Generator) -> Tensor:
        """(B, 17, 3) world coordinates -> the same shape; the hip does not move."""
        count = len(poses)
        chance = uniform(count, 2, generator=generator)
        rotations = random_rotations(count, generator, self.z_rotations_only, poses.dtype)
        if self.prob < 1:
            turned = (chance[:, 0] < self.prob)[:, None, None]
            rotations = torch.where(turned, rotations, torch.eye(3, dtype=poses.dtype, device=poses.device))
        hips = poses[:, HIP : HIP + 1]
        flipped = (chance[:, 1] < self.flip_prob)[:, None, None]
        # lerp with weight 0 or 1 is exact, and on a CPU several times as fast as `torch.where`.
        centred = torch.lerp(poses, select_joints(poses, H36M.flip_order.tolist()), flipped.to(poses.dtype)) - hips
        # Mirroring x before rotating negates the first column of the rotation.
        x, y, z = centred.split(1, dim=-1)
        column_x, column_y, column_z = (column.unsqueeze(1) for column in rotations.unbind(-1))
        column_x = torch.where(flipped, -column_x, column_x)
        return (x * column_x).addcmul(y, column_y).addcmul(z, column_z) + hips


def drop_joints(poses: Tensor, prob: float, generator: torch.Generator) -> Tensor:
    """Set joints of normalised poses (B, J, 2) to zero with probability `prob`."""
    if not prob:
        return poses
    dropped = uniform(*poses.shape[:2], generator=generator) < prob
    return poses.masked_fill(dropped[..., None], 0.0)


# ------------------------------------------------------------------------------------------ normalisation
def instance_scale(centred: Tensor) -> Tensor:
    """(..., 1, 1): RMS distance of the other joints from the hip, for hip-centred poses (..., J, D)."""
    joints = centred.shape[-2]
    mean_square = centred.square().sum((-2, -1), keepdim=True) / (joints - 1)
    # Clamped before the root, whose gradient at zero is infinite.
    return mean_square.clamp(min=torch.finfo(centred.dtype).eps ** 2).sqrt()


def normalise_instance(poses: Tensor, hip: int = 0) -> Tensor:
    """Normalise each pose (..., J, D) on its own: hip at zero, RMS distance of the other joints one."""
    centred = centre_on_hip(poses, hip)
    return centred / instance_scale(centred)
