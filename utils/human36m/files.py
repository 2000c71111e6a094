"""Human3.6M on disk: sequences of a folder, their 3D positions, 2D detections, cameras and image paths.

    files = find_sequences("data/h36m")
    motions = load_motions(files.select(TRAIN_SUBJECTS, select_actions("Walking,Sitting")))
    cameras = files.cameras()

Formats, looked for in the folder and in its subfolder `h36m`:

* h5: `S1/MyPoses/3D_positions/Walking 1.h5`, dataset `3D_positions`, 96 × frames (or frames × 96), mm;
* npz: `data_3d_h36m.npz`, `positions_3d`: subject → action → frames × 32 × 3, metres, read without running code;
* the official CDF release is recognised, but must be converted once with scripts/convert_h36m.py.

Positions are returned as (frames, 32, 3) float32, mm, world frame. One camera table is expected beside them.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from utils.camera_utils import (
    CAMERA_NAMES,
    HOW_TO_GET_CAMERAS,
    CameraTable,
    find_camera_table,
    get_camera,
    read_cameras,
)
from utils.files.arrays_in_files import HDF5_ERRORS, member_names, numeric_dataset, require_dataset
from utils.files.sizes import TooLarge, require_honest
from utils.human36m.actions import ACTIONS, SUBJECTS
from utils.human36m.folder import HOW_TO_GET, require_h36m_folder
from utils.human36m.object_npz import read_object_npz
from utils.osutils import UserError, atomic_path, warn
from utils.transform import H36M_SLOTS, MPII

OFFICIAL_SPELLINGS = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}
DAMAGED_VIDEO = (11, "Directions")  # one of its videos is damaged, so some copies lack the sequence

JOINTS = 32
POSITIONS_H5 = "S{subject}/MyPoses/3D_positions"
POSITIONS_NPZ = "data_3d_h36m.npz"
CDF_PATTERNS = [f"{above}S*/{between}D3_Positions/*.cdf" for above in ("", "*/") for between in ("MyPoseFeatures/", "")]
DETECTIONS_FOLDER = "StackedHourglass"
# Median diagonal of the box around a pose. People measure 0.6 m (crouching) to 2.3 m (arms up).
BODY_EXTENT_MM = (300.0, 4000.0)
DETECTIONS_HOW_TO_GET = (
    "run a 2D network on the videos and write a file per video with dataset poses, frames × 16 × 2 px, joints in MPII "
    "order (the authors of the 3D baseline published theirs in this format), or omit --use_hg for projected 2D poses"
)


@dataclass(frozen=True)
class Sequence:
    """One recording of one subject.

    Attributes:
        subject: 1, 5, 6, 7, 8, 9 or 11.
        action: one of `ACTIONS`, e.g. "Walking".
        take: 1 or 2, in the order of the numbers in the names.
        name: the action with its number as in the file names, e.g. "Walking 1".
        path: the file with its positions.
        frames: number of frames in the file, including those with NaN.
    """

    subject: int
    action: str
    take: int
    name: str
    path: Path
    frames: int
    stored: np.ndarray | None = field(default=None, repr=False, compare=False)  # npz: (frames, 32, 3), metres

    @property
    def label(self) -> str:
        return f"S{self.subject} {self.name}"


class Motion(NamedTuple):
    """Positions of a sequence: `positions` (F, slots, 3) float32, mm, world; `frames` (F,) their rows in the file,
    from 0, which are not contiguous if frames were dropped."""

    sequence: Sequence
    positions: np.ndarray
    frames: np.ndarray


@dataclass(frozen=True)
class Human36mFiles:
    """Content of a folder: `form` "h5" or "npz", the sequences ordered by subject, action and take, and the path of
    the camera table, or None."""

    data_dir: Path
    form: str
    sequences: tuple[Sequence, ...]
    camera_table: Path | None

    def select(self, subjects: Iterable[int] = SUBJECTS, actions: Iterable[str] = ACTIONS) -> list[Sequence]:
        """The sequences of these subjects and actions. Raises UserError if there is none."""
        subjects, actions = tuple(subjects), tuple(actions)
        chosen = [one for one in self.sequences if one.subject in subjects and one.action in actions]
        if not chosen:
            wanted = f"{', '.join(f'S{subject}' for subject in subjects)} in {', '.join(actions)}"
            raise UserError(f"{self.data_dir}: no sequence of {wanted}; {HOW_TO_GET}")
        return chosen

    def cameras(self) -> CameraTable:
        """{(subject, camera 1..4): Camera} for the subjects that have sequences.

        Raises UserError without a camera table, and if a camera is missing, naming it and its subject.
        """
        if self.camera_table is None:
            raise UserError(f"{self.data_dir}: no camera table beside the positions; {HOW_TO_GET_CAMERAS}")
        keys = [(s, n) for s in self.subjects for n in range(1, len(CAMERA_NAMES) + 1)]
        return {key: get_camera(self._table, *key, self.camera_table) for key in keys}

    @cached_property
    def _table(self) -> CameraTable:
        """All cameras of the file. Hundreds of small datasets, so it is read once for the report and each pose set."""
        return read_cameras(self.camera_table)

    @property
    def subjects(self) -> tuple[int, ...]:
        return tuple(sorted({one.subject for one in self.sequences}))


# ------------------------------------------------------------------------------------------ sequences
def find_sequences(data_dir: str | Path) -> Human36mFiles:
    """Find Human3.6M's files in a folder; h5 takes precedence over npz. Files of unknown actions are skipped with a
    warning.

    Raises UserError, saying what was looked for and how to get it, if there is nothing or only the CDF release, or if a
    file cannot be read or has another shape.
    """
    given = Path(data_dir)
    require_h36m_folder(given)
    for folder in (given, given / "h36m"):
        for form, find in (("h5", _sequences_of_h5), ("npz", _sequences_of_npz)):
            if sequences := find(folder):
                return Human36mFiles(folder, form, sequences, find_camera_table(folder))
    if any(next(given.glob(pattern), None) for pattern in CDF_PATTERNS):
        raise UserError(
            f"--data_dir {given}: the official CDF files must be converted once: python scripts/convert_h36m.py "
            f"{given} --output_dir data/h36m"
        )
    raise UserError(
        f"--data_dir {given}: no Human3.6M poses; looked for {POSITIONS_H5.format(subject=1)}/*.h5 and so on, and for "
        f"{POSITIONS_NPZ}; {HOW_TO_GET}"
    )


def parse_name(name: str) -> tuple[str, str] | None:
    """Action and name: ("WalkDog", "WalkDog 1") for "WalkDog 1" or "WalkingDog 1"; None for an unknown action."""
    match = re.fullmatch(r"([A-Za-z]+)( \d+)?", name)
    action = OFFICIAL_SPELLINGS.get(match[1], match[1]) if match else None
    return (action, action + (match[2] or "")) if action in ACTIONS else None


def _sequences_of_h5(folder: Path) -> tuple[Sequence, ...]:
    found = {}
    for subject in SUBJECTS:
        for path in sorted((folder / POSITIONS_H5.format(subject=subject)).glob("*.h5")):
            found[subject, path.stem] = path
    named = _by_name(found, folder)
    return _in_order(
        Sequence(subject, action, take, name, found[key], _read_h5(found[key], shape_only=True))
        for key, (subject, action, take, name) in named.items()
    )


def _sequences_of_npz(folder: Path) -> tuple[Sequence, ...]:
    path = folder / POSITIONS_NPZ
    if not path.is_file():
        return ()
    subjects = read_object_npz(path, "positions_3d")
    found = {}
    for subject, actions in subjects.items() if isinstance(subjects, dict) else ():
        number = int(subject[1:]) if re.fullmatch(r"S\d{1,2}", str(subject)) else None
        for name, stored in actions.items() if number in SUBJECTS and isinstance(actions, dict) else ():
            if not isinstance(stored, np.ndarray) or stored.shape[1:] != (JOINTS, 3) or stored.dtype.kind != "f":
                shape = stored.shape if isinstance(stored, np.ndarray) else type(stored).__name__
                raise UserError(f"{path}: {subject} {name} is {shape}, not frames × {JOINTS} × 3")
            found[number, str(name)] = stored
    try:  # sequences may share one array
        require_honest(sum(stored.nbytes for stored in found.values()), path)
    except TooLarge as error:
        raise UserError(f"{path}: positions_3d {error}") from None
    if not found:
        raise UserError(f"{path}: positions_3d holds no subject → action → frames × {JOINTS} × 3")
    named = _by_name(found, path)
    return _in_order(
        Sequence(subject, action, take, name, path, len(found[key]), found[key])
        for key, (subject, action, take, name) in named.items()
    )


def _by_name(found: Iterable[tuple[int, str]], where: Path) -> dict[tuple[int, str], tuple[int, str, int, str]]:
    """(subject, name in the files) → subject, action, take, name; takes are numbered in the order of the names."""
    parsed = {key: (key[0], *parse_name(key[1])) for key in found if parse_name(key[1])}
    if strange := sorted({name for _, name in found} - {name for _, name in parsed}):
        warn(f"{where}: skipped, not among the 15 actions: {', '.join(strange)}")
    if twice := [name for name, times in Counter(parsed.values()).items() if times > 1]:
        raise UserError(f"{where}: S{twice[0][0]} {twice[0][2]} exists under two spellings; keep one of them")
    takes: Counter[tuple[int, str]] = Counter()
    named = {}
    for key, (subject, action, name) in sorted(parsed.items(), key=lambda item: (*item[1][:2], _number(item[1][2]))):
        takes[subject, action] += 1
        named[key] = (subject, action, takes[subject, action], name)
    return named


def _number(name: str) -> int:
    return int(name.partition(" ")[2] or 0)


def _in_order(sequences: Iterable[Sequence]) -> tuple[Sequence, ...]:
    return tuple(sorted(sequences, key=lambda one: (one.subject, ACTIONS.index(one.action), one.take)))


# ------------------------------------------------------------------------------------------ positions
def load_motions(sequences: Iterable[Sequence], slots: tuple[int, ...] | None = None) -> list[Motion]:
    """Positions of several sequences: all 32 slots of the files, or only `slots` (`H36M_SLOTS`: the 17 that move).

    Frames in which a moving joint is not finite are dropped, with one warning.

    Raises UserError, naming the file, if it cannot be read, has another shape or no finite frame, or if bodies have an
    implausible size, as in an h5 in metres or an npz in mm.
    """
    motions, dropped = [], Counter()
    for sequence in sequences:
        positions = _positions_mm(sequence)
        finite = np.isfinite(positions[:, H36M_SLOTS]).all(axis=(1, 2))
        frames = np.flatnonzero(finite)
        if len(frames) < len(positions):
            dropped[sequence.label] = len(positions) - len(frames)
            positions = positions[frames]
        require_millimetres(positions, f"{sequence.path}: {sequence.label}", factor=_factor(sequence))
        motions.append(Motion(sequence, positions if slots is None else positions[:, slots], frames))
    if dropped:
        names = ", ".join(dropped) if len(dropped) <= 3 else f"{next(iter(dropped))} and others"
        warn(f"{dropped.total()} frames with NaN dropped, in {len(dropped)} of {len(motions)} sequences: {names}")
    return motions


def require_millimetres(positions: np.ndarray, where: str, factor: float = 1.0) -> None:
    """Raise UserError if finite positions (F, 32, 3) can't be people in mm.

    `factor`: factor already applied to the numbers of the file, so that the message can quote those.
    """
    if not len(positions):
        raise UserError(f"{where} has no frame without NaN")
    moving = positions[:, H36M_SLOTS]
    extent = float(np.median(np.linalg.norm(moving.max(axis=1) - moving.min(axis=1), axis=-1)))
    low, high = BODY_EXTENT_MM
    if low <= extent <= high:
        return
    guess = next((unit for unit, scale in (("metres", 1000), ("cm", 10)) if low <= extent * scale <= high), None)
    seems = f"these are {guess}" if guess else "these are mm" if low <= extent / factor <= high else "the unit is wrong"
    unit = "metres" if factor != 1 else "mm"
    raise UserError(f"{where}: a body measures {extent / factor:.4g}, expected {unit}: {seems}; rescale them")


def write_positions(path: str | Path, positions: np.ndarray) -> None:
    """Write (F, 32, 3) positions, mm, world frame, in the h5 format: dataset `3D_positions`, 96 × F float32."""
    flat = np.asarray(positions, dtype=np.float32).reshape(-1, JOINTS * 3)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file["3D_positions"] = np.ascontiguousarray(flat.T)


def _positions_mm(sequence: Sequence) -> np.ndarray:
    """(frames, 32, 3) float32, mm."""
    if sequence.stored is not None:
        return sequence.stored.astype(np.float32) * np.float32(_factor(sequence))
    return _read_h5(sequence.path)


def _factor(sequence: Sequence) -> float:
    """Factor from the unit of the file to mm."""
    return 1.0 if sequence.stored is None else 1000.0


def _read_h5(path: Path, shape_only: bool = False) -> np.ndarray | int:
    """(frames, 32, 3) float32 of an h5 file, or its number of frames."""
    columns = JOINTS * 3
    try:
        with h5py.File(path, "r") as file:
            if "3D_positions" not in file:
                raise UserError(f"{path}: no dataset 3D_positions; it has {', '.join(member_names(file)) or 'nothing'}")
            shape = require_dataset(file, "3D_positions").shape
            # 96 × 96 is ambiguous and read as the format defines it: one column per frame.
            if len(shape) != 2 or columns not in shape or 0 in shape:
                raise UserError(f"{path}: 3D_positions has shape {shape}, not {columns} × frames")
            across = shape[0] == columns
            if shape_only:
                return shape[1] if across else shape[0]
            values = numeric_dataset(file, "3D_positions", np.float32)
    except HDF5_ERRORS as error:
        raise UserError(f"{path}: not a readable HDF5 file of positions ({error})") from None
    return np.ascontiguousarray(values.T if across else values).reshape(-1, JOINTS, 3)


# ------------------------------------------------------------------------------------------ 2D and frames
def detection_path(files: Human36mFiles, sequence: Sequence, camera_name: str) -> Path | None:
    """The file with a sequence's detected 2D poses in one camera, or None. Names have a space or an underscore."""
    folder = files.data_dir / f"S{sequence.subject}" / DETECTIONS_FOLDER
    spellings = [sequence.action, *(theirs for theirs, ours in OFFICIAL_SPELLINGS.items() if ours == sequence.action)]
    names = [sequence.name.replace(sequence.action, spelling, 1) for spelling in spellings]
    paths = [folder / f"{name.replace(' ', gap)}.{camera_name}.h5" for name in names for gap in " _"]
    return next((path for path in paths if path.is_file()), None)


def load_detections(files: Human36mFiles, sequence: Sequence, camera_name: str) -> np.ndarray:
    """Detected 2D poses (frames, 16, 2) float32, MPII order, px of the camera's image, for all frames of the file
    (index with `motion.frames` to match a motion).

    Raises UserError for a missing file, another shape or another number of frames.
    """
    path = detection_path(files, sequence, camera_name)
    if path is None:
        known = " (one of its videos is damaged)" if (sequence.subject, sequence.action) == DAMAGED_VIDEO else ""
        expected = files.data_dir / f"S{sequence.subject}" / DETECTIONS_FOLDER / f"{sequence.name}.{camera_name}.h5"
        raise UserError(
            f"--use_hg: {expected}: no detected 2D poses of {sequence.label} in camera {camera_name}{known}; "
            f"{DETECTIONS_HOW_TO_GET}"
        )
    try:
        with h5py.File(path, "r") as file:
            poses = numeric_dataset(file, "poses", np.float32)
    except HDF5_ERRORS as error:
        raise UserError(f"{path}: no readable dataset poses in this file ({error})") from None
    if poses.shape != (sequence.frames, len(MPII), 2):
        raise UserError(f"{path}: poses has shape {poses.shape}, not {sequence.frames} frames × {len(MPII)} × 2")
    return poses


def frame_path(images_dir: str | Path, subject: int, name: str, camera_name: str, frame: int) -> Path:
    """`<images>/S9/Walking 1/54138969/000001.jpg`. Frames are numbered from 1: frame i + 1 shows pose i of the file."""
    return Path(images_dir) / f"S{subject}" / name / camera_name / f"{frame:06d}.jpg"
