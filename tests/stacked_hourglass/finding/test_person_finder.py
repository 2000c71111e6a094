"""Boxes, and the square crops about them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stacked_hourglass.annotations.people import crop_of_box
from stacked_hourglass.finding.boxes import make_finder
from stacked_hourglass.finding.finder import inside_image, whole_image_crop
from utils.imaging.images import apply_affine, crop_matrix

PHOTO = np.zeros((60, 100, 3), np.uint8)


class TestCrops:
    def test_crop_of_box_by_hand(self):
        centers, sides = crop_of_box(np.array([[9.5, 19.5, 29.5, 99.5], [-0.5, -0.5, 39.5, 9.5]]))
        np.testing.assert_allclose(centers, [[19.5, 59.5], [19.5, 4.5]])
        np.testing.assert_allclose(sides, [100, 50])

    def test_no_box_no_crop(self):
        centers, sides = crop_of_box(np.zeros((0, 4)))
        assert centers.shape == (0, 2)
        assert sides.shape == (0,)

    def test_whole_square_photo_is_its_own_crop(self):
        [center], [side] = whole_image_crop(256, 256)
        np.testing.assert_allclose(crop_matrix(center, side), [[1, 0, 0], [0, 1, 0]], atol=1e-12)

    @given(st.integers(8, 5000), st.integers(8, 5000))
    def test_whole_photo_fits_the_crop_edge_to_edge(self, width, height):
        [center], [side] = whole_image_crop(width, height)
        corners = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])
        low, high = apply_affine(crop_matrix(center, side), corners)
        longer = int(height > width)
        np.testing.assert_allclose([low[longer], high[longer]], [-0.5, 255.5], atol=1e-6)
        assert (low >= -0.5 - 1e-6).all()
        assert (high <= 255.5 + 1e-6).all()

    def test_inside_image(self):
        boxes = np.array(
            [
                [-10, -10, -0.5, 5],
                [-10, -10, 0.5, 5],
                [99.5, 0, 120, 5],
                [99, 0, 120, 5],
                [0, 59.5, 5, 70],
                [-9, -9, 200, 200],
            ]
        )
        assert inside_image(boxes, 100, 60).tolist() == [False, True, False, True, False, True]


class TestWhole:
    def test_box_and_crop(self):
        people = make_finder("whole")(PHOTO, "a.jpg")
        np.testing.assert_array_equal(people.boxes, [[-0.5, -0.5, 99.5, 59.5]])
        np.testing.assert_array_equal(people.centers, [[49.5, 29.5]])
        np.testing.assert_array_equal(people.sides, [100])
        assert people.scores.tolist() == [1]
        assert people.outside == 0
        assert not people.whole  # it was asked for
