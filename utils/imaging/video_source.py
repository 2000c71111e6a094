"""Video files, decoded frame by frame with PyAV (FFmpeg)."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, fields
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Interpolation

from utils.files.sizes import max_pixels
from utils.imaging.base_source import FrameSource
from utils.imaging.images import MIN_IMAGE_SIDE, ImageError, too_many_pixels
from utils.imaging.video_index import VideoIndex, read_index
from utils.osutils import UserError, counted, warn


@dataclass(frozen=True)
class FrameRange:
    """Which frames of a video to read; all by default.

    Attributes:
        start, end: seconds from the first frame; `end` is exclusive, None for the end of the video.
        every: step between frames.
        max_frames: maximum number of frames; None for no limit.

    Raises UserError if `end` is not after `start`.
    """

    start: float = 0.0
    end: float | None = None
    every: int = 1
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.end is not None and self.end <= self.start:
            raise UserError(f"--end {self.end:g}: expected a time after --start {self.start:g}, in seconds")

    def given(self, *names: str) -> str:
        """The first of these options (of all by default) that differs from its default, as "--name value"; else ""."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        return next((f"--{name} {value:g}" for name, value in values.items() if not names or name in names), "")

    def of(self, times: np.ndarray) -> np.ndarray:
        """Frame numbers (K,) in this range, for the timestamps (N,) of all frames in seconds."""
        inside = times >= self.start - 1e-6
        if self.end is not None:
            inside &= times < self.end - 1e-6
        return np.flatnonzero(inside)[:: self.every][: self.max_frames]


class VideoSource(FrameSource):
    """The frames of a video file, named `<stem>/<6-digit frame number>`, counted from 0 in the whole file.

    Frames are rotated upright according to the file's metadata.

    Attributes:
        fps: average frames per second of the file; 25 if unknown.
        size: after rotation, and after `shrunk`.
        times: (N,) timestamps of all frames of the file, in seconds from the first.
        wanted: (K,) numbers of the frames to read, ascending.
    """

    kind = "video"

    def __init__(self, root: Path, index: VideoIndex, size: tuple[int, int], frames: FrameRange | None = None) -> None:
        super().__init__(root, index.fps, size)
        self._index = index
        missing = np.arange(1, index.declared - len(index) + 1) / index.fps
        self.times = np.concatenate([index.times, (index.times[-1] if len(index) else 0) + missing])
        self.wanted = (frames or FrameRange()).of(self.times)
        self._warned = self._shrunk = False

    @property
    def start(self) -> float:
        """Container timestamp of the first frame in seconds; audio uses the same clock."""
        return self._index.start

    def time(self, name: str) -> float:
        return float(self.times[_number(name)])

    def __len__(self) -> int:
        return len(self.wanted)

    def names(self) -> list[str]:
        """Names of the frames to read; a damaged file may lack some."""
        return [self.frame_name(number) for number in self.wanted]

    def with_names(self, names: Sequence[str]) -> "VideoSource":
        """The same source restricted to these frames; unknown names are ignored."""
        source = copy(self)
        source.wanted = np.intersect1d([_number(name) for name in names], self.wanted).astype(int)
        return source

    def shrunk(self, size: tuple[int, int]) -> "VideoSource":
        """The same source with frames of `size` (width, height) px, shrunk by averaging while they become RGB.

        That takes a third of the time of shrinking them afterwards.
        """
        source = copy(self)
        source.size, source._shrunk = size, size != self.size
        return source

    def __iter__(self) -> Iterator[tuple[str, np.ndarray | ImageError]]:
        """Yield (name, (H, W, 3) uint8 RGB); warn once, at the end, if frames are missing."""
        wanted = set(self.wanted.tolist())
        given, number = 0, -1
        for number, frame in self._decoded(min(wanted)) if wanted else ():
            if number in wanted:
                given += 1
                yield self.frame_name(number), _upright(frame, self.size if self._shrunk else None)
            if number >= self.wanted[-1]:
                break
        if given < len(wanted) and not self._warned:
            self._warned = True
            lost = f"{counted(len(wanted) - given, 'frame')} of {self.root} can't be decoded, skipped"
            early = f"{self.root} ends early: it declares {len(self.times)} frames, {number + 1} were readable"
            warn(early if number < self.wanted[-1] else lost)

    def _decoded(self, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, starting at or before `first`."""
        key = self._index.key_before(first)
        frames = self._decoded_from(key)
        head = next(frames, None)
        if key is not None and (head is None or head[0] > first):  # seeking was not accurate
            yield from self._decoded_from(None)
        elif head is not None:
            yield head
            yield from frames

    def _decoded_from(self, stamp: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, after seeking to a timestamp if given; none if the position is unknown then."""
        with av.open(str(self.root)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            _limit(stream)
            if stamp is not None:
                container.seek(stamp, stream=stream)
            number = -1 if stamp is None else None
            for frame in _frames(container, stream):
                known = self._index.number(frame.pts)
                if number is None and known is None:
                    return
                number = known if number is None or (known is not None and known > number) else number + 1
                yield number, frame


def open_video(path: Path, option: str, frames: FrameRange | None = None) -> VideoSource:
    """Raises UserError, naming `option`, for an empty file, no video, no readable frame, tiny frames, and none in the
    range."""
    if path.stat().st_size == 0:
        raise UserError(f"{option} {path}: empty file, not a video")
    try:
        index = read_index(path)
    except (FFmpegError, ValueError) as error:
        raise UserError(
            f"{option} {path}: not a video that FFmpeg can open (damaged, cut off, or an unknown codec); re-encode it, "
            "for example as H.264 in .mp4"
        ) from error
    if fault := too_many_pixels(*index.size):
        raise UserError(f"{option} {path}: frames of {fault}")
    size = _first_size(path) if len(index) else None
    if size is None:
        raise UserError(f"{option} {path}: a video without a readable frame; re-encode it")
    if min(size) < MIN_IMAGE_SIDE:
        raise UserError(f"{option} {path}: frames of {size[0]} × {size[1]} px are too small to show a person")
    source = VideoSource(path, index, size, frames)
    if not len(source):
        length = source.times[-1] + 1 / source.fps
        raise UserError(f"--start {frames.start:g}: {path} has no frame after that; its length is {length:.6g} s")
    return source


def _first_size(path: Path) -> tuple[int, int] | None:
    """(width, height) px of the first readable frame after rotation; None without one."""
    with av.open(str(path)) as container:
        _limit(container.streams.video[0])
        for frame in _frames(container, container.streams.video[0]):
            return (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)
    return None


def _limit(stream: av.VideoStream) -> None:
    """Let the decoder refuse frames of more than `max_pixels`: those of a damaged file change their size."""
    stream.codec_context.options = {"max_pixels": str(max_pixels())}


def _frames(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """All readable frames; damaged packets are skipped."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        yield from frames


def _upright(frame: av.VideoFrame, size: tuple[int, int] | None) -> np.ndarray:
    """(H, W, 3) uint8 RGB, rotated according to the metadata (`rotation`: degrees counterclockwise), in this size."""
    scaling = {}
    if size:
        width, height = size[::-1] if frame.rotation % 180 else size
        scaling = {"width": width, "height": height, "interpolation": Interpolation.AREA}
    image = frame.to_ndarray(format="rgb24", **scaling)
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))


def _number(name: str) -> int:
    return int(name.rpartition("/")[2])
