"""Which tracks of a video are brief: in fewer than 5 frames, and in less than half of all."""

import pytest

from utils.predictions.tracks import LEAST_FRAMES, brief_tracks


@pytest.mark.parametrize(
    ("seen", "frames", "brief"),
    [(1, 1, False), (1, 2, False), (1, 3, True), (2, 4, False), (4, 8, False), (4, 9, True), (5, 100, False)],
)
def test_brief(seen, frames, brief):
    assert LEAST_FRAMES == 5
    assert brief_tracks([[7, 3] if frame < seen else [3] for frame in range(frames)]) == ({7} if brief else set())


def test_frames_of_nobody():
    assert brief_tracks([]) == brief_tracks([[], []]) == set()
