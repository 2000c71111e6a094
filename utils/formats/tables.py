"""Poses as CSV: a row per joint (long) and a row per person and image (wide). Units are in the header.

What is unknown (NaN, or the frame number of a photo) is an empty cell.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from utils.formats.people import Person
from utils.osutils import atomic_path
from utils.transform import H36M, Skeleton

WHO = ("image", "video", "frame", "time_s", "person")
COLUMNS_2D, COLUMNS_3D = ("x_px", "y_px", "score"), ("x_mm", "y_mm", "z_mm")
DECIMALS = 4


def write_tables(people: Sequence[Person], folder: Path) -> list[Path]:
    """Write `poses_2d_long.csv`, `poses_2d_wide.csv` and the same for 3D, where there are such poses."""
    paths = []
    for kind, columns in (("2d", COLUMNS_2D), ("3d", COLUMNS_3D)):
        if _values(people[0], kind) is None:
            continue
        skeleton = people[0].skeleton if kind == "2d" else H36M
        long, wide = folder / f"poses_{kind}_long.csv", folder / f"poses_{kind}_wide.csv"
        write_table(long, (*WHO, "joint", *columns), _long_rows(people, kind, skeleton))
        header = [f"{joint}_{column}" for joint in skeleton.joints for column in columns]
        write_table(wide, (*WHO, *header), wide_rows(people, [_values(one, kind) for one in people]))
        paths += [long, wide]
    return paths


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a CSV file (UTF-8, commas, a header)."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def wide_rows(people: Sequence[Person], values: Iterable[np.ndarray]) -> Iterator[list]:
    """Rows for the header `WHO` and columns of one's own: of each person `values` (T, ...), flattened."""
    for person, of_person in zip(people, values, strict=True):
        flat = of_person.reshape(len(person), -1)
        for who, numbers in zip(_who(person), flat.tolist(), strict=True):
            yield [*who, *map(_cell, numbers)]


def _long_rows(people: Sequence[Person], kind: str, skeleton: Skeleton) -> Iterator[list]:
    for person in people:
        for who, joints in zip(_who(person), _values(person, kind).tolist(), strict=True):
            for name, numbers in zip(skeleton.joints, joints, strict=True):
                yield [*who, name, *map(_cell, numbers)]


def _values(person: Person, kind: str) -> np.ndarray | None:
    """(T, J, 3): x, y, score in 2D; x, y, z in 3D."""
    if kind == "3d":
        return person.poses
    return None if person.joints is None else np.concatenate([person.joints, person.scores[..., None]], axis=2)


def _who(person: Person) -> Iterator[list]:
    for image, frame, time in zip(person.images, person.frames.tolist(), person.times.tolist(), strict=True):
        place = [person.video, frame, _cell(time)] if person.video else ["", "", ""]
        yield [image, *place, person.number]


def _cell(number: float) -> float | str:
    return round(number, DECIMALS) if np.isfinite(number) else ""
