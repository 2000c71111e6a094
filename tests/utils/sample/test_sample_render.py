"""The sample's ray caster: exact hits, depth order, visibility, and what lies on which side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.sample.body import SEGMENTS, Pose, pose_body, random_body
from utils.sample.flesh import RoundCones, joint_depths, limbs
from utils.sample.render import (
    NOTHING,
    PinholeCamera,
    cast,
    join_cones,
    look_camera,
    random_outfit,
    shade,
    visible_joints,
)
from utils.transform import MPII

# At the origin, looking along +z of a world that is already the camera's frame.
CAMERA = PinholeCamera(np.eye(3), np.zeros(3), np.array([100.0, 100.0]), np.array([20.0, 20.0]))


def cone(start, end, radii, stretch=(1, 1, 1)):
    return RoundCones(
        ("limb",),
        np.array([start], float),
        np.array([end], float),
        np.array([radii], float),
        np.eye(3)[None],
        np.array([stretch], float),
    )


def test_projection_by_hand():
    camera = look_camera((0, -2000, 1000), pitch=0, roll=0, focal=200, centre=(50, 60))
    # 100 mm to the right and 300 mm up of the axis, 2 m away
    camera_point = camera.world_to_camera(np.array([100.0, 0, 1300]))
    np.testing.assert_allclose(camera_point, [100, -300, 2000])
    np.testing.assert_allclose(camera.project(camera_point), [60, 30])
    tilted = look_camera((0, -2000, 1000), pitch=0.1, roll=0, focal=200, centre=(50, 60))
    ahead = tilted.world_to_camera(np.array([0.0, 0, 1000]))
    assert tilted.project(ahead)[1] < 60  # the camera looks down, so what is level with it is seen above the centre
    np.testing.assert_allclose(tilted.rotation @ tilted.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(tilted.rotation) == pytest.approx(1)


def test_ball_by_hand():
    surface = cast(cone((0, 0, 1000), (0, 0, 1000.001), (100, 100)), CAMERA, 41, 41)
    assert surface.depth[20, 20] == pytest.approx(900)
    # The silhouette's half angle is asin(0.1): 10.05 px.
    assert np.flatnonzero(surface.limb[20] != NOTHING).tolist() == list(range(10, 31))


def test_cylinder_by_hand():
    surface = cast(cone((-100, 0, 1000), (100, 0, 1000), (50, 50)), CAMERA, 41, 41)
    np.testing.assert_allclose(surface.depth[20, 12:29], 950, atol=1e-9)  # a flat front along the axis
    np.testing.assert_allclose(surface.along[20, 20], 0.5)
    assert surface.along[20, 29] > surface.along[20, 12]


@settings(max_examples=40)
@given(st.integers(0, 100_000))
def test_hits_lie_on_the_surface(seed):
    """Distance from each hit to the axis point is the radius there, and nothing of the limb is nearer on the ray."""
    rng = np.random.default_rng(seed)
    start, end = rng.uniform((-150, -150, 900), (150, 150, 1300), (2, 3))
    radii, stretch = rng.uniform(30, 80, 2), rng.uniform(0.7, 1.4, 3)
    surface = cast(cone(start, end, radii, stretch), CAMERA, 41, 41)
    rows, columns = np.nonzero(surface.limb != NOTHING)
    assert len(rows)
    x, y = CAMERA.rays(41, 41)
    rays = np.stack([x[columns], y[rows], np.ones(len(rows))], -1)
    places = np.linspace(0, 1, 400)

    def outside(points):
        """How far outside the union of 400 balls, squared, in the unstretched frame."""
        gaps = (points[:, None] - (start + places[:, None] * (end - start))) / stretch
        return ((gaps**2).sum(-1) - (radii[0] + places * (radii[1] - radii[0])) ** 2).min(-1)

    depth = surface.depth[rows, columns, None]
    assert np.abs(outside(rays * depth)).max() < 15  # mm², of up to 6400; the 400 balls are not quite the hull
    assert outside(rays * (depth - 5)).min() > 0


def test_the_nearer_limb_wins_in_either_order():
    near = cone((-100, 0, 800), (100, 0, 800), (30, 30))
    far = cone((0, -100, 1000), (0, 100, 1000), (30, 30))
    for cones, index in (([near, far], 0), ([far, near], 1)):
        surface = cast(join_cones(cones), CAMERA, 41, 41)
        assert surface.limb[20, 20] == index
        assert surface.limb[10, 20] == 1 - index
        assert surface.limb[20, 10] == index


def test_limbs_behind_the_camera_or_beside_the_picture_are_left_out():
    behind, aside = cone((0, 0, -1000), (0, 0, -900), (50, 50)), cone((900, 0, 1000), (990, 0, 1000), (50, 50))
    assert np.all(cast(join_cones([behind, aside]), CAMERA, 41, 41).limb == NOTHING)


def test_visible_joints_by_hand():
    # A forearm 60 mm thick in front of a trunk of 200 mm; joints in their middles, one of them outside.
    forearm, trunk = cone((-60, 0, 700), (60, 0, 700), (30, 30)), cone((0, -150, 1000), (0, 150, 1000), (100, 100))
    surface = cast(join_cones([forearm, trunk]), CAMERA, 41, 41)
    joints = np.array([[0, 0, 700], [0, 0, 1000], [0, 150, 1000], [0, 500, 1000.0]])
    depths = np.array([45, 150, 150, 150])
    assert visible_joints(surface, CAMERA, joints, depths).tolist() == [True, False, True, False]


def standing(facing, **degrees):
    body = random_body(np.random.default_rng(3))
    angles = np.zeros((len(SEGMENTS), 3))
    for segment, bend in {"l_upper_arm": (0, 15, 0), "r_upper_arm": (0, 15, 0), **degrees}.items():
        angles[SEGMENTS.index(segment)] = np.radians(bend)
    return pose_body(body, Pose(angles, np.radians(facing), "stand"))


def view(figure):
    camera = look_camera((0, -4000, 1000), 0, 0, 200, (60, 60))
    cones = limbs(figure)
    surface = cast(cones, camera, 120, 120)
    joints = camera.world_to_camera(figure.joints(MPII))
    seen = visible_joints(surface, camera, joints, joint_depths(figure.body, MPII))
    return (
        camera,
        cones,
        surface,
        dict(zip(MPII.joints, camera.project(joints), strict=True)),
        dict(zip(MPII.joints, seen, strict=True)),
    )


def test_the_right_side_of_a_person_who_faces_the_camera_is_on_the_left():
    for facing, sign in ((0, 1), (180, -1)):
        _, _, _, pixels, seen = view(standing(facing))
        for name in ("hip", "shoulder", "knee", "wrist"):
            assert sign * (pixels["l_" + name][0] - pixels["r_" + name][0]) > 3
        assert pixels["head_top"][1] < pixels["pelvis"][1] < pixels["r_ankle"][1]
        assert all(seen.values())


def test_the_far_side_is_hidden_in_profile():
    figure = standing(90, r_upper_arm=(60, 0, 0))  # faces +x, so the right side is the near one
    _, _, _, pixels, seen = view(figure)
    assert seen["r_hip"]
    assert seen["r_shoulder"]
    assert not seen["l_hip"]
    assert not seen["l_shoulder"]
    assert abs(pixels["l_hip"][0] - pixels["r_hip"][0]) < 1


def test_a_hand_behind_the_back_is_hidden():
    _, _, _, _, seen = view(standing(0, l_upper_arm=(-35, 0, 80), l_forearm=(60, 0, 0)))
    assert not seen["l_wrist"]
    assert seen["r_wrist"]


def test_a_face_has_eyes_and_the_back_of_a_head_has_none():
    darkest = {}
    for facing in (0, 180):
        figure = standing(facing)
        cones = limbs(figure)
        outfit = random_outfit(np.random.default_rng(1), cones.names)
        outfit.colours[0] = 0.8  # pale skin, so that pupils are the only dark places on it
        outfit.grain[:] = 0
        head = figure.place("head", (0, 0, 120))
        camera = look_camera((0, -1500, head[2]), 0, 0, 400, (60, 60))
        surface = cast(cones, camera, 120, 120)
        image = shade(surface, cones, outfit, camera, np.array([0, 0, -1.0]), np.zeros((8, 8)))
        assert image.shape == (120, 120, 4)
        assert image.min() >= 0
        assert image.max() <= 1
        np.testing.assert_array_equal(image[..., 3] > 0, surface.limb != NOTHING)
        on_head = surface.limb == cones.names.index("head")
        darkest[facing] = image[on_head][:, :3].max(-1).min() if on_head.any() else 1.0
    assert darkest[0] < 0.1 < darkest[180]
