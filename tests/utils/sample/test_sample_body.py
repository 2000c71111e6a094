"""The sample's body: forward kinematics by hand, joint names, plausible poses."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.sample.body import PARENTS, SEGMENTS, STANCES, Body, Pose, pose_body, random_body, random_pose
from utils.sample.flesh import joint_depths, limbs
from utils.transform import H36M, MPII

BODY = Body(
    stature=1700, girth=1, hip=100, shoulder=180, thigh=400, shin=400, foot=250, abdomen=200, chest=300, neck=80,
    head=240, upper_arm=300, forearm=250, hand=150,
)  # fmt: skip
SOLE = 0.039 * 1700  # the ankle's height over the ground


def posed(facing=0.0, **degrees):
    """BODY with the given segments bent by (flexion, abduction, inward rotation)."""
    angles = np.zeros((len(SEGMENTS), 3))
    for segment, bend in degrees.items():
        angles[SEGMENTS.index(segment)] = np.radians(bend)
    return pose_body(BODY, Pose(angles, np.radians(facing), "stand"))


def joint(body, name):
    return body.joints(MPII)[MPII.index(name)]


def test_parents_stand_before_children():
    assert PARENTS[0] == -1
    assert all(parent < index for index, parent in enumerate(PARENTS))
    assert SEGMENTS[PARENTS[SEGMENTS.index("r_foot")]] == "r_shin"
    assert SEGMENTS[PARENTS[SEGMENTS.index("l_upper_arm")]] == "chest"


def test_standing_at_attention():
    body = posed()
    np.testing.assert_allclose(joint(body, "r_ankle"), [-100, 0, SOLE], atol=1e-9)
    np.testing.assert_allclose(joint(body, "l_hip"), [100, 0, SOLE + 800], atol=1e-9)
    np.testing.assert_allclose(joint(body, "thorax"), [0, 0, SOLE + 1300], atol=1e-9)
    np.testing.assert_allclose(joint(body, "head_top"), [0, 0, SOLE + 1620], atol=1e-9)
    np.testing.assert_allclose(joint(body, "l_wrist"), [180, 0, SOLE + 750], atol=1e-9)


@pytest.mark.parametrize(
    ("bend", "name", "offset"),
    [
        # From the shoulder; the left is +x, the front -y.
        ({"l_upper_arm": (90, 0, 0)}, "l_wrist", [0, -550, 0]),
        ({"l_upper_arm": (0, 90, 0)}, "l_wrist", [550, 0, 0]),
        ({"r_upper_arm": (0, 90, 0)}, "r_wrist", [-550, 0, 0]),
        ({"l_forearm": (90, 0, 0)}, "l_wrist", [0, -250, -300]),
        ({"l_upper_arm": (0, 0, 90), "l_forearm": (90, 0, 0)}, "l_wrist", [-250, 0, -300]),
        ({"r_upper_arm": (0, 0, 90), "r_forearm": (90, 0, 0)}, "r_wrist", [250, 0, -300]),
        ({"r_upper_arm": (0, 90, -90), "r_forearm": (90, 0, 0)}, "r_wrist", [-300, 0, 250]),
    ],
)
def test_arms_bend_by_hand(bend, name, offset):
    body = posed(**bend)
    np.testing.assert_allclose(joint(body, name) - joint(body, name[:2] + "shoulder"), offset, atol=1e-9)


def test_knees_bend_backwards_and_thighs_forwards():
    body = posed(r_thigh=(90, 0, 0), r_shin=(90, 0, 0))
    np.testing.assert_allclose(joint(body, "r_ankle") - joint(body, "r_hip"), [0, -400, -400], atol=1e-9)


def test_facing_turns_about_the_vertical():
    body = posed(facing=90)  # the front, -y, turns to +x; the own left, +x, to +y
    np.testing.assert_allclose(joint(body, "l_hip") - joint(body, "r_hip"), [0, 200, 0], atol=1e-9)
    nose, head = (body.joints(H36M)[H36M.index(name)] for name in ("nose", "head_top"))
    assert (nose - head)[0] > 50


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_random_poses_keep_lengths_and_stand_on_the_floor(seed):
    rng = np.random.default_rng(seed)
    body = random_body(rng)
    pose = random_pose(rng, body)
    figure = pose_body(body, pose)
    joints = dict(zip(MPII.joints, figure.joints(MPII), strict=True))
    for side in ("l_", "r_"):
        for a, b, length in (
            ("hip", "knee", body.thigh),
            ("knee", "ankle", body.shin),
            ("elbow", "wrist", body.forearm),
        ):
            assert np.linalg.norm(joints[side + a] - joints[side + b]) == pytest.approx(length)
    assert pose.stance in STANCES
    assert min(joints["l_ankle"][2], joints["r_ankle"][2]) > 0
    np.testing.assert_allclose(
        figure.rotations @ figure.rotations.swapaxes(-1, -2), np.eye(3)[None].repeat(17, 0), atol=1e-12
    )
    # Both skeletons are the same body.
    h36m = dict(zip(H36M.joints, figure.joints(H36M), strict=True))
    assert all(np.array_equal(h36m[name], joints[name]) for name in joints.keys() & h36m.keys())
    assert joints["head_top"][2] > joints["pelvis"][2]


def test_most_people_face_the_camera():
    rng = np.random.default_rng(0)
    facing = np.degrees([random_pose(rng, random_body(rng)).facing for _ in range(300)])
    assert 0.65 < np.mean(np.abs(facing) <= 70) < 0.9
    assert np.any(np.cos(np.radians(facing)) < -0.8)


def test_flesh_lies_about_the_joints():
    body = posed(r_upper_arm=(0, 45, 0))
    cones = limbs(body)
    index = cones.names.index("r_forearm")
    np.testing.assert_allclose(cones.start[index], joint(body, "r_elbow"), atol=1e-9)
    np.testing.assert_allclose(cones.end[index], joint(body, "r_wrist"), atol=1e-9)
    heavier = dataclasses.replace(BODY, girth=1.2)
    np.testing.assert_allclose(joint_depths(heavier, MPII), 1.2 * joint_depths(BODY, MPII))
