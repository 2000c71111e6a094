"""Rotations, orthogonal augmentation, dropped joints, instance normalisation."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils import data_utils
from utils.data_utils import (
    HIP,
    LIFTER_INPUT_JOINTS,
    NECK,
    OrthogonalAugmentation,
    centre_on_hip,
    drop_joints,
    gather_poses,
    instance_scale,
    lifter_input_joints,
    normalise_instance,
    random_rotations,
    select_joints,
)
from utils.transform import H36M, H36M_2D

BONES = torch.tensor(H36M.bone_indices)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some_poses(count=50, joints=17, dim=3, seed=1):
    """mm, anywhere in a room."""
    place = 1000 * torch.randn(count, 1, dim, generator=generator(seed))
    return place + 300 * torch.randn(count, joints, dim, generator=generator(seed + 1))


def bone_lengths(poses):
    return (poses[:, BONES[:, 0]] - poses[:, BONES[:, 1]]).norm(dim=-1)


def other_side(lengths):
    """Bone lengths with right and left exchanged."""
    names = [frozenset(bone) for bone in H36M.bones]
    swap = {joint: H36M.joints[other] for joint, other in zip(H36M.joints, H36M.flip_order, strict=True)}
    return lengths[:, [names.index(frozenset(swap[joint] for joint in bone)) for bone in names]]


class TestBoneLengths:
    def test_by_hand(self):
        poses = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [3.0, 6.0]]])
        torch.testing.assert_close(data_utils.bone_lengths(poses, [(1, 0), (1, 2)]), torch.tensor([[5.0, 2.0]]))

    def test_of_a_skeleton(self):
        poses = some_poses()
        torch.testing.assert_close(data_utils.bone_lengths(poses, H36M.bone_indices), bone_lengths(poses))

    def test_a_bone_without_length_has_a_gradient(self):
        poses = torch.zeros(1, 2, 3, requires_grad=True)
        data_utils.bone_lengths(poses, [(0, 1)]).sum().backward()
        assert torch.equal(poses.grad, torch.zeros(1, 2, 3))


def test_the_input_has_every_joint_but_the_nose():
    assert [H36M.joints[index] for index in LIFTER_INPUT_JOINTS] == list(H36M_2D.joints)
    assert (HIP, H36M_2D.index("pelvis")) == (0, 0)


def test_input_in_the_places_of_mpii_by_hand():
    pose = torch.zeros(1, 17, 3)
    for joint, place in {
        "r_hip": (-2, 0, 0), "l_hip": (4, 0, 0), "spine": (9, 9, 9), "thorax": (8, 8, 8), "r_wrist": (5, 6, 7),
        "r_shoulder": (-3, -10, 0), "l_shoulder": (5, -10, 2), "head_top": (1, -20, 1),
    }.items():  # fmt: skip
        pose[0, H36M.index(joint)] = torch.tensor(place, dtype=torch.float32)
    joints = dict(zip(H36M_2D.joints, lifter_input_joints(pose, "mpii")[0].tolist(), strict=True))
    assert joints["pelvis"] == [1, 0, 0]
    assert joints["spine"] == [1, -10, 1]  # the middle of the shoulders
    assert joints["thorax"] == pytest.approx([1, -10 - 10 * NECK, 1])
    assert joints["r_wrist"] == [5, 6, 7]
    as_they_are = dict(zip(H36M_2D.joints, lifter_input_joints(pose)[0].tolist(), strict=True))
    assert (as_they_are["spine"], as_they_are["thorax"]) == ([9, 9, 9], [8, 8, 8])


def test_centre_on_hip():
    poses = torch.tensor([[[1.0, 2.0], [4.0, 6.0]]])
    assert centre_on_hip(poses).tolist() == [[[0, 0], [3, 4]]]
    assert centre_on_hip(poses, hip=1).tolist() == [[[-3, -4], [0, 0]]]


def test_gathering_and_selecting_are_indexing():
    poses = some_poses(9)
    index, joints = torch.tensor([8, 0, 3, 3]), [16, 2, 2, 0]
    gathered = gather_poses(poses, index)
    assert torch.equal(gathered, poses[index])
    assert torch.equal(select_joints(gathered, joints), poses[index][:, joints])
    assert torch.equal(select_joints(poses, joints), poses[:, joints])


class TestRotations:
    @pytest.mark.parametrize("about_z", [False, True])
    def test_they_are_rotations(self, about_z):
        rotations = random_rotations(200, generator(), about_z, torch.float64)
        eye = torch.eye(3, dtype=torch.float64).expand(200, 3, 3)
        torch.testing.assert_close(rotations @ rotations.mT, eye)
        torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(200, dtype=torch.float64))
        assert len(rotations.flatten(1).unique(dim=0)) == 200

    def test_about_z_the_vertical_stays_and_the_angle_is_uniform(self):
        rotations = random_rotations(4000, generator(), about_z=True, dtype=torch.float64)
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        torch.testing.assert_close(rotations @ up, up.expand(4000, 3))
        torch.testing.assert_close(rotations[:, 2], up.expand(4000, 3))
        angles = torch.atan2(rotations[:, 1, 0], rotations[:, 0, 0]).remainder(2 * math.pi)
        shares = torch.histc(angles, 8, 0, 2 * math.pi) / 4000
        assert (shares - 1 / 8).abs().max() < 0.02  # 4 deviations

    def test_any_axis_is_uniform(self):
        """A turned vector's coordinates are uniform on [-1, 1] each (Archimedes); the angle's density is 1 - cos."""
        rotations = random_rotations(4000, generator())
        for coordinate in rotations.flatten(1).T:
            assert (torch.histc(coordinate, 8, -1, 1) / 4000 - 1 / 8).abs().max() < 0.025
        trace = rotations.diagonal(dim1=1, dim2=2).sum(1)
        angle = ((trace - 1) / 2).clamp(-1, 1).acos()
        assert angle.mean().item() == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.05)

    def test_they_follow_the_generator(self):
        assert torch.equal(random_rotations(3, generator(5)), random_rotations(3, generator(5)))
        assert not torch.equal(random_rotations(3, generator(5)), random_rotations(3, generator(6)))
        assert random_rotations(3, generator(), dtype=torch.float64).dtype == torch.float64


class TestOrthogonalAugmentation:
    @pytest.mark.parametrize("z_rotations_only", [False, True])
    def test_bones_keep_their_lengths_and_the_hip_its_place(self, z_rotations_only):
        poses = some_poses()
        turned = OrthogonalAugmentation(flip_prob=0, z_rotations_only=z_rotations_only)(poses, generator())
        torch.testing.assert_close(bone_lengths(turned), bone_lengths(poses), rtol=0, atol=0.01)
        assert torch.equal(turned[:, HIP], poses[:, HIP])
        assert (turned - poses).norm(dim=-1)[:, 1:].mean() > 100

    def test_turns_about_z_keep_heights(self):
        poses = some_poses()
        turned = OrthogonalAugmentation(flip_prob=0.5, z_rotations_only=True)
        mirrored_or_not = turned(poses, generator())[..., 2]
        sides = poses[..., 2][:, H36M.flip_order.tolist()]
        kept = torch.isclose(mirrored_or_not, poses[..., 2], atol=1e-2).all(1)
        swapped = torch.isclose(mirrored_or_not, sides, atol=1e-2).all(1)
        assert (kept ^ swapped).all()
        assert 10 < kept.sum() < 40

    def test_without_flip_handedness_is_kept(self):
        poses = some_poses()
        turned = OrthogonalAugmentation(flip_prob=0)(poses, generator())
        before, after = (torch.linalg.det((one[:, 1:4] - one[:, :1]) / 300) for one in (poses, turned))
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)

    def test_a_mirror_exchanges_the_sides(self):
        poses = some_poses()
        mirrored = OrthogonalAugmentation(prob=0, flip_prob=1)(poses, generator())
        torch.testing.assert_close(bone_lengths(mirrored), other_side(bone_lengths(poses)), rtol=0, atol=0.01)
        assert torch.equal(mirrored[:, HIP], poses[:, HIP])
        offset = poses[:, H36M.index("l_wrist")] - poses[:, HIP]
        expected = offset * torch.tensor([-1.0, 1.0, 1.0])
        torch.testing.assert_close(mirrored[:, H36M.index("r_wrist")] - poses[:, HIP], expected, rtol=0, atol=1e-3)

    def test_a_mirror_and_a_turn(self):
        poses = some_poses()
        both = OrthogonalAugmentation(prob=1, flip_prob=1)(poses, generator())
        torch.testing.assert_close(bone_lengths(both), other_side(bone_lengths(poses)), rtol=0, atol=0.01)

    def test_with_neither_nothing_moves(self):
        poses = some_poses()
        same = OrthogonalAugmentation(prob=0, flip_prob=0)(poses, generator())
        torch.testing.assert_close(same, poses, rtol=0, atol=1e-3)

    def test_the_probabilities(self):
        poses = some_poses(2000)
        turned = OrthogonalAugmentation(prob=0.25, flip_prob=0)(poses, generator())
        moved = ((turned - poses).norm(dim=-1).amax(1) > 1).float().mean().item()
        assert moved == pytest.approx(0.25, abs=0.04)
        mirrored = OrthogonalAugmentation(prob=0, flip_prob=0.75)(poses, generator())
        moved = ((mirrored - poses).norm(dim=-1).amax(1) > 1).float().mean().item()
        assert moved == pytest.approx(0.75, abs=0.04)

    def test_it_is_deterministic_and_does_not_change_its_input(self):
        poses = some_poses()
        before, augment = poses.clone(), OrthogonalAugmentation()
        assert torch.equal(augment(poses, generator(3)), augment(poses, generator(3)))
        assert torch.equal(poses, before)


class TestDropJoints:
    def test_none_and_all(self):
        poses = some_poses(10, 16, 2)
        assert torch.equal(drop_joints(poses, 0.0, generator()), poses)
        assert not drop_joints(poses, 1.0, generator()).any()

    def test_whole_joints_become_zero_with_the_probability(self):
        poses = some_poses(500, 16, 2)
        dropped = drop_joints(poses, 0.3, generator())
        gone = (dropped == 0).all(-1)
        assert torch.equal(dropped[~gone], poses[~gone])
        assert gone.float().mean().item() == pytest.approx(0.3, abs=0.03)
        assert len(gone.unique(dim=0)) > 100  # each pose by itself


class TestNormaliseInstance:
    def test_by_hand(self):
        """Distances from the hip 5 and 5: deviation sqrt((25 + 25) / 2) = 5."""
        poses = torch.tensor([[[10.0, 20.0], [13.0, 24.0], [10.0, 15.0]]])
        torch.testing.assert_close(normalise_instance(poses), torch.tensor([[[0, 0], [0.6, 0.8], [0, -1.0]]]))
        assert instance_scale(centre_on_hip(poses)).tolist() == [[[5.0]]]

    def test_hip_at_zero_and_mean_square_distance_one(self):
        poses = normalise_instance(some_poses(joints=16, dim=2))
        assert not poses[:, 0].any()
        torch.testing.assert_close(poses[:, 1:].square().sum(-1).mean(1), torch.ones(50))

    @given(st.floats(0.01, 100), st.lists(st.floats(-5000, 5000), min_size=2, max_size=2))
    def test_shift_and_scale_do_not_matter(self, scale, shift):
        poses = some_poses(5, 16, 2).double()
        moved = scale * poses + torch.tensor(shift, dtype=torch.float64)
        torch.testing.assert_close(normalise_instance(moved), normalise_instance(poses), rtol=1e-6, atol=1e-6)

    def test_another_hip(self):
        poses = some_poses(5, 16, 2)
        assert not normalise_instance(poses, hip=3)[:, 3].any()

    def test_all_joints_in_one_place_stay_finite(self):
        assert not normalise_instance(torch.full((2, 16, 2), 7.0)).any()
        poses = torch.full((2, 16, 2), 7.0, requires_grad=True)
        normalise_instance(poses).sum().backward()
        assert poses.grad.isfinite().all()
