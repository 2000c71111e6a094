"""The poses that the GAN learns (hip at the origin, upright, facing one way), and the skeleton's bones and limbs.

World coordinates, mm, z up. Each pose is rotated about the vertical axis through its hip until the line from the right
to the left hip joint points along x, seen from above: the person faces -y, towards the viewer of `draw_pose_3d`. The
heading is independent of the pose and uniformly distributed, so the networks need not learn it; rotate generated poses
at random for all headings. Camera coordinates would mix the pose with the position and tilt of four cameras.
"""

import torch
from torch import Tensor

from utils.compute.arrays import in_kind
from utils.data_utils import centre_on_hip
from utils.transform import H36M

# Chains that start at the hip or the thorax; together they contain every joint except the hip.
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
    """(N, 17, 3) mm, world coordinates -> hip at the origin, rotated about the vertical axis to face -y.

    Takes an array or a tensor and returns the same type.
    """
    poses = centre_on_hip(world)
    across = poses[:, H36M.index("l_hip")] - poses[:, H36M.index("r_hip")]
    angle = torch.atan2(across[:, 1], across[:, 0])[:, None]
    (x, y, z), cos, sin = poses.unbind(-1), angle.cos(), angle.sin()
    return torch.stack([cos * x + sin * y, cos * y - sin * x, z], dim=-1)


def chain_matrix() -> Tensor:
    """(17, 16): which bones lie between the hip and each joint.

    `chain_matrix() @ vectors` is the pose, hip at the origin, of bone vectors (16, 3) in the order of `BONES`.
    """
    matrix = torch.zeros(len(H36M), len(BONES))
    for number, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        matrix[end] = matrix[start]
        matrix[end, number] = 1
    return matrix
