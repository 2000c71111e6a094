"""What formats of one person a file share: axes, frame rate, gaps, and which people are written."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from utils.files.inside import inside
from utils.formats.people import Person
from utils.osutils import UserError, counted, warn

# From camera coordinates (x right, y down, z forward) to x right, y up, z towards the camera: `points @ UP`.
UP = np.diag([1.0, -1, -1])
PHOTO_RATE = 25.0  # rows a second of a file with a single pose, which has to say one


def by_person(
    people: Sequence[Person], folder: Path, suffix: str, gaps: str, write: Callable[[Person, Path], None]
) -> list[Path]:
    """Write one file a person with `write(person, path)`; returns the paths.

    Whoever has no whole 3D pose is left out, with a warning; `gaps` says what happens to missing frames.

    Raises UserError where nobody is left, for a name that leads out of the folder, and for frames without a rate.
    """
    whole = [person for person in people if whole_frames(person.poses).any()]
    if not whole:
        raise UserError(f"--to {suffix[1:]}: no 3D pose has all its joints (NaN), so there is nothing to write")
    for person in whole:
        rate_of(person)  # before anything is written
    if len(whole) < len(people):
        warn(f"{suffix[1:]}: {counted(len(people) - len(whole), 'person', 'people')} without a whole 3D pose, left out")
    missing = sum(int((~whole_frames(person.poses_on_grid())).sum()) for person in whole)
    if missing:
        warn(f"{suffix[1:]}: {counted(missing, 'frame')} without a pose between a person's first and last: {gaps}")
    paths = [inside(folder, f"{person.name}{suffix}") for person in whole]
    for person, path in zip(whole, paths, strict=True):
        write(person, path)
    return paths


def whole_frames(poses: np.ndarray) -> np.ndarray:
    """(T,) whether all joints of a pose (T, J, 3) are finite."""
    return np.isfinite(poses).all(axis=(1, 2))


def rate_of(person: Person) -> float:
    """Rows a second. Raises UserError for several rows without a rate."""
    if np.isfinite(person.rate):
        return person.rate
    if len(person) > 1:
        raise UserError(f"--fps is required: {person.images[0]!r} has {len(person)} frames and no frame rate")
    return PHOTO_RATE


def filled(poses: np.ndarray) -> np.ndarray:
    """Poses (T, J, 3) with rows that lack a joint interpolated linearly; before the first whole one and after the last,
    as these. At least one row is whole."""
    whole = whole_frames(poses)
    rows, flat = np.arange(len(poses)), poses.reshape(len(poses), -1)
    columns = [np.interp(rows, rows[whole], column[whole]) for column in flat.T]
    return np.stack(columns, axis=1).reshape(poses.shape)
