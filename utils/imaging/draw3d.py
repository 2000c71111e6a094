"""Draws 3D poses, and 2D poses without their photo.

A 3D pose is drawn orthographically: 1 mm is the same number of px at every depth. The viewer looks along the camera's
axis (`frame="camera"`: x right, y down, z forward) or along the world's y axis (`frame="world"`: z up), moves `azimuth`
degrees to the right around the person, and rises by `elevation` degrees. Nothing is mirrored. The lowest joint touches
a floor with a 500 mm grid, onto which the skeleton casts a shadow from above; behind the pose stand two walls with the
same grid. In camera coordinates the floor is only level if the camera's tilt is given.

A picture is (H, W, 3) uint8 RGB, as in utils.imaging.draw2d.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from utils.imaging.captions import DOUBT_DASH, TRUTH_DASH, faded
from utils.imaging.draw2d import sketch_pose
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Line, Polygon, Sketch
from utils.imaging.view3d import LIMB_MM, Projection, as_poses, box_of, fit_view, view_axes
from utils.look.palette import DARK, Color, Palette, ramp_color
from utils.transform import Skeleton

GRID_MM, GRID_PX = 500, 100
TRUTH_LIMB_MM = 24  # drawn width
FULL_ERROR_MM = 150  # and above: the last colour of the ramp
POSE_PANEL = (420, 480)  # width, height px
FARTHEST_LIGHT = 0.65  # share of its own colour that the farthest limb keeps; the nearest keeps all
FLOOR_GRID = f"floor grid {GRID_MM} mm"


def draw_pose_3d(pose: Any, skeleton: Skeleton, *args: Any, **how: Any) -> np.ndarray:
    """Draw 3D poses as `sketch_pose_3d` does. Returns: (height, width, 3) uint8."""
    return sketch_pose_3d(pose, skeleton, *args, **how).raster()


def sketch_pose_3d(
    pose: Any,
    skeleton: Skeleton,
    size: tuple[int, int] = POSE_PANEL,
    title: str = "",
    title_color: Color | None = None,
    elevation: float = 12.0,
    azimuth: float = 25.0,
    frame: str = "camera",
    camera_tilt: float = 0.0,
    limits: Any = None,
    truth: Any = None,
    doubtful: Any = None,
    errors: Any = None,
    walls: bool = True,
    titled: bool = False,
    text_size: int | None = None,
    palette: Palette = DARK,
) -> Sketch:
    """3D poses in a room, limbs in the colours of their sides; farther limbs are fainter.

    Args:
        pose: (J, 3), or (P, J, 3) for several people, mm. Non-finite joints are omitted, with their bones.
        skeleton: joint order, J joints.
        size: (width, height) px.
        title: a line at the top, in `title_color`.
        elevation: degrees above the horizontal from which the pose is viewed, -90 to 90.
        azimuth: degrees by which the viewer moves to the right around the person, counter-clockwise seen from above.
        frame: coordinate frame of the poses, "camera" or "world".
        camera_tilt: degrees by which the camera looks down, for `frame="camera"`.
        limits: (…, 3) mm, points that must fit in the view, e.g. all poses of a video; by default the drawn poses.
        truth: ground-truth poses, shaped like `pose`, drawn thin, grey and dashed.
        doubtful: (J,) or (P, J), true for joints that are not to be trusted; their limbs are thin, dashed and faint.
        errors: (J,) or (P, J) mm; limbs then have the colours of the errors in place of those of the sides.
        walls: two walls behind the poses; without them the floor is a disc and the scale does not depend on azimuth.
        titled: keep room for a title where there is none, so that all panels of a row have the same layout.
        text_size: of the title, px; by default by the panel's width.

    Raises ValueError for poses of another shape and for an unknown frame.
    """
    axes, text_size = view_axes(frame, camera_tilt), text_size or size_for(size[0])
    pose = _people(pose, skeleton) @ axes.T
    truth = _people(np.zeros((0, len(skeleton), 3)) if truth is None else truth, skeleton) @ axes.T
    shown = np.concatenate([truth, pose])
    box = box_of(shown if limits is None else as_poses(limits) @ axes.T)
    top = round(1.9 * text_size if title or titled else 0.6 * text_size)
    view = fit_view(box, size, (top, round(0.6 * text_size)), elevation, azimuth, walls)

    sketch = Sketch(size, palette.ground)
    _add_floor(sketch, view, palette)
    _add_shadows(sketch, view, shown, skeleton, palette)
    doubts = _per_joint(doubtful, pose, bool)
    _add_limbs(sketch, view, pose, truth, doubts, _per_joint(errors, pose, float), skeleton, palette)
    sketch.write(title, (text_size // 2, round(1.3 * text_size)), text_size, title_color or palette.ink)
    return sketch


def floor_shift(poses: Any, frame: str = "camera", camera_tilt: float = 0.0) -> np.ndarray:
    """(…, 1, 3) mm, the offset that moves the lowest finite joint of each pose (…, J, 3) to height 0.

    Hip-centred poses drawn in one view then stand on a common floor instead of hanging by their hips.
    """
    poses = as_poses(poses)
    up = view_axes(frame, camera_tilt)[1]
    heights = np.where(np.isfinite(poses).all(axis=-1), poses @ up, np.inf)
    lowest = heights.min(axis=-1, initial=np.inf)
    return -np.where(np.isfinite(lowest), lowest, 0)[..., None, None] * up


def pose_limits(poses: Any, frame: str = "camera", camera_tilt: float = 0.0) -> np.ndarray:
    """(2, 3) mm, two points that, as `limits` of `sketch_pose_3d`, give the same view as all of `poses` (…, 3).

    To be computed once for many pictures in one view, e.g. the frames of a video.
    """
    axes = view_axes(frame, camera_tilt)
    return box_of(as_poses(poses) @ axes.T).T @ axes


def sketch_pose_2d(
    joints: Any,
    skeleton: Skeleton,
    size: tuple[int, int] = POSE_PANEL,
    bounds: Any = None,
    palette: Palette = DARK,
) -> Sketch:
    """2D poses without their photo, true to scale, over a grid of 100 px of the photo.

    Args:
        joints: (J, 2) or (P, J, 2), px. Non-finite joints are omitted, with their bones.
        skeleton: joint order, J joints.
        size: (width, height) px.
        bounds: (2, 2) px, top left and bottom right of the visible area; by default the joints with a margin.
    """
    joints = as_poses(joints).reshape(-1, len(skeleton), 2)
    low, high = _bounds_of(joints) if bounds is None else np.asarray(bounds, np.float64)
    room = np.array(size, float)
    scale = (room / np.maximum(high - low, 1e-6)).min()
    origin = room / 2 - scale * (low + high) / 2
    ground = np.full((size[1], size[0], 3), palette.ground, np.uint8)
    columns, rows = (_grid_lines(origin[axis], scale * GRID_PX, size[axis]) for axis in (0, 1))
    ground[:, columns] = palette.floor
    ground[rows] = palette.floor
    return sketch_pose(ground, origin + scale * joints, skeleton, min_side=0, palette=palette)


def _people(poses: Any, skeleton: Skeleton) -> np.ndarray:
    """(J, 3) or (P, J, 3) -> (P, J, 3)."""
    poses = as_poses(poses)
    if poses.ndim not in (2, 3) or poses.shape[-2:] != (len(skeleton), 3):
        raise ValueError(
            f"poses have shape {poses.shape}; expected ({len(skeleton)}, 3) in {skeleton.name} order, or people × that"
        )
    return poses.reshape(-1, len(skeleton), 3)


def _per_joint(values: Any, people: np.ndarray, kind: type) -> np.ndarray | None:
    """Values (J,) or (P, J) as (P, J) of a type."""
    return None if values is None else np.asarray(as_poses(values), kind).reshape(people.shape[:2])


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


# ------------------------------------------------------------------------------------------ floor and walls
def _add_floor(sketch: Sketch, view: Projection, palette: Palette) -> None:
    """A disc below the middle, or a square below and the walls behind, with a grid."""
    if view.room is None:
        turns = np.linspace(0, 2 * math.pi, 73)[:-1]
        circle = view.radius * np.stack([np.cos(turns), np.zeros_like(turns), np.sin(turns)], axis=1)
        center = view.middle * (1, 0, 1) + (0, view.floor, 0)
        sketch.add(Polygon(view.pixels(center + circle), palette.floor))
        offsets = np.arange(-(view.radius // GRID_MM), view.radius // GRID_MM + 1) * GRID_MM
        halves = np.sqrt(view.radius**2 - offsets**2)
        across = np.stack([np.stack([offsets, 0 * halves, sign * halves], axis=1) for sign in (-1, 1)], axis=1)
        lines = view.pixels(center + np.concatenate([across, across[..., ::-1]]))  # (N, 2, 2)
        sketch.add(*(Line(start, end, palette.grid, 1) for start, end in lines))
        return
    middle, (x, z), height = view.room
    spans = {0: middle[0] + np.array([-x, x]), 1: middle[1] + np.array([0, height]), 2: middle[2] + np.array([-z, z])}
    for axis, place in view.walls():
        _add_face(sketch, view, axis, place, spans, palette.wall, palette)
    _add_face(sketch, view, 1, float(middle[1]), spans, palette.floor, palette)


def _add_face(
    sketch: Sketch,
    view: Projection,
    normal: int,
    place: float,
    spans: dict[int, np.ndarray],
    color: Color,
    palette: Palette,
) -> None:
    """A rectangle normal to an axis, with grid lines: from the floor upwards, and from the middle to both sides."""
    one, other = (axis for axis in (0, 1, 2) if axis != normal)

    def point(a: float, b: float) -> np.ndarray:
        made = np.empty(3)
        made[[normal, one, other]] = place, a, b
        return made

    (a0, a1), (b0, b1) = spans[one], spans[other]
    corners = np.array([point(a0, b0), point(a1, b0), point(a1, b1), point(a0, b1)])
    sketch.add(Polygon(view.pixels(corners), color))
    lines = [(point(a, b0), point(a, b1)) for a in _ticks(a0, a1, one)]
    lines += [(point(a0, b), point(a1, b)) for b in _ticks(b0, b1, other)]
    sketch.add(*(Line(start, end, palette.grid, 1) for start, end in view.pixels(np.array(lines))))


def _ticks(low: float, high: float, axis: int) -> np.ndarray:
    """Grid lines between two bounds: multiples of the grid above the floor, or about the middle."""
    start = low if axis == 1 else (low + high) / 2
    first, last = math.ceil((low - start) / GRID_MM), math.floor((high - start) / GRID_MM)
    return start + GRID_MM * np.arange(first, last + 1)


def _add_shadows(sketch: Sketch, view: Projection, people: np.ndarray, skeleton: Skeleton, palette: Palette) -> None:
    pixels = view.pixels(people * (1, 0, 1) + (0, view.floor, 0))
    width = max(2, round(LIMB_MM * view.scale))
    for person in pixels:
        for a, b in skeleton.bone_indices:
            if np.isfinite(person[[a, b]]).all():
                sketch.add(Line(person[a], person[b], palette.shadow, width))


# ------------------------------------------------------------------------------------------ limbs
class _Stroke(NamedTuple):
    """A limb, or a joint if both ends coincide."""

    ends: np.ndarray  # (2, 2) px
    nearness: float  # mm
    color: Color
    width: int  # px
    dash: tuple[float, float] | None = None  # in widths


def _add_limbs(
    sketch: Sketch,
    view: Projection,
    pose: np.ndarray,
    truth: np.ndarray,
    doubts: np.ndarray | None,
    errors: np.ndarray | None,
    skeleton: Skeleton,
    palette: Palette,
) -> None:
    """Draw limbs and joints of all people (P, J, 3), mm in the view's axes, farthest first."""
    strokes = [
        *_truth_strokes(view, truth, skeleton, palette),
        *_strokes(view, pose, doubts, errors, skeleton, palette),
    ]
    strokes.sort(key=lambda stroke: stroke.nearness)
    far, near = (strokes[0].nearness, strokes[-1].nearness) if strokes else (0.0, 0.0)
    for stroke in strokes:
        light = 1 - (1 - FARTHEST_LIGHT) * (near - stroke.nearness) / max(near - far, 1.0)
        color = tuple(
            round(light * own + (1 - light) * away) for own, away in zip(stroke.color, palette.farthest, strict=True)
        )
        dash = stroke.dash and (stroke.dash[0] * stroke.width, stroke.dash[1] * stroke.width)
        if dash is None:
            rim = max(2, 2 * (stroke.width // 5))
            sketch.add(Line(*stroke.ends, palette.outline, stroke.width + rim))
        sketch.add(Line(*stroke.ends, color, stroke.width, dash))


def _truth_strokes(view: Projection, people: np.ndarray, skeleton: Skeleton, palette: Palette) -> Iterator[_Stroke]:
    width = max(2, round(TRUTH_LIMB_MM * view.scale))
    for pixels, nearness in zip(view.pixels(people), view.nearness(people), strict=True):
        for a, b in _whole_bones(pixels, skeleton):
            yield _Stroke(pixels[[a, b]], nearness[[a, b]].mean(), palette.truth, width, TRUTH_DASH)


def _strokes(
    view: Projection,
    people: np.ndarray,
    doubts: np.ndarray | None,
    errors: np.ndarray | None,
    skeleton: Skeleton,
    palette: Palette,
) -> Iterator[_Stroke]:
    width = max(2, round(LIMB_MM * view.scale))
    thin = max(2, round(0.5 * width))
    for index, (pixels, nearness) in enumerate(zip(view.pixels(people), view.nearness(people), strict=True)):
        doubted = np.zeros(len(skeleton), bool) if doubts is None else doubts[index]
        error = None if errors is None else errors[index] / FULL_ERROR_MM
        for a, b in _whole_bones(pixels, skeleton):
            color = palette.sides[skeleton.bone_side(a, b)] if error is None else ramp_color((error[a] + error[b]) / 2)
            ends, depth = pixels[[a, b]], nearness[[a, b]].mean()
            if doubted[a] or doubted[b]:
                yield _Stroke(ends, depth, faded(color, palette), thin, DOUBT_DASH)
            else:
                yield _Stroke(ends, depth, color, width)
        for joint in np.flatnonzero(np.isfinite(pixels).all(axis=1)):
            # A joint is a ball in front of the limbs that meet in it.
            side = palette.sides[skeleton.side(skeleton.joints[joint])]
            color = side if error is None else ramp_color(error[joint])
            ball = round(1.4 * (thin if doubted[joint] else width))
            shown = faded(color, palette) if doubted[joint] else color
            yield _Stroke(pixels[[joint, joint]], nearness[joint] + LIMB_MM, shown, ball)


def _whole_bones(pixels: np.ndarray, skeleton: Skeleton) -> list[tuple[int, int]]:
    """The bones between finite joints (J, 2)."""
    finite = np.isfinite(pixels).all(axis=1)
    return [(a, b) for a, b in skeleton.bone_indices if finite[a] and finite[b]]
