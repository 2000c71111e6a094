"""Draws 2D poses, heat maps and grids on pictures, and writes pictures to files.

A picture is (H, W, 3) uint8 RGB; a (3, H, W) floating tensor in [0, 1] is accepted too. Coordinates are zero-based px
of the given picture, pixel centres at integers. Inputs are not modified.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from utils.imaging.lettering import size_for
from utils.imaging.people_tags import add_tags
from utils.imaging.sketch import Disc, Line, Sketch, as_sketch
from utils.look.palette import DARK, Palette
from utils.osutils import atomic_path
from utils.transform import Skeleton

MIN_DRAWN_SIDE = 512  # px; on smaller pictures lines would cover the person


def as_picture(image: Any) -> np.ndarray:
    """Convert an array (H, W, 3) uint8, or a tensor (3, H, W), floating in [0, 1] or uint8, to a picture.

    Raises ValueError for another shape or type.
    """
    if getattr(image, "ndim", 0) == 2:
        raise ValueError(f"a grey picture {tuple(image.shape)}; expected RGB: repeat it, as np.dstack([grey] * 3) does")
    if hasattr(image, "detach"):
        image = image.detach().cpu().numpy().transpose(1, 2, 0)
        if image.dtype.kind == "f":
            image = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a picture is (H, W, 3) uint8 or a (3, H, W) tensor, not {image.dtype} {image.shape}")
    return np.ascontiguousarray(image)


def resized(image: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Resize a picture by `factor`, to the nearest px.

    Returns: the picture, and the exact scale factors (2,) in x and y. `move_to` maps points: p becomes
    (p + 0.5) * spans - 0.5.
    """
    height, width = image.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    spans = np.array([size[0] / width, size[1] / height])
    if size == (width, height):
        return image, spans
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC), spans


def move_to(points: Any, spans: np.ndarray) -> np.ndarray:
    """Map points (…, 2) of a picture to px of the resized one, given the factors that `resized` returned."""
    return (np.asarray(_numpy(points)) + 0.5) * spans - 0.5


def enlarge_small(image: np.ndarray, min_side: int = MIN_DRAWN_SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge a picture whose longer side is below `min_side` px to that size. Returns as `resized` does."""
    return resized(image, max(1.0, min_side / max(image.shape[:2])))


def draw_pose(image: Any, joints: Any, skeleton: Skeleton, *args: Any, **how: Any) -> np.ndarray:
    """Draw people on a picture, as `sketch_pose` does. Returns: (H', W', 3) uint8."""
    return sketch_pose(image, joints, skeleton, *args, **how).raster()


def sketch_pose(
    image: Any,
    joints: Any,
    skeleton: Skeleton,
    scores: Any = None,
    threshold: float = 0.0,
    min_side: int = MIN_DRAWN_SIDE,
    numbers: Sequence[int] = (),
    palette: Palette = DARK,
    text_size: int | None = None,
) -> Sketch:
    """One or more people on a picture, limbs in the colours of their sides.

    Args:
        image: the picture.
        joints: (J, 2) or (P, J, 2), zero-based px. Non-finite joints are omitted, with their bones.
        skeleton: joint order, J joints.
        scores: (J,) or (P, J); joints with a score below `threshold`, or NaN, are omitted, with their bones. A joint
            whose neighbours are all omitted is omitted, too: loose dots say nothing.
        threshold: see `scores`.
        min_side: enlarge a picture whose longer side is shorter, px; 0 for never.
        numbers: one per person, written on a tag at a box around the person, in `person_color`; empty for none.
        text_size: of the numbers, px; by default by the picture's width.

    Returns: the drawing, of the given size unless enlarged.
    """
    joints = np.array(_numpy(joints), dtype=np.float64).reshape(-1, len(skeleton), 2)
    seen = np.isfinite(joints).all(axis=2)
    if scores is not None:
        seen &= np.array(_numpy(scores), dtype=np.float64).reshape(seen.shape) >= threshold
    seen &= _connected(seen, skeleton)
    picture, spans = enlarge_small(as_picture(image), min_side)
    sketch, joints = as_sketch(picture), move_to(joints, spans)
    for person, shown in zip(joints, seen, strict=True):
        _add_person(sketch, person, shown, skeleton, palette)
    if len(numbers):
        people = [person[shown] for person, shown in zip(joints, seen, strict=True)]
        add_tags(sketch, people, numbers, text_size or size_for(sketch.size[0]), palette)
    return sketch


def heat_map_image(image: Any, heatmaps: Any, opacity: float = 0.6, highest: float | None = None) -> np.ndarray:
    """Heat maps in false colour, dark for 0 and below, light for `highest`, blended over their crop.

    Args:
        image: the crop, to which the map is stretched, or None.
        heatmaps: (H, W), or (J, H, W), shown as the maximum over joints. NaN counts as 0.
        opacity: opacity of the map's largest value over `image`.
        highest: value of the lightest colour; by default the map's largest.

    Returns: (H, W, 3) uint8 in the size of `image`, else of the map.
    """
    heat = np.nan_to_num(np.array(_numpy(heatmaps), dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    heat = heat.reshape(-1, *heat.shape[-2:]).max(axis=0).clip(0)
    heat = (heat / max(float(heat.max()) if highest is None else highest, 1e-12)).clip(0, 1)
    if image is not None:
        image = as_picture(image)
        heat = cv2.resize(heat, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colors = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    if image is None:
        return np.ascontiguousarray(colors)
    weight = opacity * np.sqrt(heat)[..., None]  # the square root keeps the flanks of a peak visible
    return np.rint(image * (1 - weight) + colors * weight).astype(np.uint8)


def heat_ramp(count: int = 16) -> list[tuple[int, int, int]]:
    """The colours of `heat_map_image` from none to the largest value, for a colour bar."""
    levels = np.linspace(0, 255, count).round().astype(np.uint8)[:, None]
    return [tuple(color) for color in cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[:, 0, ::-1].tolist()]


def image_grid(
    images: Sequence[Any], columns: int, cell: tuple[int, int] | None = None, gap: int = 4, level: int = 255
) -> np.ndarray:
    """Arrange pictures in a grid, row by row, each scaled to fit its cell and centred.

    Args:
        images: at least one picture; sizes may differ.
        columns: cells per row; fewer pictures make one shorter row.
        cell: (width, height) px of a cell; by default the largest width and height given.
        gap: px between cells.
        level: grey level of the background.

    Returns: (H, W, 3) uint8.
    """
    pictures = [as_picture(image) for image in images]
    width, height = cell or (max(p.shape[1] for p in pictures), max(p.shape[0] for p in pictures))
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), level, np.uint8)
    for index, picture in enumerate(pictures):
        fitted, _ = resized(picture, min(width / picture.shape[1], height / picture.shape[0]))
        top = index // columns * (height + gap) + (height - fitted.shape[0]) // 2
        left = index % columns * (width + gap) + (width - fitted.shape[1]) // 2
        grid[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return grid


def can_write(path: str | Path) -> bool:
    """Whether `save_image` can write a file with this suffix."""
    return bool(Path(path).suffix) and cv2.haveImageWriter(str(path))


def save_image(path: str | Path, image: Any) -> None:
    """Write a picture atomically, in the format of the path's suffix (JPEG at quality 92).

    Raises ValueError for an unknown suffix; see `can_write`.
    """
    path = Path(path)
    if not can_write(path):
        raise ValueError(f"{path}: pictures can't be written with the suffix {path.suffix!r}")
    bgr = cv2.cvtColor(as_picture(image), cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix.lower() in (".jpg", ".jpeg") else []
    _, encoded = cv2.imencode(path.suffix.lower(), bgr, quality)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def save_png(path: str | Path, image: Any) -> None:
    """Write a picture atomically as PNG, whatever the path's suffix."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(as_picture(image), cv2.COLOR_RGB2BGR))
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _numpy(values: Any) -> Any:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


def _connected(seen: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Of joints seen (P, J): whether a neighbour is seen, too; joints without bones always are."""
    if not skeleton.bone_indices:
        return np.ones_like(seen)
    one, other = np.array(skeleton.bone_indices).T
    linked = np.zeros_like(seen)
    both = seen[:, one] & seen[:, other]
    np.logical_or.at(linked, (slice(None), one), both)
    np.logical_or.at(linked, (slice(None), other), both)
    linked[:, np.setdiff1d(np.arange(len(skeleton)), np.concatenate([one, other]))] = True
    return linked


def _add_person(sketch: Sketch, joints: np.ndarray, seen: np.ndarray, skeleton: Skeleton, palette: Palette) -> None:
    """Draw the visible joints (J, 2) of one person and the bones between them."""
    if not seen.any():
        return
    extent = float(np.linalg.norm(np.ptp(joints[seen], axis=0)))
    thickness = round(np.clip(0.018 * extent, 2, 0.012 * sum(sketch.size) + 2))
    reach = 8 * max(sketch.size)  # far outside the picture exact positions don't matter
    joints = np.nan_to_num(joints).clip(-reach, reach)
    bones = [(a, b, skeleton.bone_side(a, b)) for a, b in skeleton.bone_indices if seen[a] and seen[b]]
    rim = max(2, thickness // 2)
    sketch.add(*(Line(joints[a], joints[b], palette.outline, thickness + rim) for a, b, _ in bones))
    sketch.add(*(Line(joints[a], joints[b], palette.sides[side], thickness) for a, b, side in bones))
    radius = 0.5 * thickness + 1.5
    for index in np.flatnonzero(seen):
        color = palette.sides[skeleton.side(skeleton.joints[index])]
        sketch.add(Disc(joints[index], radius + max(1, thickness // 4), palette.outline))
        sketch.add(Disc(joints[index], radius, color))
