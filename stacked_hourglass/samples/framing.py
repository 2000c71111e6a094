"""Augments the framing of training crops: half bodies, people cut off by the image border, inaccurate boxes.

Workers draw it before scale, rotation and flip (`augmentation.draw_geometry`), and apply all in one warp. Everything is
off by default. Coordinates are photo pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from utils.imaging.images import CROP_MARGIN, JOINTS_MARGIN, apply_affine, invert_affine

LOWER_BODY = ("hip", "knee", "ankle", "pelvis")
HALF_BODY_MARGIN = 1.5  # relative to the joints' box, as in the HRNet code: hands, feet and head extend beyond it
LEAST_JOINTS = 3  # in view; with fewer a person would be hard to recognise
LEAST_ZOOM = 0.25  # minimum side relative to the whole person's crop, so that foreshortened halves are not blown up

EDGES = ("left", "top", "right", "bottom")
EDGE_PROBS = (0.15, 0.1, 0.15, 0.6)  # photos mostly cut off legs
KEPT_RANGE = (0.35, 0.9)  # fraction of the person's box that remains
JITTER_LIMIT = 2.0  # standard deviations


@dataclass(frozen=True)
class View:
    """A square crop (centre x, y and side, px), and the frame x0, y0, x1, y1, outside of which the crop is black."""

    center: np.ndarray
    side: float
    frame: tuple[float, float, float, float] = (-np.inf, -np.inf, np.inf, np.inf)


@dataclass(frozen=True)
class Framing:
    """Draws a `View` of a person.

    Attributes:
        half_body_prob: probability of a crop around the upper or the lower joints only.
        cut_off_prob: otherwise, probability that an image border cuts off part of the person. The crop is then around
            the remaining part, as a detector's box would be.
        box_jitter: standard deviation of the crop's centre (relative to its side) and of the logarithm of its side,
            clipped at ± 2 standard deviations.
    """

    half_body_prob: float = 0.0
    cut_off_prob: float = 0.0
    box_jitter: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.half_body_prob or self.cut_off_prob or self.box_jitter)

    def __call__(
        self, rng: np.random.Generator, view: View, joints: np.ndarray, annotated: np.ndarray, names: Sequence[str]
    ) -> View:
        """A random view of the same person.

        Args:
            rng: always advanced by the same count of numbers.
            view: view of the whole person.
            joints: (J, 2) px.
            annotated: (J,) bool.
            names: J joint names.
        """
        kind, upper, kept = rng.random(3)
        edge = EDGES[rng.choice(len(EDGES), p=EDGE_PROBS)]
        shift_x, shift_y, growth = self.box_jitter * np.clip(rng.standard_normal(3), -JITTER_LIMIT, JITTER_LIMIT)
        if kind < self.half_body_prob:
            view = half_body(view, joints, annotated, names, upper=upper < 0.5)
        elif kind < self.half_body_prob + (1 - self.half_body_prob) * self.cut_off_prob:
            low, high = KEPT_RANGE
            view = cut_off(view, joints, annotated, edge, low + kept * (high - low))
        center = view.center + view.side * np.array([shift_x, shift_y])
        return replace(view, center=center, side=float(view.side * np.exp(growth)))


def half_body(view: View, joints: np.ndarray, annotated: np.ndarray, names: Sequence[str], upper: bool) -> View:
    """A crop around the annotated upper joints (all but hips, knees, ankles, pelvis) or the lower ones.

    Returns `view` unchanged if fewer than `LEAST_JOINTS` of them, or none of the others, are annotated.
    """
    lower = np.array([name.rpartition("_")[2] in LOWER_BODY for name in names])
    chosen = annotated & (lower != upper)
    if chosen.sum() < LEAST_JOINTS or not (annotated & ~chosen).any():
        return view
    low, high = joints[chosen].min(0), joints[chosen].max(0)
    return replace(view, center=(low + high) / 2, side=_side(HALF_BODY_MARGIN * (high - low).max(), view))


def cut_off(view: View, joints: np.ndarray, annotated: np.ndarray, edge: str, kept: float) -> View:
    """Cut the photo at `edge` ("left", "top", "right", "bottom") so that a fraction `kept` of the person's box remains.

    The box is that of the annotated joints, slightly enlarged. Returns `view` unchanged if fewer than `LEAST_JOINTS`
    joints would remain.
    """
    if annotated.sum() < LEAST_JOINTS:
        return view
    low, high = joints[annotated].min(0).astype(float), joints[annotated].max(0).astype(float)
    margin = (JOINTS_MARGIN - 1) / 2 * (high - low).max()
    low, high = low - margin, high + margin
    axis, end = EDGES.index(edge) % 2, edge in ("right", "bottom")
    length = kept * (high[axis] - low[axis])
    if end:
        high[axis] = low[axis] + length
    else:
        low[axis] = high[axis] - length
    frame = list(view.frame)
    frame[EDGES.index(edge)] = float((high if end else low)[axis])
    if in_frame(joints[annotated], frame).sum() < LEAST_JOINTS:
        return view
    return View((low + high) / 2, _side(CROP_MARGIN * (high - low).max(), view), tuple(frame))


def _side(side: float, view: View) -> float:
    return float(max(side, LEAST_ZOOM * view.side))


def in_frame(points: np.ndarray, frame: Sequence[float]) -> np.ndarray:
    """(…,) bool: which points (…, 2) are within the frame x0, y0, x1, y1."""
    return ((points >= frame[:2]) & (points <= frame[2:])).all(-1)


def in_view(joints: np.ndarray, matrix: np.ndarray, size: int, view: View) -> np.ndarray:
    """(J,) bool: which joints (J, 2), photo pixels, are within the frame and within the crop of `size` px.

    `matrix` (2, 3) takes photo pixels to crop pixels.
    """
    in_crop = in_frame(apply_affine(matrix, joints), (-0.5, -0.5, size - 0.5, size - 0.5))
    return in_crop & in_frame(joints, view.frame)


def blacken_outside(crop: np.ndarray, matrix: np.ndarray, view: View) -> np.ndarray:
    """The (H, W, 3) crop, black outside the frame like outside a photo. `matrix` as for `in_view`."""
    if np.isinf(view.frame).all():
        return crop
    height, width = crop.shape[:2]
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    places = apply_affine(invert_affine(matrix).astype(np.float32), np.stack([xs, ys], -1))
    return np.where(in_frame(places, view.frame)[..., None], crop, 0)
