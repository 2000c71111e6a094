"""How figures look, and their files: pixels always, PDF and SVG besides in the style for papers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.imaging.draw2d import resized, save_image, sketch_pose
from utils.imaging.sketch import Sketch, arranged, corners_of, outlined
from utils.imaging.view3d import TURNED
from utils.look.palette import PALETTES, Palette
from utils.transform import Skeleton

SMALL_PERSON = 1 / 3  # of the photo: people who fill less are also shown larger
ZOOM_MARGIN = 0.25  # of the people's size, around them
MOST_ZOOM = 6.0
PANEL_GAP = 6  # px between panels


@dataclass(frozen=True)
class FigureStyle:
    """How figures look.

    Attributes:
        style: "dark", or "paper": a white ground, and PDF and SVG files besides.
        views: names of `VIEWS` of 3D poses, a panel each.
        color: "side" for limbs in the colours of their sides, "error" for the colours of their errors.
    """

    style: str = "dark"
    views: tuple[str, ...] = TURNED
    color: str = "side"

    @property
    def palette(self) -> Palette:
        """The colours."""
        return PALETTES[self.style]


DARK_STYLE = FigureStyle()


def save_figure(path: str | Path, figure: Sketch, style: FigureStyle, whole_name: bool = False) -> None:
    """Write a figure atomically as a picture, and in the style for papers as PDF and SVG beside it.

    `whole_name`: keep the picture's suffix in the names of the other two (a.jpg.pdf in place of
    a.pdf).
    """
    save_image(path, figure.raster())
    if style.style == "paper":
        from utils.imaging.vector import VECTOR_SUFFIXES, save_vector  # noqa: PLC0415 - imports matplotlib

        for suffix in VECTOR_SUFFIXES:
            save_vector(Path(path).with_name((Path(path).name if whole_name else Path(path).stem) + suffix), figure)


def photo_panels(
    photo: np.ndarray,
    joints: np.ndarray,
    skeleton: Skeleton,
    numbers: range | list[int],
    palette: Palette,
    text_size: int,
) -> Sketch:
    """A photo with its 2D poses; where its people are small, they are shown larger beside it.

    Args:
        photo: (H, W, 3) uint8.
        joints: (P, J, 2) px of the photo; NaN is not drawn.
        numbers: of the people, or empty.
        text_size: of the numbers, px.
    """
    box = zoom_box(joints, photo.shape[1::-1])
    look = {"min_side": 0, "palette": palette, "text_size": text_size}
    if box is None:
        return sketch_pose(photo, joints, skeleton, numbers=numbers, **look)
    whole = sketch_pose(photo, joints, skeleton, **look)
    left, top, right, bottom = box
    corners = corners_of(box) - 0.5
    whole.add(*outlined(np.concatenate([corners, corners[:1]]), (255, 255, 255), palette.outline, 2))
    large, spans = resized(photo[top:bottom, left:right], photo.shape[0] / (bottom - top))
    moved = (joints - (left, top) + 0.5) * spans - 0.5
    zoomed = sketch_pose(large, moved, skeleton, numbers=numbers, **look)
    return arranged([whole, zoomed], 2, PANEL_GAP, palette.gap)


def zoom_box(joints: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) px around small people (P, J, 2) in a photo of `size`.

    None if they fill a third of its height or width, or if there are none.
    """
    points = joints[np.isfinite(joints).all(axis=-1)]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    if (extent >= SMALL_PERSON * np.array(size)).any():
        return None
    half = max(extent.max() * (0.5 + ZOOM_MARGIN), min(size) / MOST_ZOOM / 2, 8.0)
    middle = (low + high) / 2
    corner = np.clip(np.round(middle - half), 0, np.maximum(np.array(size) - round(2 * half), 0)).astype(int)
    far = np.minimum(corner + round(2 * half), size)
    return int(corner[0]), int(corner[1]), int(far[0]), int(far[1])
