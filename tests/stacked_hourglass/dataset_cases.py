"""People and photos for the tests of datasets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from stacked_hourglass.annotations.people import People
from utils.transform import MPII, Skeleton

# One colour per joint, far from the others and from black.
COLORS = np.array([(r, g, b) for r in (80, 160, 240) for g in (80, 160, 240) for b in (80, 240)])[: len(MPII)]


def people_of(paths: list[Path], skeleton: Skeleton = MPII, **arrays) -> People:
    """People with joints about (150, 150) and a crop of 256 px there, unless told otherwise."""
    count, joints = len(paths), len(skeleton)
    angles = np.linspace(0, 2 * np.pi, joints, endpoint=False)
    circle = 150 + 60 * np.stack([np.cos(angles), np.sin(angles)], -1)
    people = People(
        skeleton=skeleton,
        image_paths=paths,
        joints=np.tile(circle.astype(np.float32), (count, 1, 1)),
        annotated=np.ones((count, joints), bool),
        visible=np.ones((count, joints), bool),
        center=np.full((count, 2), 150, np.float32),
        side=np.full(count, 256, np.float32),
        head_size=np.full(count, 20, np.float32),
        source=(),
    )
    return replace(people, **arrays)


def save(path: Path, image: np.ndarray) -> Path:
    Image.fromarray(image.astype(np.uint8)).save(path)
    return path


def dotted_photo(path: Path, size: tuple[int, int], joints: np.ndarray, radius: int) -> Path:
    """A black photo (width, height) with a smooth-edged dot of its own colour at every joint."""
    image = np.zeros((size[1], size[0], 3))
    ys, xs = np.indices(image.shape[:2])
    for (x, y), color in zip(joints, COLORS, strict=True):
        cover = np.clip(radius + 0.5 - np.hypot(xs - x, ys - y), 0, 1)
        image += cover[..., None] * color
    return save(path, image)
