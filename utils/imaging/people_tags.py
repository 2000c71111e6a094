"""Boxes and numbers of people on a photo: tags do not cover one another, a moved tag has a leader line."""

from collections.abc import Iterator, Sequence

import numpy as np

from utils.imaging.lettering import CAP_HEIGHT, text_width
from utils.imaging.sketch import Polygon, Sketch, Text, corners_of, outlined
from utils.look.palette import Palette, person_color

MARGIN = 0.06  # of a person's size, between joints and box
_RINGS = 12  # distances tried for a tag whose own place is taken


def add_tags(sketch: Sketch, people: Sequence[np.ndarray], numbers: Sequence[int], size: int, palette: Palette) -> None:
    """Draw a box around each person and a tag with the number at it, both in the person's colour.

    Args:
        people: joints (N, 2) px of each person; who has none gets neither box nor tag.
        numbers: one per person.
        size: of the text, px.

    Raises ValueError for another number of people than numbers.
    """
    shown = [(joints, number) for joints, number in zip(people, numbers, strict=True) if len(joints)]
    boxes = [_box_around(joints, sketch.size) for joints, _ in shown]
    width = max(2, round(size / 8))
    for box, (_, number) in zip(boxes, shown, strict=True):
        corners = corners_of(box)
        sketch.add(*outlined(np.concatenate([corners, corners[:1]]), person_color(number), palette.outline, width))
    plates = tag_places(boxes, [_plate_size(number, size) for _, number in shown], sketch.size)
    for box, plate, (_, number) in zip(boxes, plates, shown, strict=True):
        _add_tag(sketch, box, plate, number, size, palette)


def tag_places(
    boxes: Sequence[np.ndarray], plates: Sequence[tuple[int, int]], size: tuple[int, int]
) -> list[np.ndarray]:
    """Where tags of `plates` (width, height) px go: (left, top, right, bottom) px each.

    A tag stands on its box, at the left; if the place is taken, at the nearest free one within the picture of `size`.
    Tags overlap only if the picture has no room for all of them.
    """
    placed: list[np.ndarray] = []
    for box, plate in zip(boxes, plates, strict=True):
        free = (one for one in _candidates(box, plate, size) if not any(_overlap(one, other) for other in placed))
        placed.append(next(free, next(_candidates(box, plate, size))))
    return placed


def _box_around(joints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    low, high = joints.min(axis=0), joints.max(axis=0)
    margin = MARGIN * (high - low).max() + 2
    limits = np.array(size) - 1
    return np.concatenate([np.clip(low - margin, 0, limits), np.clip(high + margin, 0, limits)])


def _plate_size(number: int, size: int) -> tuple[int, int]:
    return round(text_width(str(number), size) + 0.7 * size), round(1.25 * size)


def _candidates(box: np.ndarray, plate: tuple[int, int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Places for a tag, best first: on the box's upper left, its other corners, then rings about the first."""
    (width, height), (left, top, right, bottom) = plate, box
    for x, y in ((left, top - height), (right - width, top - height), (left, top), (left, bottom)):
        yield _within(x, y, plate, size)
    for ring in range(1, _RINGS + 1):
        steps = [(x, y) for x in range(-ring, ring + 1) for y in range(-ring, ring + 1) if max(abs(x), abs(y)) == ring]
        for x, y in sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2):
            yield _within(left + x * (width + 2), top - height + y * (height + 2), plate, size)


def _within(left: float, top: float, plate: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(left, top, right, bottom) of a plate moved into a picture."""
    corner = np.clip(np.round((left, top)), 0, np.maximum(np.array(size) - plate, 0))
    return np.concatenate([corner, corner + plate])


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one[:2] < other[2:]).all() and (other[:2] < one[2:]).all())


def _add_tag(sketch: Sketch, box: np.ndarray, plate: np.ndarray, number: int, size: int, palette: Palette) -> None:
    """A plate with the number, and a leader line to the box where they do not touch."""
    color = person_color(number)
    near = np.clip((plate[:2] + plate[2:]) / 2, box[:2], box[2:])  # the box's nearest point
    if not _overlap(plate + np.array([-2, -2, 2, 2]), box):
        middle = (plate[:2] + plate[2:]) / 2
        sketch.add(*outlined(np.array([middle, near]), color, palette.outline, max(2, size // 8)))
    left, top, right, bottom = plate
    sketch.add(Polygon(corners_of(plate), color))
    base = round((top + bottom + CAP_HEIGHT * size) / 2)
    text = str(number)
    sketch.add(Text(text, round((left + right - text_width(text, size)) / 2), base, size, (20, 20, 20)))
