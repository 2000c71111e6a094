"""The people of a predictions folder, each with the poses of all its frames.

    people = read_people("data/stitched_mpii")
    people[0].name, people[0].poses          # "walk", (T, 17, 3) mm

Somebody in a video is one `Person` with a row per frame; somebody in a photo is one with a single row.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from utils.formats.requirements import METAS, POSES_2D, POSES_3D
from utils.osutils import UserError
from utils.predictions.picture_files import find_skeleton
from utils.predictions.prediction_files import load_predictions, metas_of
from utils.transform import H36M, Skeleton

FRAME_NAME = re.compile(r"(.+)/(\d{6,})")


@dataclass(frozen=True)
class Person:
    """One person in T frames of a video, in order, or in one photo (T = 1). float64; NaN for what is unknown.

    Attributes:
        name: what files of this person are called, unique in a folder, without suffix.
        images: T names of the photo or the frames; of a sequence of poses without images, its name T times.
        video: name of the video or sequence; "" for a photo.
        number: of the person: its track in a video, its index in a photo.
        frames: (T,) int, frame numbers from 0; 0 for a photo.
        times: (T,) s from the start of the video; 0 for a photo.
        rate: rows a second, where every `step`-th frame of the video is a row; NaN where nobody said.
        step: see `rate`.
        skeleton: the order of `joints`; None without 2D poses.
        joints: (T, J, 2), zero-based px of the image; None without 2D poses.
        scores: (T, J) of the joints, 0 to 1; None without 2D poses.
        poses: (T, 17, 3) mm, camera coordinates (x right, y down, z forward), order `H36M`; None without 3D poses.
        size: (width, height) px of the image; None where nobody said.
    """

    name: str
    images: tuple[str, ...]
    video: str
    number: int
    frames: np.ndarray
    times: np.ndarray
    rate: float
    step: int = 1
    skeleton: Skeleton | None = None
    joints: np.ndarray | None = None
    scores: np.ndarray | None = None
    poses: np.ndarray | None = None
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def poses_on_grid(self) -> np.ndarray:
        """(N, 17, 3) mm: a row for every `step`-th frame from the first to the last; NaN where there is no pose."""
        rows = (self.frames - self.frames[0]) // self.step
        grid = np.full((rows[-1] + 1, len(H36M), 3), np.nan)
        grid[rows] = self.poses
        return grid


@dataclass(frozen=True)
class _Row:
    """One person in one image."""

    image: str
    video: str
    number: int
    frame: int
    time: float
    joints: np.ndarray | None
    scores: np.ndarray | None
    pose: np.ndarray | None


def read_people(folder: str | Path, fps: float | None = None) -> list[Person]:
    """The people of a predictions folder: those of a photo or video one after the other, by number.

    Args:
        folder: what a run.py script wrote: 2D poses, 3D poses or both; `metas.pt` with joint order, scores and tracks.
        fps: frame rate of sequences for which `metas.pt` has none.

    Raises UserError for damaged files, files of different runs, a folder without people, other 3D joints than 17, and
    for an `fps` that has no effect.
    """
    folder = Path(folder)
    joints, poses = (_load(folder / name) for name in (POSES_2D, POSES_3D))
    metas = metas_of(folder)
    if fps is not None and not any(_is_sequence(metas.get(name)) for name in joints or poses):
        raise UserError(f"--fps {fps:g}: has no effect: it is for sequences of run.py 2d3d_h36m; videos have their own")
    _require_17_joints(poses, folder / POSES_3D)
    if joints and poses:
        _require_one_run(joints, poses, folder)
    skeleton = find_skeleton(folder / POSES_2D, joints) if joints else None
    groups: dict[tuple[str, int], list[_Row]] = {}
    for row in _rows(joints, poses, metas, fps):
        groups.setdefault((row.video or row.image, row.number), []).append(row)
    if not groups:
        raise UserError(f"--data_dir {folder}: its files hold nobody, so there is nothing to convert")
    steps = _steps(joints or poses)
    people = [_person(rows, skeleton, metas, fps, steps.get(rows[0].video, 1)) for rows in groups.values()]
    return _named(people)


# ------------------------------------------------------------------------------------------ files
def _load(path: Path) -> dict[str, Tensor]:
    return load_predictions(path) if path.is_file() else {}


def _require_17_joints(poses: Mapping[str, Tensor], path: Path) -> None:
    for name, values in poses.items():
        if values.shape[1:] != (len(H36M), 3):
            shape = " × ".join(map(str, values.shape))
            raise UserError(f"{path}: {name!r} is {shape}; expected people × {len(H36M)} × 3 (mm)")


def _require_one_run(joints: Mapping[str, Tensor], poses: Mapping[str, Tensor], folder: Path) -> None:
    differing = [name for name in {**joints, **poses} if len(joints.get(name, ())) != len(poses.get(name, ()))]
    if differing:
        raise UserError(
            f"--data_dir {folder}: {POSES_2D} and {POSES_3D} have different people in {len(differing)} images "
            f"(the first: {differing[0]!r}); give the files of one run"
        )


# ------------------------------------------------------------------------------------------ who is who
def _rows(
    joints: Mapping[str, Tensor], poses: Mapping[str, Tensor], metas: Mapping[str, Any], fps: float | None
) -> Iterator[_Row]:
    for image in joints or poses:
        meta = metas[image] if isinstance(metas.get(image), dict) else {}
        count = len((joints or poses)[image])
        parts = [_array(values.get(image)) for values in (joints, poses)]
        scores = np.full((count, parts[0].shape[1]), np.nan) if joints else None
        if joints and (known := meta.get("scores")) is not None and tuple(known.shape) == scores.shape:
            scores = _array(known)
        tracks = meta.get("tracks", range(count))
        if len(tracks) != count:
            raise UserError(f"{METAS}: {image!r} has {len(tracks)} tracks for {count} people; give files of one run")
        video, frame, time = _place(image, meta)
        for index in range(count):
            one = (None if part is None else part[index] for part in (parts[0], scores, parts[1]))
            if _is_sequence(meta):
                yield _Row(image, image, 0, index, index / (fps or np.nan), *one)
            else:
                yield _Row(image, video, int(tracks[index]), frame, time, *one)


def _is_sequence(meta: Any) -> bool:
    """Whether an image's entry in `metas.pt` says that its rows are frames, not people."""
    return isinstance(meta, dict) and meta.get("entry") == "frames"


def _array(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else values.double().cpu().numpy()


def _place(image: str, meta: Mapping[str, Any]) -> tuple[str, int, float]:
    """Video, frame number and time (s) of an image; ("", 0, 0.0) for a photo."""
    match = FRAME_NAME.fullmatch(image)
    if match is None or "fps" not in meta:
        return "", 0, 0.0
    frame = int(match[2])
    return match[1], frame, float(meta.get("time", frame / meta["fps"]))


def _steps(images: Mapping[str, Tensor]) -> dict[str, int]:
    """By video, the distance between frames that were run."""
    numbers: dict[str, list[int]] = {}
    for match in filter(None, map(FRAME_NAME.fullmatch, images)):
        numbers.setdefault(match[1], []).append(int(match[2]))
    return {video: max(gcd(*(b - a for a, b in pairwise(sorted(found)))), 1) for video, found in numbers.items()}


def _person(
    rows: list[_Row], skeleton: Skeleton | None, metas: Mapping[str, Any], fps: float | None, step: int
) -> Person:
    first = rows[0]
    rows = sorted(rows, key=lambda row: row.frame)
    meta = metas[first.image] if isinstance(metas.get(first.image), dict) else {}
    columns = {
        name: None if getattr(first, one) is None else np.stack([getattr(row, one) for row in rows])
        for name, one in (("joints", "joints"), ("scores", "scores"), ("poses", "pose"))
    }
    return Person(
        name=first.video or str(Path(first.image).with_suffix("")),
        images=tuple(row.image for row in rows),
        video=first.video,
        number=first.number,
        frames=np.array([row.frame for row in rows]),
        times=np.array([row.time for row in rows]),
        rate=float(meta.get("fps") or fps or np.nan) / step,
        step=step,
        skeleton=skeleton,
        size=tuple(meta["size"]) if meta.get("size") else None,
        **columns,
    )


def _named(people: list[Person]) -> list[Person]:
    """The people with names of their own: "_person1" follows the photo's or video's where it shows several."""
    together = Counter(one.video or one.images[0] for one in people)
    names: set[str] = set()
    result = []
    for one in people:
        suffix = f"_person{one.number}" if together[one.video or one.images[0]] > 1 else ""
        name = one.name + suffix
        if name in names:  # of a.jpg and a.png
            name = one.images[0] + suffix
        names.add(name)
        result.append(replace(one, name=name))
    return result
