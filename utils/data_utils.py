"""Pose arithmetic on the training device: joint selections, orthogonal augmentation, the two normalisations.

Everything is batched over (B, J, D) tensors and follows the device and dtype of its input.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.transform import H36M, H36M_2D, joint_map

HIP = H36M.index("pelvis")
# The 2D input has every joint of the 3D output but the nose.
LIFTER_INPUT_JOINTS = joint_map(H36M, H36M_2D)


def centre_on_hip(poses: Tensor, hip: int = HIP) -> Tensor:
    """(..., J, D) poses moved so that joint `hip` is the origin."""
    return poses - poses[..., hip : hip + 1, :]


# ------------------------------------------------------------------------------------------ augmentation
def random_rotations(count: int, generator: torch.Generator, about_z: bool = False, dtype=torch.float32) -> Tensor:
    """(count, 3, 3) rotations, uniform over all rotations or over those about the z axis.

    Uniform rotations come from normalised Gaussian quaternions (Shoemake, Graphics Gems III, 1992).
    """
    device = generator.device
    if about_z:
        angle = 2 * torch.pi * torch.rand(count, generator=generator, device=device, dtype=dtype)
        half = angle / 2
        zero = torch.zeros_like(half)
        quaternion = torch.stack([torch.cos(half), zero, zero, torch.sin(half)], dim=-1)
    else:
        gauss = torch.randn(count, 4, generator=generator, device=device, dtype=dtype)
        quaternion = torch.nn.functional.normalize(gauss, dim=-1)
    w, v = quaternion[:, :1, None], quaternion[:, 1:]
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=dtype, device=device)
    return identity + 2 * w * cross + 2 * cross @ cross


@dataclass(frozen=True)
class OrthogonalAugmentation:
    """Turn poses about their hip, and mirror some, in world coordinates (z up), before the camera looks at them.

    Attributes:
        prob: probability that a pose is turned at all.
        flip_prob: probability that a pose is mirrored; a mirrored right arm is a left arm, so sides change names.
        z_rotations_only: turn about the vertical alone: people stay upright.
    """

    prob: float = 1.0
    flip_prob: float = 0.5
    z_rotations_only: bool = False

    def __call__(self, poses: Tensor, generator: torch.Generator) -> Tensor:
        """(B, 17, 3) world coordinates -> the same shape; the hip stays where it is."""
        count = len(poses)
        chance = torch.rand(count, 2, generator=generator, device=poses.device)
        rotations = random_rotations(count, generator, self.z_rotations_only, poses.dtype)
        turned = (chance[:, 0] < self.prob)[:, None, None]
        rotations = torch.where(turned, rotations, torch.eye(3, dtype=poses.dtype, device=poses.device))
        hips = poses[:, HIP : HIP + 1]
        centred = poses - hips
        mirrored = centred[:, H36M.flip_order.tolist()] * centred.new_tensor([-1.0, 1.0, 1.0])
        centred = torch.where((chance[:, 1] < self.flip_prob)[:, None, None], mirrored, centred)
        return centred @ rotations.transpose(1, 2) + hips


def drop_joints(poses: Tensor, prob: float, generator: torch.Generator) -> Tensor:
    """Set each joint of normalised (B, J, 2) poses to zero, where its neighbourhood's middle is, with `prob`."""
    if not prob:
        return poses
    dropped = torch.rand(poses.shape[:2], generator=generator, device=poses.device) < prob
    return poses.masked_fill(dropped[..., None], 0.0)


# ------------------------------------------------------------------------------------------ normalisation
def instance_scale(centred: Tensor) -> Tensor:
    """(..., 1, 1): root mean square distance of the other joints from the hip, for (..., J, D) poses centred on it."""
    joints = centred.shape[-2]
    mean_square = centred.square().sum((-2, -1), keepdim=True) / (joints - 1)
    return mean_square.sqrt().clamp(min=torch.finfo(centred.dtype).eps)


def normalise_instance(poses: Tensor, hip: int = 0) -> Tensor:
    """Each pose by itself: hip at zero, deviation of the joints' distances from it one. (..., J, D)."""
    centred = centre_on_hip(poses, hip)
    return centred / instance_scale(centred)
