"""3D poses as pictures: up is up, left is left, one scale in every direction."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from standing_people import FACING

from utils.imaging.draw3d import POSE_PANEL, draw_pose_3d, floor_shift, pose_limits, sketch_pose_2d
from utils.imaging.view3d import VIEWS, describe_views
from utils.look.names import VIEW_NAMES
from utils.look.palette import DARK, PAPER, ramp_color
from utils.transform import H36M, H36M_2D, Skeleton

SIDE_COLORS = DARK.sides
PERSON = np.array([FACING[joint] for joint in H36M.joints], dtype=np.float64)
DOT = Skeleton("DOT", ("r_wrist", "l_wrist"), ())


def center(picture, color, tolerance=30):
    """(x, y), px, of the middle of all pixels of a colour; (nan, nan) where there is none."""
    rows, columns = np.nonzero((np.abs(picture.astype(int) - color) <= tolerance).all(axis=2))
    return np.array([columns.mean(), rows.mean()]) if len(rows) else np.full(2, np.nan)


def only(*joints, pose=PERSON):
    """The pose with all joints but these missing."""
    missing = [index for index, joint in enumerate(H36M.joints) if joint not in joints]
    pose = pose.copy()
    pose[missing] = np.nan
    return pose


def place(joint, pose=PERSON, **view):
    """(x, y), px, where a joint of `pose` is drawn in a view of the whole pose."""
    picture = draw_pose_3d(only(joint, pose=pose), H36M, limits=pose, **view)
    return center(picture, SIDE_COLORS[H36M.side(joint)])


def dots(right, left, **view):
    """Where two joints are drawn that stand alone, (x, y) px each."""
    picture = draw_pose_3d(np.array([right, left], float), DOT, **view)
    # Far ones are darker: told apart by hue.
    red, _, blue = picture.astype(int).transpose(2, 0, 1)
    masks = (red - blue > 60, blue - red > 60)
    return [np.array([columns.mean(), rows.mean()]) for rows, columns in map(np.nonzero, masks)]


class TestDirections:
    @pytest.mark.parametrize("azimuth", [0, 25, -25])
    def test_a_raised_right_hand_is_upper_left_and_the_head_above_the_feet(self, azimuth):
        hand, head, foot = (place(joint, azimuth=azimuth) for joint in ("r_wrist", "head_top", "r_ankle"))
        other = place("l_wrist", azimuth=azimuth)
        assert hand[0] < POSE_PANEL[0] / 2 < other[0]
        assert hand[1] < head[1] < other[1] < foot[1]

    def test_world_coordinates_of_the_same_person_give_the_same_picture(self):
        world = np.stack([PERSON[:, 0], PERSON[:, 2], -PERSON[:, 1]], axis=1)  # x right, y away, z up
        pictures = (draw_pose_3d(PERSON, H36M), draw_pose_3d(world, H36M, frame="world"))
        assert np.array_equal(*pictures)

    def test_from_behind_left_and_right_change_sides(self):
        right, left = dots((-300, 0, 0), (300, 0, 0), azimuth=180)
        assert right[0] > left[0]

    def test_a_step_to_the_viewers_right_shows_what_is_near_farther_left(self):
        # Both straight ahead, the right wrist nearer. Walking to his right, the viewer sees near things move left.
        near, far = dots((0, 0, -400), (0, 0, 400), azimuth=30, elevation=0)
        assert near[0] < far[0]
        assert near[1] == pytest.approx(far[1], abs=1)

    def test_from_above_what_is_near_is_lower(self):
        near, far = dots((0, 0, -400), (0, 0, 400), azimuth=0, elevation=30)
        assert near[1] > far[1]
        assert near[0] == pytest.approx(far[0], abs=1)

    def test_a_camera_that_looks_down_has_its_tilt_undone(self):
        # An upright pole, seen by a camera that looks down by 20 degrees: its top is nearer.
        tilt = np.radians(20)
        top, foot = 800 * np.array([0, -np.cos(tilt), -np.sin(tilt)]), np.zeros(3)
        high, low = dots(top, foot, elevation=0, azimuth=90, camera_tilt=20)
        assert high[0] == pytest.approx(low[0], abs=1)
        high, low = dots(top, foot, elevation=0, azimuth=90)
        assert abs(high[0] - low[0]) > 30


class TestScale:
    @settings(max_examples=25)
    @given(azimuth=st.floats(-180, 180), size=st.sampled_from([(420, 480), (300, 500), (500, 300)]))
    def test_axes_are_equal(self, azimuth, size):
        """600 mm to the viewer's right and 600 mm up are the same number of px, at any azimuth."""
        turn = np.radians(azimuth)
        across = 300 * np.array([np.cos(turn), 0, np.sin(turn)])  # the viewer's right in the camera frame
        up = np.array([0, -300.0, 0])
        limits = np.array([[-400, -400, -400], [400, 400, 400]])
        view = {"azimuth": azimuth, "elevation": 0, "limits": limits, "size": size}
        (a, b), (c, d) = dots(across, -across, **view), dots(up, -up, **view)
        assert a[0] - b[0] == pytest.approx(d[1] - c[1], abs=1.5)
        assert a[0] - b[0] > 50

    @settings(max_examples=25)
    @given(azimuth=st.floats(-180, 180), elevation=st.floats(-90, 90))
    def test_the_whole_pose_is_in_the_picture(self, azimuth, elevation):
        wide = PERSON * (3, 1, 2)
        for joint in ("r_wrist", "l_ankle", "head_top"):
            bare = draw_pose_3d(wide * np.nan, H36M, limits=wide, azimuth=azimuth, elevation=elevation)
            drawn = draw_pose_3d(only(joint, pose=wide), H36M, limits=wide, azimuth=azimuth, elevation=elevation)
            changed = (bare != drawn).any(axis=2)
            assert changed.any()
            assert not changed[[0, -1]].any()
            assert not changed[:, [0, -1]].any()

    def test_what_is_nearer_hides_what_is_farther(self):
        def color_at_crossing(depth):
            cross = np.full((17, 3), np.nan)
            cross[H36M.indices(["r_knee", "r_ankle"])] = [[-300, 0, 0], [300, 0, 0]]
            cross[H36M.indices(["l_knee", "l_ankle"])] = [[0, -300, depth], [0, 300, depth]]
            picture = draw_pose_3d(cross, H36M, azimuth=0, elevation=0, limits=[[400] * 3, [-400] * 3])
            rows, columns = np.nonzero(np.ptp(picture.astype(int), axis=2) > 60)
            middle = [round((places.min() + places.max()) / 2) for places in (rows, columns)]
            red, _, blue = picture[*middle].tolist()
            return "r" if red > blue else "l"

        assert color_at_crossing(200) == "r"
        assert color_at_crossing(-200) == "l"


class TestSameView:
    @pytest.mark.parametrize("view", [{}, {"camera_tilt": 13.0}, {"frame": "world"}])
    def test_limits_of_all_poses_at_once(self, view):
        poses = np.random.default_rng(0).normal(0, 400, (20, 17, 3))
        whole = draw_pose_3d(PERSON, H36M, limits=poses, **view)
        assert pose_limits(poses, **view).shape == (2, 3)
        assert np.array_equal(draw_pose_3d(PERSON, H36M, limits=pose_limits(poses, **view), **view), whole)

    def test_lowest_joint_by_hand(self):
        # In a level camera y is down: the feet are at y = 900, so that poses go up by 900.
        assert floor_shift(PERSON).tolist() == [[0, -900, 0]]
        assert floor_shift(PERSON, frame="world")[0, 2] == -PERSON[:, 2].min()
        missing = only("pelvis")
        missing[H36M.index("l_wrist")] = [np.nan, 2000, 0]
        assert floor_shift(missing).tolist() == [[0, 0, 0]]
        assert floor_shift(PERSON * np.nan).tolist() == [[0, 0, 0]]
        assert floor_shift(np.zeros((0, 17, 3))).shape == (0, 1, 3)

    @pytest.mark.parametrize("tilt", [0.0, 20.0])
    def test_poses_stand_on_one_floor(self, tilt):
        crouching = PERSON * (1, 0.5, 1)
        both = np.stack([PERSON, crouching])
        standing = both + floor_shift(both, camera_tilt=tilt)
        again = floor_shift(standing, camera_tilt=tilt)
        assert np.abs(again).max() < 1e-9
        limits = pose_limits(standing, camera_tilt=tilt)
        view = {"limits": limits, "azimuth": 0, "elevation": 0, "camera_tilt": tilt}
        drawn = [draw_pose_3d(pose, H36M, **view) for pose in standing]
        # The lowest row with a limb; shadows and floor are grey.
        lowest = [np.nonzero(np.ptp(picture.astype(int), axis=2) > 60)[0].max() for picture in drawn]
        assert abs(lowest[0] - lowest[1]) <= 1

    def test_room_for_a_title_keeps_the_layout(self):
        with_title = draw_pose_3d(PERSON, H36M, title="a")
        without = draw_pose_3d(PERSON, H36M, titled=True)
        np.testing.assert_array_equal(with_title[60:], without[60:])
        assert (draw_pose_3d(PERSON, H36M)[60:] != without[60:]).any()

    @pytest.mark.parametrize("pair", [(0, 50), (25, -60)])
    def test_without_walls_the_scale_does_not_depend_on_azimuth(self, pair):
        """Two joints on the axis of rotation stay where they are, at any azimuth."""
        view = {"walls": False, "limits": [[-500, -500, -300], [500, 500, 300]]}
        one, other = (np.array(dots((0, -400, 0), (0, 400, 0), azimuth=azimuth, **view)) for azimuth in pair)
        np.testing.assert_allclose(one, other, atol=0.3)

    def test_a_title_in_color(self):
        picture = draw_pose_3d(PERSON, H36M, title="person 3", title_color=(0, 255, 0))
        assert np.isfinite(center(picture[:40], (0, 255, 0), tolerance=60)).all()


class TestPictures:
    def test_size_and_type(self):
        picture = draw_pose_3d(torch.from_numpy(PERSON), H36M, size=(300, 200), title="a title", truth=PERSON + 30)
        assert (picture.shape, picture.dtype) == ((200, 300, 3), np.uint8)

    def test_all_three_colours_are_there(self):
        picture = draw_pose_3d(PERSON, H36M, azimuth=0)
        for color in SIDE_COLORS.values():
            assert np.isfinite(center(picture, color)).all()

    def test_truth_is_grey_and_dashed(self):
        truth = np.full_like(PERSON, np.nan)
        truth[H36M.indices(["l_hip", "l_knee"])] = [[200, 400, 0], [200, -400, 0]]
        view = {"limits": PERSON, "azimuth": 0, "elevation": 0, "walls": False}
        plain, compared = (draw_pose_3d(PERSON * np.nan, H36M, truth=one, **view) for one in (None, truth))
        column = np.nonzero((plain != compared).any(axis=(0, 2)))[0].mean().round().astype(int)
        along = (np.abs(compared[:, column].astype(int) - DARK.truth) < 30).all(axis=1)
        assert np.count_nonzero(np.diff(along.astype(int)) == 1) >= 5  # dashes

    def test_doubtful_limbs_are_thin_faint_and_dashed(self):
        knee = H36M.index("r_knee")
        doubts = np.arange(len(H36M)) == knee
        leg = only("r_hip", "r_knee", "r_ankle")
        view = {"limits": PERSON, "azimuth": 0, "elevation": 0}
        sure, doubted = (draw_pose_3d(leg, H36M, doubtful=one, **view) for one in (None, doubts))
        orange = [(np.abs(one.astype(int) - SIDE_COLORS["r"]).max(axis=2) < 30).sum() for one in (sure, doubted)]
        assert orange[1] < 0.8 * orange[0]
        other = [draw_pose_3d(only("l_hip", "l_knee"), H36M, doubtful=one, **view) for one in (None, doubts)]
        np.testing.assert_array_equal(*other)

    def test_errors_have_colors_in_place_of_the_sides(self):
        errors = np.zeros(len(H36M))
        errors[H36M.index("r_wrist")] = 300
        picture = draw_pose_3d(only("r_wrist"), H36M, errors=errors, limits=PERSON)
        assert np.isfinite(center(picture, ramp_color(1))).all()
        assert np.isnan(center(picture, SIDE_COLORS["r"])).all()

    def test_paper_is_white(self):
        picture = draw_pose_3d(only("r_wrist"), H36M, palette=PAPER, limits=PERSON)
        assert (picture[0] == 255).all()
        assert np.isfinite(center(picture, PAPER.sides["r"])).all()

    def test_all_views_have_names_and_captions(self):
        assert tuple(VIEWS) == VIEW_NAMES
        assert describe_views(("turned",)) == "3D view: turned 25° to the right, raised 12°"
        assert describe_views(("front", "top")) == "3D views: front, as the camera sees it; top, from above"

    def test_from_above_and_from_the_side(self):
        above = dots((-300, 0, 400), (300, 0, 400), **VIEWS["top"].angles)
        assert above[0][0] < above[1][0]
        near, far = dots((0, 0, -400), (0, 0, 400), **VIEWS["side"].angles)
        assert near[0] < far[0]

    def test_several_people_and_another_skeleton(self):
        two = np.stack([PERSON, PERSON + np.array([900, 0, 0])])[:, H36M.indices(H36M_2D.joints)]
        picture = draw_pose_3d(two, H36M_2D, azimuth=0, size=(900, 400))
        orange = (np.abs(picture.astype(int) - SIDE_COLORS["r"]) <= 30).all(axis=2)
        assert orange[:, :450].any()
        assert orange[:, 450:].any()

    def test_joints_that_are_missing_leave_their_bones_out(self):
        picture = draw_pose_3d(only("r_knee"), H36M, limits=PERSON)
        assert np.isfinite(center(picture, SIDE_COLORS["r"])).all()
        assert np.isnan(center(picture, SIDE_COLORS["l"])).all()
        empty = draw_pose_3d(PERSON * np.nan, H36M, limits=PERSON)
        assert np.isnan(center(empty, SIDE_COLORS["r"])).all()
        assert draw_pose_3d(PERSON * np.nan, H36M).shape == (480, 420, 3)

    def test_nothing_is_changed_in_place(self):
        pose = PERSON.copy()
        draw_pose_3d(pose, H36M, truth=pose)
        sketch_pose_2d(pose[:, :2], H36M).raster()
        assert np.array_equal(pose, PERSON)

    @pytest.mark.parametrize("shape", [(16, 3), (17, 2), (17,), (1, 1, 17, 3)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"expected \(17, 3\) in H36M order"):
            draw_pose_3d(np.zeros(shape), H36M)

    def test_another_frame_is_refused(self):
        with pytest.raises(ValueError, match="expected camera or world"):
            draw_pose_3d(PERSON, H36M, frame="image")


class TestFlat:
    def test_up_is_up_and_left_is_left(self):
        picture = sketch_pose_2d(PERSON[:, :2] + 5000, H36M).raster()
        red, blue = center(picture, SIDE_COLORS["r"]), center(picture, SIDE_COLORS["l"])
        assert red[0] < blue[0]
        arm = sketch_pose_2d(only("r_elbow", "r_wrist")[:, :2], H36M, bounds=[[-500, -1000], [500, 1000]]).raster()
        assert center(arm, SIDE_COLORS["r"])[1] < 240

    @pytest.mark.parametrize("size", [(420, 480), (600, 200)])
    def test_proportions_are_kept(self, size):
        bounds = [[0, 0], [1000, 1000]]
        pictures = [
            sketch_pose_2d(np.array([[x, y], [np.nan] * 2]), DOT, size, bounds).raster()
            for x, y in ((500, 600), (700, 600), (500, 800))
        ]
        places = [center(picture, SIDE_COLORS["r"]) for picture in pictures]
        assert places[1][0] - places[0][0] == pytest.approx(places[2][1] - places[0][1], abs=1)

    def test_missing_and_extreme_joints(self):
        empty = sketch_pose_2d(PERSON[:, :2] * np.nan, H36M).raster()
        assert all(np.isnan(center(empty, color)).all() for color in SIDE_COLORS.values())
        assert sketch_pose_2d(PERSON[:, :2] * 0, H36M).raster().shape == (480, 420, 3)
        usual, huge = (sketch_pose_2d(PERSON[:, :2] * unit, H36M).raster() for unit in (1, 1e7))
        for color in SIDE_COLORS.values():
            np.testing.assert_allclose(center(huge, color), center(usual, color), atol=0.5)
