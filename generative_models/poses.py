"""The poses that the GAN learns: hip at the origin, upright, facing one way; bones and limbs of the skeleton by name.

World coordinates, mm, z up. Each pose is turned about the vertical through its hip until the line from the right to
the left hip joint points along x as seen from above: the person then faces -y, towards the viewer of `draw_pose_3d`.
Which way somebody faces says nothing about the pose, and any way is as likely as another; so the networks need not
learn it, and who wants all directions turns the generated poses at random. Camera coordinates would mix the pose with
the place and the tilt of four cameras.
"""

import torch
from torch import Tensor

from utils.compute.arrays import in_kind
from utils.data_utils import bone_lengths as lengths_of
from utils.data_utils import centre_on_hip
from utils.transform import H36M

# The chains that grow from the hip and from the thorax; together they have every joint but the hip.
LIMBS = {
    "trunk": ("spine", "thorax", "nose", "head_top"),
    "r_leg": ("r_hip", "r_knee", "r_ankle"),
    "l_leg": ("l_hip", "l_knee", "l_ankle"),
    "r_arm": ("r_shoulder", "r_elbow", "r_wrist"),
    "l_arm": ("l_shoulder", "l_elbow", "l_wrist"),
}
PARENT = {child: parent for parent, child in H36M.bones}
BONES = tuple((PARENT[joint], joint) for joints in LIMBS.values() for joint in joints)
STARTS, ENDS = (H36M.indices(joints) for joints in zip(*BONES, strict=True))
BONE_INDICES = tuple(zip(STARTS, ENDS, strict=True))


@in_kind
def facing(world: Tensor) -> Tensor:
    """(N, 17, 3) mm, world coordinates -> hip at the origin and turned about the vertical to face -y.

    Takes an array or a tensor and gives the same kind back.
    """
    poses = centre_on_hip(world)
    across = poses[:, H36M.index("l_hip")] - poses[:, H36M.index("r_hip")]
    angle = torch.atan2(across[:, 1], across[:, 0])[:, None]
    (x, y, z), cos, sin = poses.unbind(-1), angle.cos(), angle.sin()
    return torch.stack([cos * x + sin * y, cos * y - sin * x, z], dim=-1)


def bone_vectors(poses: Tensor) -> Tensor:
    """(N, 17, 3) -> (N, 16, 3), from each bone's start to its end, in the order of `BONES`."""
    return poses[:, ENDS] - poses[:, STARTS]


def bone_lengths(poses: Tensor) -> Tensor:
    """(N, 17, 3) -> (N, 16), in the order of `BONES` and the unit of the poses."""
    return lengths_of(poses, BONE_INDICES)


def chain_matrix() -> Tensor:
    """(17, 16): which bones lead from the hip to each joint; `chain_matrix() @ bone_vectors(poses)` gives poses."""
    matrix = torch.zeros(len(H36M), len(BONES))
    for number, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        matrix[end] = matrix[start]
        matrix[end, number] = 1
    return matrix
