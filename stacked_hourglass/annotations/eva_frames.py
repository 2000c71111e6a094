"""HumanEva-I's frames as JPEG files: training reads them in random order, which is slow from a video."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2

from stacked_hourglass.annotations.eva import EvaClip
from utils.compute.cache import cache_folder, key_of
from utils.compute.distributed import ALONE, Processes
from utils.console.progress import progress
from utils.imaging.images import ImageError
from utils.imaging.video_source import open_video
from utils.osutils import UserError, atomic_path, inform

JPEG_QUALITY = 95


def frame_files(clip: EvaClip) -> list[Path]:
    """The path of the JPEG of each frame of a placed clip, existing or not."""
    folder = _folder(clip.video)
    return [folder / f"{clip.start + number:06d}.jpg" for number in range(len(clip.joints))]


def picture_files(clips: Sequence[EvaClip], processes: Processes = ALONE) -> list[list[Path]]:
    """The JPEGs of each clip's frames; missing ones are written. Raises as `extract_frames`.

    With several processes, rank 0 writes; several machines need a common cache.
    """
    processes.on_main(lambda: extract_frames(clips))
    return [frame_files(clip) for clip in clips]


def extract_frames(clips: Iterable[EvaClip]) -> None:
    """Write the missing JPEGs of the clips' frames into the cache; decodes each video once.

    Raises UserError for a video that ends before a clip does.
    """
    wanted = defaultdict(set)
    for clip in clips:
        missing = {path for path in frame_files(clip) if not path.is_file()}
        if missing:
            wanted[clip.video] |= missing
    if not wanted:
        return
    count, folder = sum(map(len, wanted.values())), cache_folder() / "humaneva"
    inform(f"{count:,} frames of {len(wanted)} videos are written to {folder}, once")
    for video, files in progress(wanted.items(), len(wanted), "frames of the videos"):
        _extract(video, files)


def _extract(video: Path, files: set[Path]) -> None:
    left = set(files)
    for name, frame in open_video(video, "--data_dir"):
        path = _folder(video) / f"{name.rpartition('/')[2]}.jpg"
        if path in left and not isinstance(frame, ImageError):
            with atomic_path(path) as temporary:
                if not cv2.imwrite(str(temporary), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
                    raise OSError(f"cannot write {path}")
            left.discard(path)
        if not left:
            return
    raise UserError(f"{video}: {len(left)} annotated frames are unreadable, such as frame {min(left).stem}")


def _folder(video: Path) -> Path:
    """The folder of a video's JPEGs; a new one if the video changes."""
    status = video.stat()
    return cache_folder() / "humaneva" / key_of([str(video.resolve()), f"{status.st_size} {status.st_mtime_ns}"])
