"""The GAN's frame of poses, and the skeleton's bones and limbs."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from generative_models.poses import BONE_INDICES, BONES, ENDS, LIMBS, STARTS, chain_matrix, facing
from utils.data_utils import bone_lengths
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.transform import H36M


def some_poses(count: int = 5) -> torch.Tensor:
    return 300 * torch.randn(count, 17, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def turned(poses: torch.Tensor, degrees: float) -> torch.Tensor:
    a = math.radians(degrees)
    matrix = [[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]]
    return poses @ torch.tensor(matrix, dtype=poses.dtype).T


@given(degrees=st.floats(-360, 360), x=st.floats(-5e3, 5e3), y=st.floats(-5e3, 5e3), z=st.floats(-5e3, 5e3))
def test_place_and_direction_do_not_matter(degrees, x, y, z):
    poses = some_poses()
    moved = turned(poses, degrees) + torch.tensor([x, y, z], dtype=poses.dtype)
    torch.testing.assert_close(facing(moved), facing(poses), atol=1e-6, rtol=0)


def test_heights_and_bone_lengths_are_kept():
    poses = some_poses()
    result = facing(poses)
    torch.testing.assert_close(result[..., 2], poses[..., 2] - poses[:, :1, 2])
    torch.testing.assert_close(bone_lengths(result, BONE_INDICES), bone_lengths(poses, BONE_INDICES))
    assert (result[:, 0] == 0).all()


def test_hips_lie_along_x_with_the_left_one_at_positive_x():
    across = facing(some_poses())[:, H36M.index("l_hip")] - facing(some_poses())[:, H36M.index("r_hip")]
    torch.testing.assert_close(across[:, 1], torch.zeros(5, dtype=across.dtype), atol=1e-9, rtol=0)
    assert (across[:, 0] > 0).all()


def test_people_face_the_viewer(tiny_h36m):
    """The nose is in front of the thorax: towards -y, on average."""
    poses = facing(load_pose_set(find_sequences(tiny_h36m), [1, 5, 6], ["Walking", "Eating"]).world)
    assert (poses[:, H36M.index("nose")] - poses[:, H36M.index("thorax")])[:, 1].mean() < -20


def test_turning_twice_changes_nothing_more():
    once = facing(some_poses())
    torch.testing.assert_close(facing(once), once)


def test_limbs_have_every_joint_but_the_hip_once():
    joints = [joint for limb in LIMBS.values() for joint in limb]
    assert sorted(joints) == sorted(set(H36M.joints) - {"pelvis"})
    assert set(BONES) == set(H36M.bones)


def test_bones_lead_back_to_joints():
    poses = facing(some_poses())
    torch.testing.assert_close(chain_matrix().double() @ (poses[:, ENDS] - poses[:, STARTS]), poses)


def test_bone_indices_are_in_the_order_of_the_bones():
    poses = torch.zeros(1, 17, 3)
    poses[0, H36M.index("l_wrist")] = torch.tensor([3.0, 0, 4])
    lengths = dict(zip(BONES, bone_lengths(poses, BONE_INDICES)[0].tolist(), strict=True))
    assert lengths.pop(("l_elbow", "l_wrist")) == pytest.approx(5)
    assert max(lengths.values()) < 1e-5
