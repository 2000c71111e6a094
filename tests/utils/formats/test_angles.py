"""Joint angles, by hand."""

import csv
import json

import numpy as np
import pytest
from command_line import call
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions_folder import STANDING, clip_folder
from scipy.spatial.transform import Rotation

from utils.formats.angles import DEFINITIONS, joint_angles
from utils.formats.rotations import frame_of, without_twist
from utils.transform import H36M

SHIN, FOREARM = 450.0, 250.0
UP, FORWARD, LEFT = (
    np.array([0, -1.0, 0]),
    np.array([0, 0, -1.0]),
    np.array([1.0, 0, 0]),
)  # of a person facing the camera


def moved(**joints):
    """The T pose with some joints moved to the given positions; (17, 3) mm, camera coordinates."""
    pose = STANDING.double().numpy().copy()
    for joint, position in joints.items():
        pose[H36M.index(joint)] = position
    return pose


def of(pose):
    return dict(zip(DEFINITIONS, joint_angles(pose[None])[0], strict=True))


def at(joint):
    return STANDING.double().numpy()[H36M.index(joint)]


def test_the_t_pose():
    found = of(moved())
    for name, degrees in found.items():
        expected = 90 if name.endswith("elevation") else 0
        assert degrees == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize("side", ["l", "r"])
def test_one_limb_at_a_time(side):
    out = LEFT if side == "l" else -LEFT
    hip, knee, shoulder, elbow = (at(f"{side}_{joint}") for joint in ("hip", "knee", "shoulder", "elbow"))
    thigh = np.cos(0.5) * -UP + np.sin(0.5) * FORWARD
    found = of(moved(**{f"{side}_knee": hip + SHIN * thigh, f"{side}_ankle": hip + 2 * SHIN * thigh}))
    assert found[f"{side}_hip_flexion"] == pytest.approx(np.rad2deg(0.5))
    assert found[f"{side}_hip_abduction"] == pytest.approx(0, abs=1e-6)
    thigh = np.cos(0.3) * -UP + np.sin(0.3) * out
    found = of(moved(**{f"{side}_knee": hip + SHIN * thigh}))
    assert found[f"{side}_hip_abduction"] == pytest.approx(np.rad2deg(0.3))
    found = of(moved(**{f"{side}_ankle": knee - SHIN * FORWARD}))
    assert found[f"{side}_knee_flexion"] == pytest.approx(90)
    arm = np.cos(0.4) * -UP + np.sin(0.4) * FORWARD
    found = of(moved(**{f"{side}_elbow": shoulder + FOREARM * arm}))
    assert found[f"{side}_shoulder_elevation"] == pytest.approx(np.rad2deg(0.4))
    assert found[f"{side}_shoulder_plane"] == pytest.approx(90)
    found = of(moved(**{f"{side}_elbow": shoulder - FOREARM * UP}))
    assert found[f"{side}_shoulder_elevation"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(found[f"{side}_shoulder_plane"])
    found = of(moved(**{f"{side}_wrist": elbow + FOREARM * UP}))
    assert found[f"{side}_elbow_flexion"] == pytest.approx(90)


@pytest.mark.parametrize(("axis", "name"), [(LEFT, "flexion"), (FORWARD, "bending"), (UP, "rotation")])
def test_the_trunk(axis, name):
    """Chest, arms and head turned by 20 degrees about one axis through the spine."""
    pose, spine = moved(), at("spine")
    above = H36M.indices(["thorax", "nose", "head_top", *(f"{s}_{j}" for s in "lr" for j in ("shoulder", "elbow"))])
    pose[above] = Rotation.from_rotvec(np.deg2rad(20) * axis).apply(pose[above] - spine) + spine
    found = of(pose)
    for one in ("flexion", "bending", "rotation"):
        assert found[f"trunk_{one}"] == pytest.approx(20 if one == name else 0, abs=1e-6), one
    assert found["head_flexion"] == pytest.approx(0, abs=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_angles_do_not_depend_on_where_the_camera_is(seed):
    generator = np.random.default_rng(seed)
    poses = STANDING.numpy() + generator.normal(size=(3, 17, 3)) * 60
    turned = poses @ Rotation.random(rng=generator).as_matrix().T + generator.normal(size=3) * 1000
    difference = joint_angles(poses) - joint_angles(turned)
    np.testing.assert_allclose((difference + 180) % 360 - 180, 0, atol=1e-5)


def test_a_missing_joint_makes_its_angles_unknown():
    found = of(moved(l_wrist=np.nan))
    assert [name for name, degrees in found.items() if np.isnan(degrees)] == ["l_elbow_flexion"]
    assert np.isnan(of(moved(l_hip=np.nan))["trunk_flexion"])


def test_the_table_and_its_definitions(tmp_path):
    folder = clip_folder(tmp_path)
    call("run", "convert", "--data_dir", folder, "--to", "angles").succeeded()
    with (folder / "converted/angles.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    definitions = json.loads((folder / "converted/angles.json").read_text())
    assert list(definitions) == list(rows[0])[5:] == [f"{name}_deg" for name in DEFINITIONS]
    assert len(rows) == 7
    assert {float(row["l_shoulder_elevation_deg"]) for row in rows} == {90}


# ------------------------------------------------------------------------------------------ rotations
@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_the_smallest_rotation(seed):
    start, end = np.random.default_rng(seed).normal(size=(2, 5, 3))
    matrices = without_twist(start, end)
    turned = np.einsum("tij,tj->ti", matrices, start / np.linalg.norm(start, axis=1, keepdims=True))
    np.testing.assert_allclose(turned, end / np.linalg.norm(end, axis=1, keepdims=True), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(matrices), 1)
    axes = Rotation.from_matrix(matrices).as_rotvec()
    np.testing.assert_allclose((axes * start).sum(1), 0, atol=1e-6)


@pytest.mark.parametrize("direction", [*np.eye(3), [1.0, 1, 1]])
def test_opposite_and_no_directions(direction):
    direction = np.asarray(direction)
    half = without_twist(direction, -direction)
    np.testing.assert_allclose(half @ direction, -direction, atol=1e-12)
    np.testing.assert_allclose(half @ half.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(half) == pytest.approx(1)
    np.testing.assert_array_equal(without_twist(direction, np.zeros(3)), np.eye(3))
    np.testing.assert_allclose(
        frame_of(direction, direction) @ np.array([1.0, 0, 0]), direction / np.sqrt(direction @ direction)
    )
