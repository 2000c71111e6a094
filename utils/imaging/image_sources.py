"""Sources of images without annotations: a folder of photos, one photo, a video file, or a camera.

Iterating over an `ImageSource` yields `(name, image)`. For an unreadable photo it yields the `ImageError` instead, so
that one bad file does not stop a run. Videos are streamed: only one frame is in memory.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from utils.compute.stop_signal import StopSignal
from utils.files.inside import fault_of_file, fault_of_name
from utils.imaging.images import IMAGE_SUFFIXES, MIN_IMAGE_SIDE, ImageError, read_image
from utils.imaging.source_paths import is_camera, require_path
from utils.osutils import UserError, counted, first_few, warn

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".gif")

# These containers store a duration instead of a frame count; the rounded count is off by a frame or two.
_COUNT_TOLERANCE = {".mkv": 2, ".webm": 2}

# Read by OpenCV when it opens its first video. One line of ours replaces FFmpeg's messages.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class ImageSource:
    """Images by name; names are unique within a source.

    Attributes:
        kind: "folder", "photo", "video" or "camera".
        root: the folder or file.
    """

    kind: str

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """All names, in the order of iteration."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.names())

    def __iter__(self) -> Iterator[tuple[str, np.ndarray | ImageError]]:
        """Yield (name, (H, W, 3) uint8 RGB), or (name, ImageError) for a photo that can't be read."""
        raise NotImplementedError


class PhotoSource(ImageSource):
    """A folder of photos, read recursively, or a single photo.

    Names are paths relative to the folder with forward slashes, in natural order ("2.jpg" before "10.jpg"); a single
    photo has its file name.

    Attributes:
        left_out: names of the folder's files without a photo suffix.
    """

    def __init__(self, root: Path, kind: str, folder: Path, names: list[str], left_out: list[str]) -> None:
        super().__init__(root)
        self.kind = kind
        self.left_out = left_out
        self._folder = folder
        self._names = names

    def names(self) -> list[str]:
        return list(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def path(self, name: str) -> Path:
        """The file of an image."""
        return self._folder / name

    def with_names(self, names: list[str]) -> "PhotoSource":
        """The same source restricted to these photos."""
        return PhotoSource(self.root, self.kind, self._folder, names, self.left_out)

    def read(self, name: str) -> np.ndarray | ImageError:
        """One image, (H, W, 3) uint8 RGB, or the ImageError if it can't be read."""
        try:
            return read_image(self.path(name))
        except ImageError as error:
            return error

    def __iter__(self) -> Iterator[tuple[str, np.ndarray | ImageError]]:
        return ((name, self.read(name)) for name in self._names)


class VideoSource(ImageSource):
    """The frames of a video file, named `<stem>/<6-digit frame number>`, counted from 0.

    Frames are rotated upright according to the file's metadata.

    Attributes:
        fps: frames per second; 25 if the file does not say.
        frame_count: count or estimate from the container; 0 if unknown. A damaged file has fewer.
        size: (width, height) px of a frame, after rotation.
        max_frames: stop after this many frames; None for all.
    """

    kind = "video"

    def __init__(
        self, root: Path, fps: float, frame_count: int, size: tuple[int, int], max_frames: int | None = None
    ) -> None:
        super().__init__(root)
        self.fps = fps
        self.frame_count = frame_count
        self.size = size
        self.max_frames = max_frames
        self._warned = False

    def frame_name(self, number: int) -> str:
        return f"{self.root.stem}/{number:06d}"

    def __len__(self) -> int:
        return self.frame_count if self.max_frames is None else min(self.frame_count, self.max_frames)

    def names(self) -> list[str]:
        """Names of `len(self)` frames, which is an estimate until the video has been read."""
        return [self.frame_name(number) for number in range(len(self))]

    def __iter__(self) -> Iterator[tuple[str, np.ndarray | ImageError]]:
        """Yield (name, (H, W, 3) uint8 RGB); warn once, at the end, if frames are missing."""
        capture = self._open()
        number = 0
        try:
            while number != self.max_frames and (frame := _next_frame(capture)) is not None:
                yield self.frame_name(number), frame
                number += 1
        finally:
            capture.release()
        if number != self.max_frames and (fault := self._fault(number)) and not self._warned:
            self._warned = True
            warn(fault)

    def _open(self) -> cv2.VideoCapture:
        return _open_capture(self.root)

    def _fault(self, number: int) -> str | None:
        """A warning if the video ended too early, after `number` frames; else None."""
        if number + _COUNT_TOLERANCE.get(self.root.suffix.lower(), 0) >= self.frame_count:
            return None
        return f"{self.root} ends early: it declares {self.frame_count} frames, {number} were readable"


class CameraSource(VideoSource):
    """Live frames of a camera, named `camera_<index>/<6-digit number>`, until Ctrl-C or `max_frames`.

    Iterate in the main thread. A consumer slower than the camera misses frames; after the iteration `fps` is the
    measured rate.
    """

    kind = "camera"

    def __init__(self, index: int, fps: float, size: tuple[int, int], max_frames: int | None = None) -> None:
        super().__init__(Path(f"camera_{index}"), fps, 0, size, max_frames)
        self._index = index

    def __iter__(self) -> Iterator[tuple[str, np.ndarray | ImageError]]:
        with StopSignal() as stop:
            start, shown = time.monotonic(), 0
            for item in super().__iter__():
                yield item
                shown += 1
                if stop.requested:
                    break
            self.fps = shown / max(time.monotonic() - start, 1e-6) if shown else self.fps

    def _open(self) -> cv2.VideoCapture:
        return _open_capture(self._index)

    def _fault(self, number: int) -> str | None:
        return f"camera {self._index} delivered no more frames after {counted(number, 'frame')}"


def open_source(
    path: str | Path, option: str = "--data_dir", max_frames: int | None = None, camera: bool = False
) -> ImageSource:
    """Open a folder of photos, a photo, or a video, depending on `path`.

    Args:
        max_frames: maximum number of frames of a video or camera.
        camera: treat a bare number that is no existing path as a camera index.

    Raises UserError, naming `option`, if the path does not exist, a folder has no image, a file is neither photo nor
    video, a video can't be decoded, or `max_frames` is given for photos. A single photo that can't be decoded yields an
    ImageError on iteration.
    """
    path = Path(path)
    source = _open_camera(int(str(path)), option) if camera and is_camera(path) else _open(path, option)
    if isinstance(source, VideoSource):
        source.max_frames = max_frames
    elif max_frames is not None:
        raise UserError(f"--max_frames {max_frames}: only for a video or a camera; {option} {path} holds photos")
    return source


def _open(path: Path, option: str) -> ImageSource:
    if path.is_dir():
        return _open_folder(path, option)
    require_path(path, option)
    if fault := fault_of_file(path):
        raise UserError(f"{option} {path}: {fault}")
    if fault := fault_of_name(path.name) or fault_of_name(path.stem):
        raise UserError(f"{option} {path}: its name, by which images and frames are called, {fault}; rename it")
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return _open_video(path, option)
    if suffix in IMAGE_SUFFIXES:
        return PhotoSource(path, "photo", path.parent, [path.name], [])
    raise UserError(
        f"{option} {path}: not a photo or video by its suffix; photos end in {_join(IMAGE_SUFFIXES)}, "
        f"videos in {_join(VIDEO_SUFFIXES)}"
    )


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Sort key that puts "im2.jpg" before "im10.jpg"."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part.lower() for index, part in enumerate(parts)], name


def _open_folder(folder: Path, option: str) -> PhotoSource:
    files = _usable(list(_walk(folder)), folder)
    names = [name for name in files if name.lower().endswith(IMAGE_SUFFIXES)]
    if names:
        left_out = sorted(set(files) - set(names), key=natural_key)
        return PhotoSource(folder, "folder", folder, sorted(names, key=natural_key), left_out)
    held = f"no image among its {counted(len(files), 'file')}" if files else "the folder is empty"
    videos = sorted((name for name in files if name.lower().endswith(VIDEO_SUFFIXES)), key=natural_key)
    hint = f"; for a video give the file itself, e.g. {folder / videos[0]}" if videos else ""
    raise UserError(f"{option} {folder}: {held}; images end in {_join(IMAGE_SUFFIXES)}{hint}")


def _usable(names: list[str], folder: Path) -> list[str]:
    """The names of regular files that can be written and printed; one warning counts the others."""
    faults = {name: fault for name in names if (fault := fault_of_name(name) or fault_of_file(folder / name))}
    if faults:
        shown = first_few([f"{name!r} {fault}" for name, fault in sorted(faults.items())], ",", shown=3)
        warn(f"{len(faults)} of {counted(len(names), 'file')} of {folder} left out: {shown}")
    return [name for name in names if name not in faults]


def _walk(folder: Path) -> Iterator[str]:
    """Relative names of all files below `folder`, following symbolic links, without hidden files and folders."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link that leads back up, or a second way to the same folder
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        base = Path(parent).relative_to(folder)
        yield from ((base / name).as_posix() for name in files if not name.startswith("."))


def _open_video(path: Path, option: str) -> VideoSource:
    if path.stat().st_size == 0:
        raise UserError(f"{option} {path}: empty file, not a video")
    capture = _open_capture(path)
    try:
        if not capture.isOpened():
            raise UserError(
                f"{option} {path}: not a video that OpenCV can open (damaged, cut off, or an unknown codec); "
                "re-encode it, for example as H.264 in .mp4"
            )
        size = _first_size(capture)
        if size is None:
            raise UserError(f"{option} {path}: a video without a readable frame; re-encode it")
        fps = _frame_rate(capture)
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    if min(size) < MIN_IMAGE_SIDE:
        raise UserError(f"{option} {path}: frames of {size[0]} × {size[1]} px are too small to show a person")
    # Files without timing may report a negative count.
    return VideoSource(path, fps, int(count) if 0 < count < 1e9 else 0, size)


def _open_camera(index: int, option: str) -> CameraSource:
    capture = _open_capture(index)
    try:
        size = _first_size(capture) if capture.isOpened() else None
        if size is None:
            raise UserError(
                f"{option} {index}: no camera with this index responds, and there is no file {index}; cameras count "
                "from 0, and another program may be using it"
            )
        return CameraSource(index, _frame_rate(capture), size)
    finally:
        capture.release()


def _first_size(capture: cv2.VideoCapture) -> tuple[int, int] | None:
    """(width, height) px of the next frame, or None without one."""
    first = _next_frame(capture)
    return None if first is None else (first.shape[1], first.shape[0])


def _frame_rate(capture: cv2.VideoCapture) -> float:
    """Frames per second; 25 for 0, NaN or the time base (up to 90000), as reported for files without timing."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0 < fps <= 1000 else 25.0


def _open_capture(place: Path | int) -> cv2.VideoCapture:
    """Open a file, or the camera with an index."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(place if isinstance(place, int) else str(place))
    finally:
        cv2.utils.logging.setLogLevel(level)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _next_frame(capture: cv2.VideoCapture) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB, or None after the last readable frame."""
    got, frame = capture.read()
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if got and frame is not None else None


def _join(suffixes: tuple[str, ...]) -> str:
    return " ".join(suffixes)
