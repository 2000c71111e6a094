"""The one check of the joint order of 2D poses."""

import pytest
import torch

from twod_threed.joint_order import PELVIS_OFF_HIPS, pelvis_is_between_hips, skeleton_2d, whole_poses


def standing(joints, offset):
    """One pose, 100 px high, whose pelvis is `offset` px above the middle of the hips."""
    skeleton = skeleton_2d(joints)
    pose = torch.zeros(1, joints, 2)
    pose[0, skeleton.index("head_top"), 1] = 100.0
    pose[0, skeleton.index("pelvis"), 1] = offset
    return pose


@pytest.mark.parametrize("joints", [16, 17])
def test_the_threshold_is_a_share_of_the_diagonal(joints):
    assert PELVIS_OFF_HIPS == 0.1
    assert pelvis_is_between_hips(standing(joints, 9.9))
    assert not pelvis_is_between_hips(standing(joints, 10.1))
    assert pelvis_is_between_hips(torch.cat([standing(joints, 0), standing(joints, 0), standing(joints, 50)]))


def test_poses_with_nan_are_left_out():
    damaged = standing(16, 0)
    damaged[0, 3, 1] = torch.inf
    whole = whole_poses([torch.cat([damaged, standing(16, 1)]), torch.empty(0, 16, 2)])
    assert whole.shape == (1, 16, 2)
    assert whole[0, 0, 1] == 1
