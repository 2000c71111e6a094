"""Following boxes from frame to frame: small cases by hand, and what must hold for any boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacked_hourglass.finding.tracking import MAX_LOST, Tracker, overlaps


def boxes(*left_edges: float) -> np.ndarray:
    """Boxes 10 wide and 20 high."""
    return np.array([[x, 0, x + 10, 20] for x in left_edges], dtype=np.float32).reshape(-1, 4)


NOBODY = boxes()


def test_overlap_by_hand():
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 5.0]])
    b = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30.0]])
    np.testing.assert_allclose(overlaps(a, b), [[50 / 150, 1, 0], [0, 0, 0]])
    assert overlaps(a, np.zeros((0, 4))).shape == (2, 0)


def test_people_keep_their_numbers_whatever_the_order():
    track = Tracker()
    assert track(boxes(80, 10, 50)).tolist() == [2, 0, 1]
    assert track(boxes(12, 52, 81)).tolist() == [0, 1, 2]
    assert track(boxes(53, 82, 14)).tolist() == [1, 2, 0]


def test_a_new_person_has_a_new_number():
    track = Tracker()
    track(boxes(10))
    assert track(boxes(200, 11, 100)).tolist() == [2, 0, 1]
    track(NOBODY)
    assert track(boxes(300)).tolist() == [3]


@pytest.mark.parametrize(("gone", "number"), [(1, 0), (MAX_LOST, 0), (MAX_LOST + 1, 1)])
def test_a_person_who_returns_in_time_keeps_the_number(gone, number):
    track = Tracker()
    track(boxes(10))
    for _ in range(gone):
        assert track(NOBODY).tolist() == []
    assert track(boxes(13)).tolist() == [number]


def test_the_count_of_lost_frames_restarts():
    track = Tracker(max_lost=1)
    for frame in (boxes(10), NOBODY, boxes(11), NOBODY):
        track(frame)
    assert track(boxes(12)).tolist() == [0]


def test_the_total_overlap_decides():
    """The right box overlaps track 1 most, but the left one overlaps track 1 alone."""
    track = Tracker(min_overlap=0.1)
    track(boxes(0, 8))
    assert track(boxes(4, 9)).tolist() == [0, 1]
    assert overlaps(boxes(8), boxes(4, 9))[0].argmax() == 1


def test_too_small_an_overlap_does_not_count():
    track = Tracker(min_overlap=0.5)
    track(boxes(0))
    assert track(boxes(6)).tolist() == [1]


FRAMES = st.lists(
    st.lists(st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 30)] * 2), max_size=6, unique=True), max_size=6
)


def corners(frame: list[tuple[int, int, int, int]]) -> np.ndarray:
    array = np.array(frame, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], axis=1)


@settings(max_examples=60)
@given(FRAMES, st.integers(0, 2**32 - 1))
def test_numbers_do_not_depend_on_the_order_of_the_boxes(frames, seed):
    rng, plain, shuffled = np.random.default_rng(seed), Tracker(), Tracker()
    for frame in map(corners, frames):
        order = rng.permutation(len(frame))
        np.testing.assert_array_equal(shuffled(frame[order]), plain(frame)[order])


@settings(max_examples=60)
@given(FRAMES)
def test_numbers_are_unique_and_begin_without_gaps(frames):
    track, seen = Tracker(), set()
    for frame in map(corners, frames):
        numbers = track(frame).tolist()
        assert len(set(numbers)) == len(frame)
        seen.update(numbers)
        assert seen == set(range(len(seen)))


@settings(max_examples=60)
@given(FRAMES)
def test_people_who_stand_still_keep_their_numbers(frames):
    for frame in map(corners, frames):
        track = Tracker()
        assert track(frame).tolist() == track(frame).tolist()
