"""Tracks people through a video by the overlap of their boxes.

    tracker = Tracker()
    for boxes in frames:                 # (P, 4)
        tracks = tracker(boxes)          # (P,): 0, 1, 2, ..., in the order of first appearance

A track is a person's latest box. In each frame boxes are assigned to tracks by maximum total overlap (Kuhn, "The
Hungarian Method for the Assignment Problem", 1955); an unassigned box starts a new track.
"""

import numpy as np

MIN_OVERLAP = 0.3  # intersection over union
MAX_LOST = 12  # half a second at 25 frames a second


class Tracker:
    """Tracks by overlap. The result does not depend on the order of the boxes.

    Args:
        min_overlap: minimum intersection over union between a box and its track.
        max_lost: frames for which a track survives without a box. A person who reappears by then, overlapping the last
            box, keeps the number.
    """

    def __init__(self, min_overlap: float = MIN_OVERLAP, max_lost: int = MAX_LOST) -> None:
        self._min_overlap, self._max_lost = min_overlap, max_lost
        self._boxes = np.zeros((0, 4))
        self._numbers = np.zeros(0, dtype=int)
        self._lost = np.zeros(0, dtype=int)  # frames since the latest box
        self._next = 0

    def __call__(self, boxes: np.ndarray) -> np.ndarray:
        """The track numbers (P,) of the next frame's boxes (P, 4), edges x0, y0, x1, y1.

        New tracks are numbered from left to right.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        order = np.lexsort(boxes.T[::-1])  # by x0, then y0, x1, y1
        numbers = np.empty(len(boxes), dtype=int)
        numbers[order] = self._follow(boxes[order])
        return numbers

    def _follow(self, boxes: np.ndarray) -> np.ndarray:
        overlap = overlaps(self._boxes, boxes)
        overlap[overlap < self._min_overlap] = 0  # else many weak overlaps could outweigh a strong one
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow, and photos need no tracks

        tracks, found = linear_sum_assignment(overlap, maximize=True)
        same = overlap[tracks, found] > 0
        tracks, found = tracks[same], found[same]

        new = np.setdiff1d(np.arange(len(boxes)), found)
        numbers = np.empty(len(boxes), dtype=int)
        numbers[found] = self._numbers[tracks]
        numbers[new] = self._next + np.arange(len(new))
        self._next += len(new)

        waiting = np.setdiff1d(np.arange(len(self._boxes)), tracks)
        waiting = waiting[self._lost[waiting] < self._max_lost]
        self._boxes = np.concatenate([boxes, self._boxes[waiting]])
        self._lost = np.concatenate([np.zeros(len(boxes), dtype=int), self._lost[waiting] + 1])
        self._numbers = np.concatenate([numbers, self._numbers[waiting]])
        return numbers


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pairwise intersection over union of boxes `a` (A, 4) and `b` (B, 4): (A, B); 0 for empty boxes."""
    a, b = a[:, None], b[None]
    shared = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
