"""Draws poses, heat maps and grids on pictures, and writes pictures to files.

A picture is (H, W, 3) uint8 RGB; a (3, H, W) floating tensor in [0, 1] is accepted too. Coordinates are zero-based px
of the given picture, pixel centres at integers. Inputs are not modified unless a docstring says "in place".
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from utils.osutils import atomic_path
from utils.transform import Skeleton

# After Okabe and Ito's palette (2008), distinguishable with every common form of colour blindness. Orange and blue are
# lightened to stand out on dark photos.
SIDE_COLORS = {"r": (240, 110, 20), "l": (60, 160, 255), "c": (225, 225, 225)}
OUTLINE = (20, 20, 20)
INK, FAINT_INK = (235, 235, 235), (150, 154, 160)  # text colours
# For the numbers of people; distinct from the colours of the sides.
PERSON_COLORS = (
    (110, 200, 90), (235, 120, 190), (240, 225, 80), (175, 130, 240), (90, 205, 195), (170, 140, 90),
)  # fmt: skip

SIDE_ROWS = [(SIDE_COLORS["r"], "person's right"), (SIDE_COLORS["l"], "person's left")]  # legend rows
LEGEND_PITCH = 0.9  # row spacing in line heights
MIN_DRAWN_SIDE = 512  # px; on smaller pictures lines would cover the person
_SHIFT = 4  # OpenCV takes coordinates in 1/16 px
_FONT = cv2.FONT_HERSHEY_SIMPLEX


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


def draw_pose(
    image: Any,
    joints: Any,
    skeleton: Skeleton,
    scores: Any = None,
    threshold: float = 0.0,
    legend: bool = True,
    min_side: int = MIN_DRAWN_SIDE,
    numbers: Sequence[int] = (),
) -> np.ndarray:
    """Draw one or more people: right limbs orange, left limbs blue, the middle light grey.

    Args:
        image: the picture.
        joints: (J, 2) or (P, J, 2), zero-based px. Non-finite joints are omitted, with their bones.
        skeleton: joint order, J joints.
        scores: (J,) or (P, J); joints with a score below `threshold`, or NaN, are omitted, with their bones.
        threshold: see `scores`.
        legend: explain the colours in a corner.
        min_side: enlarge a picture whose longer side is shorter, px; 0 for never.
        numbers: one per person, written above the head in `person_color`; empty for none.

    Returns: (H', W', 3) uint8, of the given size unless enlarged.
    """
    joints = np.array(_numpy(joints), dtype=np.float64).reshape(-1, len(skeleton), 2)
    shown = np.isfinite(joints).all(axis=2)
    if scores is not None:
        shown &= np.array(_numpy(scores), dtype=np.float64).reshape(shown.shape) >= threshold
    picture, spans = enlarge_small(as_picture(image), min_side)
    picture = picture.copy()
    joints = move_to(joints, spans)
    for person, seen in zip(joints, shown, strict=True):
        _draw_person(picture, person, seen, skeleton)
    if len(numbers):
        plates = [_draw_number(picture, p[seen], n) for p, seen, n in zip(joints, shown, numbers, strict=True)]
    else:
        plates = []
    if legend:
        line = round(0.042 * max(picture.shape[:2]))
        points = np.concatenate([joints[shown], *plates])
        draw_legend(picture, SIDE_ROWS, max(10, line), points, margin=round(0.4 * line), shaded=True)
    return picture


def person_color(number: int) -> tuple[int, int, int]:
    """The colour of a person's number, the same in photos and 3D panels."""
    return PERSON_COLORS[number % len(PERSON_COLORS)]


def heat_map_image(image: Any, heatmaps: Any, opacity: float = 0.6) -> np.ndarray:
    """Heat maps in false colour, dark for 0 and below, light for the largest value, blended over their crop.

    Args:
        image: the crop, to which the map is stretched, or None.
        heatmaps: (H, W), or (J, H, W), shown as the maximum over joints. NaN counts as 0.
        opacity: opacity of the map's largest value over `image`.

    Returns: (H, W, 3) uint8 in the size of `image`, else of the map.
    """
    heat = np.nan_to_num(np.array(_numpy(heatmaps), dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    heat = heat.reshape(-1, *heat.shape[-2:]).max(axis=0).clip(0)
    heat /= max(float(heat.max()), 1e-12)
    if image is not None:
        image = as_picture(image)
        heat = cv2.resize(heat, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colors = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    if image is None:
        return np.ascontiguousarray(colors)
    weight = opacity * np.sqrt(heat)[..., None]  # the square root keeps the flanks of a peak visible
    return np.rint(image * (1 - weight) + colors * weight).astype(np.uint8)


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


def side_by_side(pictures: Sequence[Any], gap: int = 6, level: int = OUTLINE[0]) -> np.ndarray:
    """Pictures in one row at their own size, centred vertically. Returns: (H, W, 3) uint8.

    Args:
        pictures: at least one.
        gap: px between pictures.
        level: grey level of the background.
    """
    pictures = [as_picture(picture) for picture in pictures]
    height, width = max(p.shape[0] for p in pictures), sum(p.shape[1] + gap for p in pictures) - gap
    row, left = np.full((height, width, 3), level, np.uint8), 0
    for picture in pictures:
        top = (height - picture.shape[0]) // 2
        row[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + gap
    return row


def text_strip(text: str, width: int, line: int, color: tuple[int, int, int] = INK) -> np.ndarray:
    """A dark strip of `width` px with one line of text, see `write_line`. Returns: (H, width, 3) uint8."""
    strip = np.full((round(1.75 * line), width, 3), OUTLINE, np.uint8)
    write_line(strip, text, (line // 2, round(1.2 * line)), line, color)
    return strip


def write_line(
    picture: np.ndarray, text: str, place: tuple[int, int], line: int, color: tuple[int, int, int] = INK
) -> None:
    """Write a line of ASCII text at `place` (left, baseline), smaller if it would not fit, in place.

    `line`: twice the height of a capital letter, px.
    """
    scale = line / 2 / 21  # capitals of this font are 21 px high
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, 1)
    scale *= min(1.0, max(picture.shape[1] - place[0] - line // 4, 1) / max(width, 1))
    cv2.putText(picture, text, place, _FONT, scale, color, max(1, round(1.6 * scale)), cv2.LINE_AA)


def legend_height(rows: int, line: int) -> int:
    """Height of a legend with so many rows, px; `line` as for `write_line`."""
    return round(LEGEND_PITCH * line * rows)


def draw_legend(
    picture: np.ndarray,
    rows: Sequence[tuple[tuple[int, int, int], str]],
    line: int,
    points: np.ndarray,
    margin: int = 0,
    upper: bool = False,
    shaded: bool = False,
) -> None:
    """Draw a colour legend in the corner that covers the fewest `points` (N, 2), in place.

    Nothing is drawn if the picture is too small.

    Args:
        rows: a colour and its meaning, ASCII.
        line: twice the height of a capital letter, px.
        margin: px above the first row.
        upper: use an upper corner.
        shaded: darken the picture behind it.
    """
    text = max(cv2.getTextSize(words, _FONT, line / 42, 1)[0][0] for _, words in rows)
    size = np.array([text + 2 * line, margin + legend_height(len(rows), line)])
    room = np.array(picture.shape[1::-1]) - size
    if (room < 0).any():
        return
    corners = np.array([(x, y) for y in (0, *(() if upper else (room[1],))) for x in (0, room[0])])
    inside = ((points >= corners[:, None]) & (points <= corners[:, None] + size)).all(axis=2).sum(axis=1)
    left, top = corners[inside.argmin()].tolist()
    if shaded:
        panel = picture[top : top + size[1], left : left + size[0]]
        panel[:] = panel // 4
    for row, (color, words) in enumerate(rows):
        base = top + margin + round(line * (0.5 + LEGEND_PITCH * row))
        swatch = (left + line // 2, base - line // 2)
        cv2.rectangle(picture, swatch, (swatch[0] + line // 2, base), color, cv2.FILLED)
        write_line(picture, words, (swatch[0] + line, base), line, (255, 255, 255) if shaded else INK)


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


def _draw_person(picture: np.ndarray, joints: np.ndarray, seen: np.ndarray, skeleton: Skeleton) -> None:
    """Draw the visible joints (J, 2) of one person and the bones between them, in place."""
    if not seen.any():
        return
    extent = float(np.linalg.norm(np.ptp(joints[seen], axis=0)))
    thickness = round(np.clip(0.018 * extent, 2, 0.012 * sum(picture.shape[:2]) + 2))
    # Far outside the picture exact positions don't matter, but OpenCV's fixed-point numbers must not overflow.
    reach = 8 * max(picture.shape[:2])
    fixed = np.rint(np.nan_to_num(joints).clip(-reach, reach) * 2**_SHIFT).astype(int)
    bones = [(a, b, skeleton.bone_side(a, b)) for a, b in skeleton.bone_indices if seen[a] and seen[b]]
    for wider, outlined in ((max(2, thickness // 2), True), (0, False)):
        for a, b, side in bones:
            color = OUTLINE if outlined else SIDE_COLORS[side]
            start, end = fixed[a].tolist(), fixed[b].tolist()
            cv2.line(picture, start, end, color, thickness + wider, cv2.LINE_AA, _SHIFT)
    radius = round((0.5 * thickness + 1.5) * 2**_SHIFT)
    rim = max(1, thickness // 4)
    for index in np.flatnonzero(seen):
        center, color = fixed[index].tolist(), SIDE_COLORS[skeleton.side(skeleton.joints[index])]
        cv2.circle(picture, center, radius + (rim << _SHIFT), OUTLINE, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        cv2.circle(picture, center, radius, color, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _draw_number(picture: np.ndarray, joints: np.ndarray, number: int) -> np.ndarray:
    """Write a number on a plate above the topmost joint of (N, 2), in place; returns the plate's corners, (4, 2)."""
    if not len(joints):
        return joints
    size, text = np.array(picture.shape[1::-1]), str(number)
    scale = max(0.4, size.max() / 1200)
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    pad = round(0.4 * height)
    box = np.array([width, height]) + 2 * pad
    corner = joints[joints[:, 1].argmin()] - (box[0] / 2, box[1] + 2.5 * height)
    left, top = corner.clip(0, np.maximum(size - box, 0)).round().astype(int).tolist()
    right, bottom = left + int(box[0]), top + int(box[1])
    cv2.rectangle(picture, (left, top), (right, bottom), person_color(number), cv2.FILLED)
    base = (left + pad, top + pad + height)
    cv2.putText(picture, text, base, _FONT, scale, OUTLINE, max(1, round(1.8 * scale)), cv2.LINE_AA)
    return np.array([(left, top), (right, top), (left, bottom), (right, bottom)], dtype=np.float64)
