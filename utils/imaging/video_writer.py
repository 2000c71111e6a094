"""Writes videos that browsers can play, frame by frame.

The format is WebM with VP8, which OpenCV's wheels can encode and every current browser plays. The wheels have no H.264
or AV1 encoder. Their VP9 encoder takes three times as long for files a third smaller. There is no audio.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from utils.osutils import UserError, atomic_path

SUFFIX = ".webm"
CODEC = "VP80"
COUNT_TOLERANCE = 2  # frames; the container holds a duration


@contextmanager
def write_video(path: str | Path, fps: float, size: tuple[int, int]) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that writes the next frame, (H, W, 3) uint8 RGB; the file appears when complete.

        with write_video("out.webm", 25, (640, 480)) as write:
            write(frame)

    Args:
        path: the file, with suffix .webm.
        fps: frames per second.
        size: (width, height) px, both even, because of 2 × 2 chroma subsampling.

    Raises ValueError for another suffix, odd sides, or a frame of another shape; UserError if this build of OpenCV
    can't encode VP8, or if the file is truncated (disk full).
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX or any(side % 2 for side in size):
        raise ValueError(f"{path}, {size[0]} × {size[1]} px: videos end in {SUFFIX} and have even sides")
    with atomic_path(path) as temporary:
        writer, frames = _open_writer(temporary, fps, size), 0

        def write(frame: np.ndarray) -> None:
            nonlocal frames
            if frame.shape != (size[1], size[0], 3) or frame.dtype != np.uint8:
                raise ValueError(f"a frame is {frame.dtype} {frame.shape}, not uint8 {(size[1], size[0], 3)}")
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            frames += 1

        try:
            yield write
        finally:
            writer.release()
        if not _is_whole(temporary, frames):
            raise UserError(f"{path}: the video could not be written completely; is the disk full?")


def _open_writer(path: Path, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    with _quiet_stderr():
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*CODEC), fps, size)
    if not writer.isOpened():
        raise UserError(
            f"{path.name}: this OpenCV {cv2.__version__} can't encode VP8; the wheels of opencv-python-headless can"
        )
    return writer


def _is_whole(path: Path, frames: int) -> bool:
    with _quiet_stderr():
        capture = cv2.VideoCapture(str(path))
    try:
        return frames > 0 and capture.read()[0] and capture.get(cv2.CAP_PROP_FRAME_COUNT) >= frames - COUNT_TOLERANCE
    finally:
        capture.release()


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silence stderr, where OpenCV reports its codec search at every log level."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
