"""Draws 3D poses, and panels to put beside photos.

A 3D pose is drawn orthographically: 1 mm is the same number of px at every depth. The viewer looks along the camera's
axis (`frame="camera"`: x right, y down, z forward) or along the world's y axis (`frame="world"`: z up), moves `azimuth`
degrees to the right around the person, and rises by `elevation` degrees. Nothing is mirrored. The lowest joint touches
a floor with a 500 mm grid, onto which the skeleton casts a shadow from above. In camera coordinates the floor is only
level if the camera's tilt is given.

A picture is (H, W, 3) uint8 RGB, as in utils.imaging.draw2d.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from utils.imaging.draw2d import (
    FAINT_INK,
    INK,
    OUTLINE,
    SIDE_COLORS,
    SIDE_ROWS,
    draw_legend,
    draw_pose,
    image_grid,
    legend_height,
    text_strip,
    write_line,
)
from utils.transform import Skeleton

FRAMES = ("camera", "world")
GRID_MM, GRID_PX = 500, 100
LIMB_MM, TRUTH_LIMB_MM = 38, 22  # drawn widths
SMALLEST_FLOOR_MM = 600  # radius
POSE_PANEL = (420, 480)  # width, height px

BACKGROUND, FLOOR, GRID, SHADOW = (34, 37, 43), (54, 58, 66), (86, 91, 101), (30, 32, 37)
TRUTH_COLOR = (150, 154, 160)
TRUTH_ROWS = [
    (SIDE_COLORS["r"], "prediction, right"),
    (SIDE_COLORS["l"], "prediction, left"),
    (TRUTH_COLOR, "truth"),
]
FARTHEST_LIGHT = 0.65  # brightness of the farthest limb; the nearest has 1
_SHIFT = 4  # OpenCV takes coordinates in 1/16 px


class _View(NamedTuple):
    """Maps mm in the view's axes (right, up, towards the viewer; see `_view_axes`) to px and depth."""

    rotation: np.ndarray  # (3, 3): rows right, up, towards, after azimuth and elevation
    middle: np.ndarray  # (3,) mm, shown at `origin`
    origin: np.ndarray  # (2,) px
    scale: float  # px a mm
    floor: float  # mm, its height
    radius: float  # mm, of the floor

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(…, 3) mm -> (…, 2) px."""
        return self.origin + self.scale * (points - self.middle) @ self.rotation[:2].T * (1, -1)

    def nearness(self, points: np.ndarray) -> np.ndarray:
        """(…, 3) mm -> (…) mm, larger when nearer to the viewer."""
        return (points - self.middle) @ self.rotation[2]


def draw_pose_3d(
    pose: Any,
    skeleton: Skeleton,
    size: tuple[int, int] = POSE_PANEL,
    title: str = "",
    title_color: tuple[int, int, int] = INK,
    elevation: float = 12.0,
    azimuth: float = 25.0,
    frame: str = "camera",
    camera_tilt: float = 0.0,
    limits: Any = None,
    truth: Any = None,
    legend: bool = True,
    steady: bool = False,
) -> np.ndarray:
    """Draw 3D poses on a floor: right limbs orange, left blue, the middle light grey; farther limbs are darker.

    Args:
        pose: (J, 3), or (P, J, 3) for several people, mm. Non-finite joints are omitted, with their bones.
        skeleton: joint order, J joints.
        size: (width, height) px of the picture.
        title: a line at the top, ASCII, in `title_color`.
        elevation: degrees above the horizontal from which the pose is viewed, -90 to 90.
        azimuth: degrees by which the viewer moves to the right around the person, counter-clockwise seen from above.
        frame: coordinate frame of the poses, "camera" or "world".
        camera_tilt: degrees by which the camera looks down, for `frame="camera"`.
        limits: (…, 3) mm, points that must fit in the view, e.g. all poses of a video; by default the drawn poses.
        truth: ground-truth poses, shaped like `pose`, drawn thin and grey.
        legend: explain the colours of the sides and of the ground truth.
        steady: reserve fixed space for the legend, shown or not, so that the layout is the same for all video frames.

    Returns: (height, width, 3) uint8.

    Raises ValueError for poses of another shape and for an unknown frame.
    """
    axes, line = _view_axes(frame, camera_tilt), _line_height(size)
    pose = _people(pose, skeleton) @ axes.T
    truth = _people(np.zeros((0, len(skeleton), 3)) if truth is None else truth, skeleton) @ axes.T
    shown = np.concatenate([truth, pose])
    box = _box(shown if limits is None else _array(limits) @ axes.T)
    top = round((1.75 if title or steady else 0.5) * line)
    rows = TRUTH_ROWS if len(truth) else SIDE_ROWS
    room = top + legend_height(len(rows), line) if steady else top
    view = _fit_view(box, size, (room, round(1.25 * line)), elevation, azimuth)

    picture = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    _draw_floor(picture, view)
    _draw_shadows(picture, view, shown, skeleton)
    _draw_limbs(picture, view, pose, truth, skeleton)
    if legend:
        joints = view.pixels(shown[:0] if steady else shown).reshape(-1, 2)
        draw_legend(picture, rows, line, joints, margin=top, upper=True)
    write_line(picture, f"floor grid {GRID_MM} mm", (line // 2, size[1] - line // 2), line, FAINT_INK)
    write_line(picture, title, (line // 2, round(1.2 * line)), line, title_color)
    return picture


def floor_shift(poses: Any, frame: str = "camera", camera_tilt: float = 0.0) -> np.ndarray:
    """(…, 1, 3) mm, the offset that moves the lowest finite joint of each pose (…, J, 3) to height 0.

    Hip-centred poses drawn in one view then stand on a common floor instead of hanging by their hips.
    """
    poses = _array(poses)
    up = _view_axes(frame, camera_tilt)[1]
    heights = np.where(np.isfinite(poses).all(axis=-1), poses @ up, np.inf)
    lowest = heights.min(axis=-1, initial=np.inf)
    return -np.where(np.isfinite(lowest), lowest, 0)[..., None, None] * up


def pose_limits(poses: Any, frame: str = "camera", camera_tilt: float = 0.0) -> np.ndarray:
    """(2, 3) mm, two points that, as `limits` of `draw_pose_3d`, give the same view as all of `poses` (…, 3).

    To be computed once for many pictures in one view, e.g. the frames of a video.
    """
    axes = _view_axes(frame, camera_tilt)
    return _box(_array(poses) @ axes.T).T @ axes


def draw_pose_2d(
    joints: Any, skeleton: Skeleton, size: tuple[int, int] = POSE_PANEL, bounds: Any = None, title: str = ""
) -> np.ndarray:
    """Draw 2D poses without their photo, true to scale, over a grid of 100 px of the photo.

    Args:
        joints: (J, 2) or (P, J, 2), px. Non-finite joints are omitted, with their bones.
        skeleton: joint order, J joints.
        size: (width, height) px of the picture.
        bounds: (2, 2) px, top left and bottom right of the visible area; by default the joints with a margin.
        title: a line at the top, ASCII.

    Returns: (height, width, 3) uint8.
    """
    joints, line = _array(joints).reshape(-1, len(skeleton), 2), _line_height(size)
    low, high = _bounds_of(joints) if bounds is None else np.asarray(bounds, np.float64)
    top = 1.75 * line if title else 0
    room = np.array([size[0], size[1] - top - 1.25 * line])
    scale = (room / np.maximum(high - low, 1e-6)).min()
    origin = np.array([0, top]) + room / 2 - scale * (low + high) / 2

    picture = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    columns, rows = (_grid_lines(origin[axis], scale * GRID_PX, size[axis]) for axis in (0, 1))
    picture[:, columns] = FLOOR
    picture[rows] = FLOOR
    picture = draw_pose(picture, origin + scale * joints, skeleton, min_side=0)
    write_line(picture, f"grid {GRID_PX} px", (line // 2, size[1] - line // 2), line, FAINT_INK)
    write_line(picture, title, (line // 2, round(1.2 * line)), line)
    return picture


def panel_row(pictures: Sequence[Any], titles: Sequence[str] = (), heading: str = "") -> np.ndarray:
    """Pictures side by side, each below its title, all below a heading.

    Args:
        pictures: at least one; smaller ones are enlarged to the largest.
        titles: one line per picture, ASCII; or none.
        heading: a line above the whole row, ASCII.

    Returns: (H, W, 3) uint8. Raises ValueError for a wrong number of titles.
    """
    if len(titles) not in (0, len(pictures)):
        raise ValueError(f"{len(titles)} titles for {len(pictures)} pictures")
    gap = 6
    row = image_grid(pictures, len(pictures), gap=gap, level=OUTLINE[0])
    width = (row.shape[1] + gap) // len(pictures)
    line = _line_height((width, row.shape[0]))
    strips = [text_strip(heading, row.shape[1], line)] if heading else []
    if titles:
        cells = [text_strip(text, width, line) for text in titles]
        strips.append(np.concatenate(cells, axis=1)[:, : row.shape[1]])
    return np.concatenate([*strips, row])


# ------------------------------------------------------------------------------------------ the view
def _array(values: Any) -> np.ndarray:
    return np.array(values.detach().cpu().numpy() if hasattr(values, "detach") else values, dtype=np.float64)


def _people(poses: Any, skeleton: Skeleton) -> np.ndarray:
    """(J, 3) or (P, J, 3) -> (P, J, 3)."""
    poses = _array(poses)
    if poses.ndim not in (2, 3) or poses.shape[-2:] != (len(skeleton), 3):
        raise ValueError(
            f"poses have shape {poses.shape}; expected ({len(skeleton)}, 3) in {skeleton.name} order, or people × that"
        )
    return poses.reshape(-1, len(skeleton), 3)


def _view_axes(frame: str, camera_tilt: float) -> np.ndarray:
    """(3, 3), rows right, up and towards the viewer, in the axes of a frame. A rotation, so sides are not swapped."""
    if frame not in FRAMES:
        raise ValueError(f"frame {frame!r}; expected {' or '.join(FRAMES)}")
    if frame == "world":
        return np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    cos, sin = math.cos(math.radians(camera_tilt)), math.sin(math.radians(camera_tilt))
    return np.array([[1.0, 0, 0], [0, -cos, -sin], [0, sin, -cos]])


def _box(points: np.ndarray) -> np.ndarray:
    """(3, 2): minimum and maximum per axis of the finite points (…, 3); ±1 m without any."""
    points = points.reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return np.array([[-1000.0, 1000.0]] * 3)
    return np.stack([points.min(axis=0), points.max(axis=0)], axis=1)


def _fit_view(
    box: np.ndarray, size: tuple[int, int], margins: tuple[int, int], elevation: float, azimuth: float
) -> _View:
    """The view that fits box (3, 2), mm in the view's axes, at a scale that does not depend on azimuth.

    `margins`: free px at the top and at the bottom.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    right = np.array([math.cos(a), 0, -math.sin(a)])
    level = np.array([math.sin(a), 0, math.cos(a)])
    up = np.array([0.0, 1, 0])
    rotation = np.stack([right, math.cos(e) * up - math.sin(e) * level, math.cos(e) * level + math.sin(e) * up])
    width, height, depth = np.ptp(box, axis=1)
    reach = math.hypot(width, depth) / 2 + LIMB_MM
    radius = max(SMALLEST_FLOOR_MM, reach)
    rise = height / 2 * math.cos(e) + LIMB_MM
    above, below = rise + reach * abs(math.sin(e)), rise + radius * abs(math.sin(e))
    room = np.array([size[0] - margins[1], size[1] - sum(margins)])
    scale = float((room / (2 * radius, above + below)).min())
    return _View(
        rotation=rotation,
        middle=box.mean(axis=1),
        origin=np.array([size[0] / 2, margins[0] + room[1] / 2 + scale * (above - below) / 2]),
        scale=scale,
        floor=float(box[1, 0]) - LIMB_MM / 2,
        radius=radius,
    )


def _bounds_of(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box around the finite joints (P, J, 2), with a margin of a tenth of its size."""
    finite = joints[np.isfinite(joints).all(axis=2)]
    if not len(finite):
        return np.zeros(2), np.full(2, 1000.0)
    low, high = finite.min(axis=0), finite.max(axis=0)
    margin = 0.1 * max(float((high - low).max()), 10.0)
    return low - margin, high + margin


def _grid_lines(origin: float, cell: float, length: int) -> np.ndarray:
    """Positions in 0 ... length - 1 of grid lines `cell` px apart, one at `origin`; none for cells below 4 px."""
    if cell < 4:
        return np.zeros(0, int)
    return np.rint(np.arange(origin % cell, length - 0.5, cell)).astype(int)


# ------------------------------------------------------------------------------------------ drawing
def _fixed(pixels: np.ndarray) -> np.ndarray:
    """Fixed-point coordinates for OpenCV, clipped far outside the picture so that they don't overflow."""
    return np.rint(pixels.clip(-(2**14), 2**14) * 2**_SHIFT).astype(np.int32)


def _draw_floor(picture: np.ndarray, view: _View) -> None:
    """Draw a disc with a square grid below the middle, in place."""
    turns = np.linspace(0, 2 * math.pi, 73)[:-1]
    circle = view.radius * np.stack([np.cos(turns), np.zeros_like(turns), np.sin(turns)], axis=1)
    center = view.middle * (1, 0, 1) + (0, view.floor, 0)
    cv2.fillPoly(picture, [_fixed(view.pixels(center + circle))], FLOOR, cv2.LINE_AA, _SHIFT)
    offsets = np.arange(-(view.radius // GRID_MM), view.radius // GRID_MM + 1) * GRID_MM
    halves = np.sqrt(view.radius**2 - offsets**2)
    across = np.stack([np.stack([offsets, 0 * halves, sign * halves], axis=1) for sign in (-1, 1)], axis=1)  # (N, 2, 3)
    for start, end in _fixed(view.pixels(center + np.concatenate([across, across[..., ::-1]]))).tolist():
        cv2.line(picture, start, end, GRID, 1, cv2.LINE_AA, _SHIFT)


def _draw_shadows(picture: np.ndarray, view: _View, people: np.ndarray, skeleton: Skeleton) -> None:
    pixels = view.pixels(people * (1, 0, 1) + (0, view.floor, 0))
    width = max(2, round(LIMB_MM * view.scale))
    for person in pixels:
        for a, b in skeleton.bone_indices:
            if np.isfinite(person[[a, b]]).all():
                start, end = _fixed(person[[a, b]]).tolist()
                cv2.line(picture, start, end, SHADOW, width, cv2.LINE_AA, _SHIFT)


class _Stroke(NamedTuple):
    """A limb, or a joint if both ends coincide."""

    ends: np.ndarray  # (2, 2) px
    nearness: float  # mm
    color: tuple[int, int, int]
    width: int  # px


def _draw_limbs(picture: np.ndarray, view: _View, pose: np.ndarray, truth: np.ndarray, skeleton: Skeleton) -> None:
    """Draw limbs and joints of all people (P, J, 3), mm in the view's axes, farthest first, in place."""
    strokes = [*_strokes(view, truth, skeleton, TRUTH_LIMB_MM, TRUTH_COLOR), *_strokes(view, pose, skeleton, LIMB_MM)]
    strokes.sort(key=lambda stroke: stroke.nearness)
    far, near = (strokes[0].nearness, strokes[-1].nearness) if strokes else (0.0, 0.0)
    for stroke in strokes:
        light = 1 - (1 - FARTHEST_LIGHT) * (near - stroke.nearness) / max(near - far, 1.0)
        start, end = _fixed(stroke.ends).tolist()
        color = tuple(light * value for value in stroke.color)
        rim = max(2, 2 * (stroke.width // 5))
        cv2.line(picture, start, end, OUTLINE, stroke.width + rim, cv2.LINE_AA, _SHIFT)
        cv2.line(picture, start, end, color, stroke.width, cv2.LINE_AA, _SHIFT)


def _strokes(
    view: _View, people: np.ndarray, skeleton: Skeleton, width_mm: float, color: tuple[int, int, int] | None = None
) -> Iterator[_Stroke]:
    """Strokes of all people. `color`: None for the colours of the sides."""
    width = max(2, round(width_mm * view.scale))
    sides = [skeleton.side(joint) for joint in skeleton.joints]
    for pixels, nearness in zip(view.pixels(people), view.nearness(people), strict=True):
        for a, b in skeleton.bone_indices:
            if np.isfinite(pixels[[a, b]]).all():
                shown = color or SIDE_COLORS[skeleton.bone_side(a, b)]
                yield _Stroke(pixels[[a, b]], nearness[[a, b]].mean(), shown, width)
        for joint in np.flatnonzero(np.isfinite(pixels).all(axis=1)):
            # A joint is a ball in front of the limbs that meet in it.
            ball = round(1.4 * width)
            yield _Stroke(pixels[[joint, joint]], nearness[joint] + width_mm, color or SIDE_COLORS[sides[joint]], ball)


# ------------------------------------------------------------------------------------------ text
def _line_height(size: tuple[int, int]) -> int:
    """Twice the height of a capital letter, px, for a picture of size (width, height)."""
    return max(10, round(min(size) / 20))
