"""Views of 3D poses: from mm in a frame to px of a panel, and the room in which the poses stand.

See utils.imaging.draw3d for the directions.
"""

import math
from typing import Any, NamedTuple

import numpy as np

FRAMES = ("camera", "world")
LIMB_MM = 38  # drawn width
SMALLEST_FLOOR_MM = 600  # radius of a disc, half width of a square
ROOM_MARGIN_MM = 150  # between poses and walls
STEEPEST_WALLS = 60  # degrees of elevation; from higher up walls are too flat


class Viewpoint(NamedTuple):
    """From where a panel is seen: degrees that the viewer moves to the right around the person, and rises by."""

    azimuth: float
    elevation: float
    caption: str

    @property
    def angles(self) -> dict[str, float]:
        """Both angles by name."""
        return {"azimuth": self.azimuth, "elevation": self.elevation}


VIEWS = {
    "turned": Viewpoint(25, 12, "turned 25° to the right, raised 12°"),
    "front": Viewpoint(0, 0, "front, as the camera sees it"),
    "side": Viewpoint(90, 0, "side, turned 90° to the right"),
    "top": Viewpoint(0, 90, "top, from above"),
}
TURNED = ("turned",)


def describe_views(views: tuple[str, ...]) -> str:
    """For a caption, e.g. "3D view: turned 25° to the right, raised 12°"."""
    return f"3D view{'s' if len(views) > 1 else ''}: {'; '.join(VIEWS[view].caption for view in views)}"


class Room(NamedTuple):
    """A box around poses, in the view's axes: its middle on the floor (3,) mm, half width, half depth and height."""

    middle: np.ndarray
    half: np.ndarray  # (2,) mm, along right and towards the viewer
    height: float


class Projection(NamedTuple):
    """Maps mm in the view's axes (right, up, towards the viewer; see `view_axes`) to px and depth."""

    rotation: np.ndarray  # (3, 3): rows right, up, towards, after azimuth and elevation
    middle: np.ndarray  # (3,) mm, shown at `origin`
    origin: np.ndarray  # (2,) px
    scale: float  # px a mm
    floor: float  # mm, its height
    radius: float  # mm, of a floor without walls
    room: Room | None  # with walls

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(…, 3) mm -> (…, 2) px."""
        return self.origin + self.scale * (points - self.middle) @ self.rotation[:2].T * (1, -1)

    def nearness(self, points: np.ndarray) -> np.ndarray:
        """(…, 3) mm -> (…) mm, larger when nearer to the viewer."""
        return (points - self.middle) @ self.rotation[2]

    def walls(self) -> list[tuple[int, float]]:
        """The walls behind the poses: (axis, 0 or 2, to which it is normal; its place on that axis, mm)."""
        if self.room is None or abs(self.rotation[2, 1]) > math.sin(math.radians(STEEPEST_WALLS)):
            return []
        return [
            (axis, float(self.room.middle[axis] - math.copysign(half, self.rotation[2, axis])))
            for axis, half in zip((0, 2), self.room.half, strict=True)
            if abs(self.rotation[2, axis]) > 0.05  # else it is seen edge on
        ]


def as_poses(values: Any) -> np.ndarray:
    """A tensor or array as float64."""
    return np.array(values.detach().cpu().numpy() if hasattr(values, "detach") else values, dtype=np.float64)


def view_axes(frame: str, camera_tilt: float) -> np.ndarray:
    """(3, 3), rows right, up and towards the viewer, in the axes of a frame. A rotation, so sides are not swapped.

    Raises ValueError for an unknown frame.
    """
    if frame not in FRAMES:
        raise ValueError(f"frame {frame!r}; expected {' or '.join(FRAMES)}")
    if frame == "world":
        return np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    cos, sin = math.cos(math.radians(camera_tilt)), math.sin(math.radians(camera_tilt))
    return np.array([[1.0, 0, 0], [0, -cos, -sin], [0, sin, -cos]])


def box_of(points: np.ndarray) -> np.ndarray:
    """(3, 2): minimum and maximum per axis of the finite points (…, 3); ±1 m without any."""
    points = points.reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return np.array([[-1000.0, 1000.0]] * 3)
    return np.stack([points.min(axis=0), points.max(axis=0)], axis=1)


def fit_view(
    box: np.ndarray, size: tuple[int, int], margins: tuple[int, int], elevation: float, azimuth: float, walls: bool
) -> Projection:
    """The view that fits box (3, 2), mm in the view's axes, with its floor.

    Without walls, the scale does not depend on azimuth, so that a view can swing.

    Args:
        size: (width, height) px of the panel.
        margins: free px at the top and at the bottom.
    """
    floor = float(box[1, 0]) - LIMB_MM / 2
    view = Projection(_rotation(elevation, azimuth), box.mean(axis=1), np.zeros(2), 1.0, floor, 0.0, None)
    view = _with_room(view, box) if walls else _with_disc(view, box)
    space = np.array([size[0] - margins[1], size[1] - sum(margins)])
    corners = view.pixels(_extremes(view, box))
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = float((space / (high - low)).min())
    middle = np.array([size[0] / 2, margins[0] + space[1] / 2])
    return view._replace(scale=scale, origin=middle - scale * (low + high) / 2)


def _rotation(elevation: float, azimuth: float) -> np.ndarray:
    a, e = math.radians(azimuth), math.radians(elevation)
    right = np.array([math.cos(a), 0, -math.sin(a)])
    level = np.array([math.sin(a), 0, math.cos(a)])
    up = np.array([0.0, 1, 0])
    return np.stack([right, math.cos(e) * up - math.sin(e) * level, math.cos(e) * level + math.sin(e) * up])


def _with_room(view: Projection, box: np.ndarray) -> Projection:
    extent = np.ptp(box, axis=1)
    half = np.maximum(extent[[0, 2]] / 2 + ROOM_MARGIN_MM, SMALLEST_FLOOR_MM)
    middle = np.array([view.middle[0], view.floor, view.middle[2]])
    return view._replace(room=Room(middle, half, float(extent[1]) + ROOM_MARGIN_MM))


def _with_disc(view: Projection, box: np.ndarray) -> Projection:
    extent = np.ptp(box, axis=1)
    return view._replace(radius=max(SMALLEST_FLOOR_MM, math.hypot(extent[0], extent[2]) / 2 + LIMB_MM))


def _extremes(view: Projection, box: np.ndarray) -> np.ndarray:
    """Points (N, 3) mm that must be in the picture."""
    if view.room is not None:
        (x, z), height = view.room.half, view.room.height
        floor = np.array([(a, 0, b) for a in (-x, x) for b in (-z, z)])
        return view.room.middle + np.concatenate([floor, floor + np.array([0, height, 0])])
    # A disc and a cylinder around the poses, seen the same from everywhere around them.
    right = view.rotation[0]
    across = (right, np.cross(right, (0, 1, 0)))
    width, _, depth = np.ptp(box, axis=1)
    reach = math.hypot(width, depth) / 2 + LIMB_MM
    rims = ((view.floor, view.radius), (float(box[1, 1]) + LIMB_MM, reach))
    center = view.middle * (1, 0, 1)
    return np.array([center + (0, h, 0) + s * r * axis for h, r in rims for s in (-1, 1) for axis in across])
