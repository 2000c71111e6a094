"""Reader of HumanEva-I (Sigal, Balan, Black, IJCV 2010): frames of videos with 2D truth, as people in clips.

* videos `<data_dir>/S1/Image_Data/Walking_1_(C1).avi`;
* truth `<data_dir>/data_2d_humaneva15_gt.npz`, as public scripts write it: `positions_2d[subject][action]` is a list
  over three cameras of (T, 15, 2) px of 640 × 480, subjects "Train/S1" and "Validate/S1", actions "Walking 1 chunk0";
* the frame of its video at which a chunk begins: a table (`read_sync`), or the data set's `Sync_Data/*.ofs`.

The truth does not tell at which frame a chunk begins. A clip is placed only if this is known: from a row of the table,
or from an OFS file if the chunk is a whole range of the data set (`eva_ranges`), or the action's only chunk, which
covers the video from the file's frame to its end.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stacked_hourglass.annotations.eva_ranges import range_of
from stacked_hourglass.annotations.people import People, approximate_head_sizes, crop_about_joints
from utils.human36m.object_npz import read_object_npz
from utils.osutils import UserError, counted, first_few, inform, warn
from utils.transform import EVA

TRUTH = "data_2d_humaneva15_gt.npz"
SYNC = "sync.csv"
COLUMNS = ("subject", "action", "chunk", "camera", "start")
EVA_CAMERAS = 3
SIZE = (640, 480)  # px, of the frames
DOWNLOAD = (
    "register at http://humaneva.is.tue.mpg.de, unpack HumanEva-I there, and make the npz by the public script "
    "prepare_data_humaneva.py (15 joints); --data_dir sample needs no download"
)
_SUBJECT, _ACTION = re.compile(r"(Train|Validate)/(S\d+)"), re.compile(r"(.+) chunk(\d+)")


class Place(NamedTuple):
    """One chunk in one camera: subject "S1", action "Walking 1", chunk from 0, camera from 1."""

    subject: str
    action: str
    chunk: int
    camera: int


@dataclass(frozen=True, eq=False)
class EvaClip:
    """A chunk seen by a camera.

    Attributes:
        part: "Train" or "Validate".
        place: subject, action, chunk and camera.
        joints: (T, 15, 2) px, order `EVA`.
        video: its file.
        start: frame of the video, from 0, that shows the first pose; None if unknown.
    """

    part: str
    place: Place
    joints: np.ndarray
    video: Path
    start: int | None = None

    def __str__(self) -> str:
        return _name(self.part, self.place)


def _name(part: str, place: Place) -> str:
    return f"{part}/{place.subject} {place.action} chunk{place.chunk} C{place.camera}"


# ------------------------------------------------------------------------------------------ the files
def require_eva_folder(data_dirs: Sequence[str | Path]) -> None:
    """Raise UserError unless there is one folder with the truth in it. Imports no torch."""
    if len(data_dirs) > 1:
        raise UserError(f"--data_dir: {len(data_dirs)} folders; hourglass_eva takes one, of HumanEva-I")
    path = Path(data_dirs[0], TRUTH)
    if not path.is_file():
        raise UserError(f"--data_dir {data_dirs[0]}: {path} does not exist; {DOWNLOAD}")


def read_clips(data_dir: str | Path) -> list[EvaClip]:
    """All clips of the truth, without starts. Raises UserError for a file that is missing or malformed."""
    path = Path(data_dir, TRUTH)
    require_eva_folder([data_dir])
    subjects = read_object_npz(path, "positions_2d")
    if not isinstance(subjects, dict) or not subjects:
        raise UserError(f"{path}: positions_2d is not subject → action → cameras")
    clips = []
    for name, actions in subjects.items():
        match = _SUBJECT.fullmatch(str(name))
        if not match or not isinstance(actions, dict):
            raise UserError(f"{path}: {name!r} is not a subject with actions; expected Train/S1, Validate/S1 and so on")
        for action, cameras in actions.items():
            clips += _cameras_of(path, Path(data_dir), match[1], match[2], str(action), cameras)
    return clips


def _cameras_of(path: Path, data_dir: Path, part: str, subject: str, name: str, cameras: object) -> list[EvaClip]:
    where, match = f"{path}: {part}/{subject} {name!r}", _ACTION.fullmatch(name)
    if not match:
        raise UserError(f"{where}: expected an action with its chunk, such as 'Walking 1 chunk0'")
    if not isinstance(cameras, list | tuple | np.ndarray) or len(cameras) != EVA_CAMERAS:
        found = f"{len(cameras)} cameras" if isinstance(cameras, list | tuple | np.ndarray) else type(cameras).__name__
        raise UserError(f"{where} has {found}; expected {EVA_CAMERAS}, C1 to C{EVA_CAMERAS}")
    clips = []
    for number, joints in enumerate(map(np.asarray, cameras), start=1):
        if joints.ndim != 3 or joints.shape[1:] != (len(EVA), 2) or joints.dtype.kind != "f" or not len(joints):
            shape = " × ".join(map(str, joints.shape)) or joints.dtype
            raise UserError(f"{where}, camera {number}: {shape}; expected frames × {len(EVA)} × 2 px: give {TRUTH}")
        video = data_dir / subject / "Image_Data" / f"{match[1].replace(' ', '_')}_(C{number}).avi"
        place = Place(subject, match[1], int(match[2]), number)
        clips.append(EvaClip(part, place, joints.astype(np.float32), video))
    lengths = [len(clip.joints) for clip in clips]
    if len(set(lengths)) > 1:
        raise UserError(f"{where}: its cameras have {', '.join(map(str, lengths))} frames; expected equal numbers")
    return clips


def read_sync(path: str | Path) -> dict[tuple[str, Place], int]:
    """A table of starts: (part, place) -> frame of the video, from 0, that shows the chunk's first pose.

    A CSV file with the columns subject, action, chunk, camera, start, one row for a chunk in a camera:
    `Train/S1,Walking 1,0,C1,671`. Raises UserError, naming the line, for anything else.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"--sync {path}: not a readable table ({error})") from None
    starts = {}
    for number, row in enumerate(rows, start=2):
        values = [str(row.get(name) or "").strip() for name in COLUMNS]
        subject, camera = _SUBJECT.fullmatch(values[0]), re.fullmatch(r"C?([1-9])", values[3])
        if not subject or not camera or not values[1] or not (values[2].isdecimal() and values[4].isdecimal()):
            raise UserError(
                f"--sync {path}: line {number} is {','.join(values)}; expected the columns {','.join(COLUMNS)}, such "
                "as Train/S1,Walking 1,0,C1,671"
            )
        starts[subject[1], Place(subject[2], values[1], int(values[2]), int(camera[1]))] = int(values[4])
    if not starts:
        raise UserError(f"--sync {path}: no row; expected the columns {','.join(COLUMNS)}")
    return starts


def read_ofs(path: Path) -> int:
    """The first frame, from 0, that an OFS file synchronises: its first line, which counts from 1.

    The other two lines are the motion capture's frame and the ratio of rates. Raises UserError for a malformed file.
    """
    try:
        numbers = [float(text) for text in path.read_text(encoding="ascii").split()]
        first = round(numbers[0]) - 1
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise UserError(f"{path}: not three numbers, one per line ({error})") from None
    if len(numbers) != 3 or first < 0:
        raise UserError(f"{path}: expected three numbers, one per line, the first of them a frame from 1")
    return first


# ------------------------------------------------------------------------------------------ placing clips
def place_clips(
    clips: Sequence[EvaClip],
    starts: Mapping[tuple[str, Place], int],
    count_frames: Callable[[Path], int],
) -> tuple[list[EvaClip], dict[str, list[EvaClip]]]:
    """The clips whose start is known, with it; and the others, by the reason.

    Raises UserError for a row of the table that matches no clip, and for a clip that would exceed its video.
    """
    known = {(clip.part, clip.place) for clip in clips}
    if strange := next((key for key in starts if key not in known), None):
        raise UserError(f"--sync: {_name(*strange)} is not in {TRUTH}")
    chunks = Counter((clip.place.subject, clip.place.action, clip.place.camera) for clip in clips)
    placed, left_out, frames = [], defaultdict(list), {}
    for clip in clips:
        if not clip.video.is_file():
            left_out["no video"].append(clip)
            continue
        if clip.video not in frames:
            frames[clip.video] = count_frames(clip.video)
        start, fault = _start(clip, starts, frames[clip.video], chunks)
        if fault:
            left_out[fault].append(clip)
        else:
            placed.append(EvaClip(clip.part, clip.place, clip.joints, clip.video, start))
    return placed, dict(left_out)


def _start(
    clip: EvaClip, starts: Mapping[tuple[str, Place], int], frames: int, chunks: Mapping[tuple[str, str, int], int]
) -> tuple[int | None, str]:
    """The clip's first frame, or None and the reason."""
    place, length, start = clip.place, len(clip.joints), starts.get((clip.part, clip.place))
    if start is not None:
        _require_frames(clip, start, frames, "--sync")
        return start, ""
    ofs = clip.video.parent.parent / "Sync_Data" / f"{clip.video.stem}.ofs"
    if not ofs.is_file():
        return None, "no start in --sync, no OFS file"
    first, whole = read_ofs(ofs), range_of(clip.part, place.subject, place.action)
    if length == len(whole):
        _require_frames(clip, first + whole.start, frames, str(ofs))
        return first + whole.start, ""
    if chunks[place.subject, place.action, place.camera] > 1:
        return None, "several chunks, of which an OFS file does not tell the starts: give --sync"
    if first + length != frames:
        return None, "does not cover the video from the OFS file's frame to its end: give --sync"
    return first, ""


def _require_frames(clip: EvaClip, start: int, frames: int, source: str) -> None:
    """Raise UserError if the video has too few frames for a clip that begins at `start`, as `source` says."""
    length = len(clip.joints)
    if start + length > frames:
        raise UserError(
            f"{source}: {clip} has {length} poses from frame {start} on, and {clip.video} has {frames} frames; the "
            "start is wrong, or the video is another one"
        )


def placement_lines(placed: Sequence[EvaClip], left_out: Mapping[str, Sequence[EvaClip]]) -> list[str]:
    """A line on the clips that are placed, and one per reason on those that are left out."""
    poses = sum(len(clip.joints) for clip in placed)
    lines = [f"HumanEva-I: {counted(len(placed), 'clip')} with {poses:,} frames placed in their videos"]
    for reason, clips in left_out.items():
        lines.append(f"{counted(len(clips), 'clip')} left out, {reason}: {first_few(list(map(str, clips)), ',', 3)}")
    return lines


def find_clips(data_dir: str | Path, sync: str | Path | None = None) -> tuple[list[EvaClip], dict[str, list[EvaClip]]]:
    """`place_clips` of a folder; without `sync`, with its `sync.csv` if there is one. Raises UserError."""
    from utils.imaging.video_source import open_video  # noqa: PLC0415 - slow to import

    table = sync or (Path(data_dir, SYNC) if Path(data_dir, SYNC).is_file() else None)
    starts = read_sync(table) if table else {}
    return place_clips(read_clips(data_dir), starts, lambda path: len(open_video(path, "--data_dir").times))


# ------------------------------------------------------------------------------------------ people
def load_eva(
    data_dir: str | Path, pictures: Callable[[Sequence[EvaClip]], list[list[Path]]], sync: str | Path | None = None
) -> tuple[People, People]:
    """(training, validation): a person for each frame, in clips.

    Joints that are NaN or outside the frame count as not annotated. The crop is about the joints; `head_size` is 0.54 ×
    the distance from thorax to head, about what MPII's reference length would be.

    Args:
        pictures: the files of the frames of each clip; called once, with all placed clips.
        sync: the table of starts.

    Logs which clips are placed and which are left out. Raises UserError as the readers do, and if a part has no clip.
    """
    placed, left_out = find_clips(data_dir, sync)
    first, *others = placement_lines(placed, left_out)
    inform(first)
    for line in others:
        warn(line)
    for part in ("Train", "Validate"):
        if not any(clip.part == part for clip in placed):
            reasons = "; ".join(left_out) or f"{TRUTH} has no {part} subject"
            raise UserError(f"--data_dir {data_dir}: no clip of {part} can be placed ({reasons}); see docs/data.md")
    people = _people(placed, [path for files in pictures(placed) for path in files], Path(data_dir, TRUTH))
    trains = np.array([clip.part == "Train" for clip in placed])[people.clip]
    return people.select(trains), people.select(~trains)


def _people(clips: Sequence[EvaClip], files: list[Path], source: Path) -> People:
    joints = np.concatenate([clip.joints for clip in clips])
    inside = (joints >= -0.5) & (joints < np.array(SIZE) - 0.5)
    annotated = inside.all(axis=2)  # False for NaN
    joints = np.where(annotated[..., None], joints, 0).astype(np.float32)
    center, side = crop_about_joints(joints, annotated)
    people = People(
        skeleton=EVA,
        image_paths=files,
        joints=joints,
        annotated=annotated,
        visible=annotated,
        center=center.astype(np.float32),
        side=side.astype(np.float32),
        head_size=approximate_head_sizes(joints, annotated, EVA),
        source=(source,),
        clip=np.repeat(np.arange(len(clips)), [len(clip.joints) for clip in clips]),
        frame=np.concatenate([clip.start + np.arange(len(clip.joints)) for clip in clips]),
    )
    spanned = side > 0
    if count := int((~spanned).sum()):
        warn(f"{count} of {len(people)} frames dropped: fewer than two joints in the picture")
    return people.select(spanned)
