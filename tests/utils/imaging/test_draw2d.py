"""Poses, heat maps and grids on pictures; pictures in files."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.imaging.draw2d import (
    as_picture,
    can_write,
    draw_pose,
    enlarge_small,
    heat_map_image,
    heat_ramp,
    image_grid,
    move_to,
    resized,
    save_image,
    save_png,
)
from utils.imaging.images import read_image
from utils.look.palette import DARK, PERSON_COLORS, person_color
from utils.transform import COCO, LSP, MPII, Skeleton

SIDE_COLORS = DARK.sides
STICK = Skeleton("stick", ("r_hand", "head", "l_hand"), (("r_hand", "head"), ("head", "l_hand"), ("r_hand", "l_hand")))
GREY = np.full((600, 800, 3), 128, np.uint8)
JOINTS = np.array([[200.0, 300.0], [400.0, 100.0], [600.0, 300.0]])


def changed(picture: np.ndarray, before: np.ndarray = GREY) -> np.ndarray:
    return (picture != before).any(axis=2)


def draw(joints, skeleton=STICK, image=GREY, **kwargs):
    return draw_pose(image, joints, skeleton, **kwargs)


class TestPose:
    def test_each_bone_has_the_color_of_its_side(self):
        picture = draw(JOINTS)
        assert tuple(picture[200, 300]) == SIDE_COLORS["r"]  # half-way from right hand to head
        assert tuple(picture[200, 500]) == SIDE_COLORS["l"]
        assert tuple(picture[300, 400]) == SIDE_COLORS["c"]  # from right to left
        assert [tuple(picture[int(y), int(x)]) for x, y in JOINTS] == [SIDE_COLORS[s] for s in "rcl"]
        assert tuple(picture[250, 400]) == (128, 128, 128)

    def test_source_is_not_changed(self):
        before = GREY.copy()
        draw(JOINTS, numbers=[0])
        assert (before == GREY).all()

    def test_torch_and_numpy_draw_the_same(self):
        tensor = torch.from_numpy(GREY.transpose(2, 0, 1).astype(np.float32) / 255)
        picture = draw_pose(tensor, torch.from_numpy(JOINTS), STICK, scores=torch.ones(3))
        np.testing.assert_array_equal(picture, draw_pose(GREY, JOINTS, STICK))

    def test_joint_that_is_nan_is_left_out_with_its_bones(self):
        joints = JOINTS.copy()
        joints[0, 1] = np.nan
        picture = draw(joints)
        assert not changed(picture)[:, :350].any()
        assert tuple(picture[200, 500]) == SIDE_COLORS["l"]

    def test_low_or_nan_score_leaves_a_joint_out(self):
        picture = draw(JOINTS, scores=[0.2, 0.9, 0.3], threshold=0.3)
        assert not changed(picture)[:, :350].any()
        assert tuple(picture[200, 500]) == SIDE_COLORS["l"]
        assert not changed(draw(JOINTS, scores=[np.nan] * 3)).any()

    def test_nothing_to_draw(self):
        assert not changed(draw(np.full((3, 2), np.nan))).any()
        assert not changed(draw(np.zeros((0, 3, 2)))).any()

    def test_all_people_are_drawn(self):
        both = changed(draw(np.stack([JOINTS, JOINTS + np.array([0, 250])])))
        assert (both[:320] == changed(draw(JOINTS))[:320]).all()
        assert both[400:].any()

    def test_lines_are_thicker_on_larger_people(self):
        large, small = changed(draw(JOINTS)), changed(draw(JOINTS / 10))
        assert large[:, 300].sum() > 1.5 * small[:, 30].sum()

    def test_points_are_drawn_to_sub_pixels(self):
        one = Skeleton("one", ("head",), ())
        for x, y in ((300.0, 200.0), (300.25, 200.5), (300.75, 199.25)):
            weight = np.abs(draw([[x, y]], one).astype(float) - GREY).sum(axis=2)
            rows, columns = np.mgrid[:600, :800]
            middle = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
            np.testing.assert_allclose(middle, [x, y], atol=0.1)

    def test_far_outside_and_infinite_joints(self):
        draw([[1e30, -1e30], [400, 100], [np.inf, 3]])
        assert changed(draw([[1e12, 300], [400, 300], [np.nan, 0]]))[300, 790]

    @pytest.mark.parametrize("skeleton", [MPII, LSP, COCO])
    def test_every_skeleton_shows_all_its_joints(self, skeleton):
        columns, rows = np.arange(len(skeleton)) % 6, np.arange(len(skeleton)) // 6
        joints = np.stack([100 + 110 * columns, 100 + 150 * rows], axis=1).astype(float)
        picture = draw_pose(GREY, joints, skeleton)
        for name, (x, y) in zip(skeleton.joints, joints.astype(int), strict=True):
            assert tuple(picture[y, x]) == SIDE_COLORS[skeleton.side(name)], name

    @settings(max_examples=20)
    @given(st.integers(1, 700), st.integers(1, 700))
    def test_any_size(self, width, height):
        image = np.zeros((height, width, 3), np.uint8)
        picture = draw_pose(image, np.zeros((3, 2)), STICK)
        assert max(picture.shape[:2]) == max(512, width, height)


class TestLooseDots:
    def test_a_joint_whose_neighbours_are_hidden_is_hidden(self):
        joints = JOINTS.copy()
        joints[1:] = np.nan
        assert not changed(draw(joints)).any()
        assert not changed(draw(JOINTS, scores=[0.9, 0.1, 0.1], threshold=0.5)).any()

    def test_a_joint_without_bones_is_drawn(self):
        loose = Skeleton("loose", ("a", "b", "c"), (("a", "b"),))
        seen = changed(draw([[np.nan] * 2, [200, 100], [600, 300]], loose))
        assert seen[300, 600]
        assert not seen[100, 200]


class TestNumbers:
    def test_each_person_has_a_box_and_a_plate_in_one_color(self):
        people = np.stack([JOINTS, JOINTS * 0.5 + np.array([0, 300])])
        picture = draw(people, numbers=[0, 1])
        for person, number in zip(people, (0, 1), strict=True):
            rows, columns = np.nonzero((picture == person_color(number)).all(axis=2))
            assert columns.min() < person[:, 0].min()
            assert columns.max() > person[:, 0].max()
            assert rows.min() < person[:, 1].min()
            assert rows.max() > person[:, 1].max()

    def test_stays_in_the_picture(self):
        picture = draw(JOINTS - np.array([390.0, 100.0]), numbers=[3])
        rows, columns = np.nonzero((picture == person_color(3)).all(axis=2))
        assert (rows.min(), columns.min()) == (0, 0)

    def test_people_without_joints_get_no_tag(self):
        assert not changed(draw(np.full((1, 3, 2), np.nan), numbers=[0])).any()

    def test_must_be_one_per_person(self):
        with pytest.raises(ValueError, match="argument"):
            draw(JOINTS, numbers=[0, 1])

    def test_colors_differ_from_those_of_the_sides_and_repeat(self):
        colors = np.array(PERSON_COLORS)
        for color in (*SIDE_COLORS.values(), *colors):
            assert (np.abs(colors - color).max(axis=1) < 50).sum() == (np.abs(colors - color).max(axis=1) == 0).sum()
        assert len(np.unique(colors, axis=0)) == len(colors)
        assert person_color(len(colors)) == person_color(0)


class TestEnlarge:
    def test_large_picture_is_not_enlarged(self):
        picture, spans = enlarge_small(GREY)
        assert picture is GREY
        assert spans.tolist() == [1, 1]

    def test_small_picture_is_enlarged(self):
        picture, spans = enlarge_small(np.zeros((50, 128, 3), np.uint8))
        assert picture.shape == (200, 512, 3)
        assert spans.tolist() == [4, 4]

    def test_pixel_centres_are_kept(self):
        """A 2 px wide bar between columns 30 and 31 stays centred where its joint is drawn."""
        image = np.zeros((40, 64, 3), np.uint8)
        image[:, 30:32] = 255
        picture, spans = enlarge_small(image)
        x = (30.5 + 0.5) * spans[0] - 0.5
        middle = (picture[100, :, 0].astype(float) * np.arange(512)).sum() / picture[100, :, 0].sum()
        assert middle == pytest.approx(x, abs=0.02)
        one = Skeleton("one", ("head",), ())
        weight = np.abs(draw([[30.5, 20.0]], one, np.zeros_like(image)).astype(float)).sum(axis=2)
        assert (weight.sum(axis=0) * np.arange(512)).sum() / weight.sum() == pytest.approx(x, abs=0.1)


class TestResized:
    @pytest.mark.parametrize("factor", [0.5, 0.37, 2.0])
    def test_points_stay_on_what_they_mark(self, factor):
        image = np.zeros((200, 300, 3), np.uint8)
        image[40:60, 200:240] = 255  # its middle: (219.5, 49.5)
        picture, spans = resized(image, factor)
        assert picture.shape == (round(200 * factor), round(300 * factor), 3)
        weight = picture[..., 0].astype(float)
        middle = [(weight.sum(axis=axis) * np.arange(weight.shape[1 - axis])).sum() / weight.sum() for axis in (0, 1)]
        np.testing.assert_allclose(move_to([[219.5, 49.5]], spans)[0], middle, atol=0.1)

    def test_the_same_size_is_the_same_picture(self):
        picture, spans = resized(GREY, 1.0)
        assert picture is GREY
        assert spans.tolist() == [1, 1]


class TestHeatMap:
    def test_peak_is_light_and_nothing_is_dark(self):
        heat = np.zeros((2, 8, 8))
        heat[1, 2, 5] = 3
        picture = heat_map_image(None, heat)
        assert picture.shape == (8, 8, 3)
        assert picture.sum(axis=2).argmax() == 2 * 8 + 5
        assert picture[0, 0].max() < 10

    def test_over_its_crop(self):
        heat = torch.zeros(3, 64, 64)
        heat[0, 32, 16] = 1
        crop = torch.full((3, 256, 256), 0.5)
        picture = heat_map_image(crop, heat)
        assert picture.shape == (256, 256, 3)
        moved = np.abs(picture.astype(int) - 128).sum(axis=2)
        rows, columns = np.nonzero(moved)
        assert columns.mean() == pytest.approx(4 * 16 + 1.5, abs=0.1)  # heat-map px to crop px: 4 u + 1.5
        assert rows.mean() == pytest.approx(4 * 32 + 1.5, abs=0.1)

    def test_a_common_scale(self):
        low, high = (np.full((4, 4), level) for level in (0.07, 0.42))
        pictures = [heat_map_image(None, heat, highest=0.42) for heat in (low, high)]
        assert pictures[0].max() < 0.5 * pictures[1].max()
        ramp = heat_ramp()
        assert (len(ramp), max(ramp[0]) < 10) == (16, True)
        assert tuple(pictures[1][0, 0]) == ramp[-1]

    def test_nan_and_empty_maps(self):
        assert heat_map_image(None, np.full((4, 4), np.nan)).max() < 10
        assert heat_map_image(None, np.zeros((4, 4))).max() < 10


class TestGrid:
    def test_places_by_hand(self):
        images = [np.full((10, 20, 3), level, np.uint8) for level in (10, 20, 30)]
        grid = image_grid(images, 2, gap=2, level=255)
        assert grid.shape == (22, 42, 3)
        assert (grid[:10, :20] == 10).all()
        assert (grid[:10, 22:] == 20).all()
        assert (grid[12:, :20] == 30).all()
        assert (grid[12:, 20:] == 255).all()
        assert (grid[10:12] == 255).all()

    def test_fewer_pictures_than_columns(self):
        assert image_grid([GREY], 4).shape == GREY.shape

    def test_different_sizes_are_fitted_whole(self):
        tall = np.full((100, 50, 3), 7, np.uint8)
        grid = image_grid([tall, GREY], 2, cell=(80, 60), gap=0)
        assert grid.shape == (60, 160, 3)
        assert (grid[:, 25:55] == 7).all()
        assert (grid[:, :25] == 255).all()

    def test_tensors(self):
        assert image_grid([torch.zeros(3, 8, 9)] * 4, 2, gap=0).shape == (16, 18, 3)


class TestPictures:
    def test_tensor_rounds(self):
        tensor = torch.tensor([0.0, 0.5, 1.7]).reshape(3, 1, 1)
        assert as_picture(tensor).tolist() == [[[0, 128, 255]]]

    @pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((3, 4, 4), np.uint8)])
    def test_other_shapes_are_refused(self, image):
        with pytest.raises(ValueError, match=r"a picture is|a grey picture \(4, 4\); expected RGB"):
            as_picture(image)

    def test_png_comes_back_as_it_was(self, tmp_path):
        image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
        save_image(tmp_path / "new" / "a.PNG", image)
        np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.PNG"), image)
        save_png(tmp_path / "b.png", image)
        np.testing.assert_array_equal(read_image(tmp_path / "b.png"), image)

    def test_jpeg_keeps_its_colors(self, tmp_path):
        image = np.zeros((32, 32, 3), np.uint8) + np.array([200, 40, 90], np.uint8)
        save_image(tmp_path / "a.jpg", image)
        assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - image).max() < 6
        assert cv2.imread(str(tmp_path / "a.jpg")).shape == (32, 32, 3)

    @pytest.mark.parametrize("name", ["a.xyz", "a"])
    def test_unknown_suffix_leaves_nothing(self, tmp_path, name):
        assert not can_write(tmp_path / name)
        with pytest.raises(ValueError, match="suffix"):
            save_image(tmp_path / name, GREY)
        assert list(tmp_path.iterdir()) == []
