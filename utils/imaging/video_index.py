"""Number and timestamps of the frames of a video file, without decoding.

All packets are demuxed once, which takes about 0.1 s per 1,000 frames. Container headers give no timestamps, and many
give no frame count.
"""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

DEFAULT_FPS = 25.0
MOST_FPS = 1000.0  # a higher value is the time base (up to 90000), as reported for files without timing
RATE_TOLERANCE = 0.01  # relative; beyond it the rate is computed from the timestamps instead
DURATION_TOLERANCE = 2  # frames; container durations are rounded


@dataclass(frozen=True)
class VideoIndex:
    """The N frames of a video stream in display order.

    Attributes:
        stamps: (N,) int64 presentation timestamps in the stream's time base, ascending; empty if missing or ambiguous.
        keys: (K,) int64 timestamps of the key frames, where decoding can start.
        times: (N,) seconds from the first frame.
        start: container timestamp of the first frame in seconds.
        fps: average frames per second; 25 if unknown.
        declared: number of frames according to the container. A damaged file has fewer.
        size: declared width and height in px, before rotation.
    """

    stamps: np.ndarray
    keys: np.ndarray
    times: np.ndarray
    start: float
    fps: float
    declared: int
    size: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.times)

    def number(self, stamp: int | None) -> int | None:
        """Number of the frame with this timestamp; None if there is none."""
        if stamp is None or not len(self.stamps):
            return None
        place = int(np.searchsorted(self.stamps, stamp))
        return place if place < len(self.stamps) and self.stamps[place] == stamp else None

    def key_before(self, number: int) -> int | None:
        """Timestamp of the last key frame at or before a frame; None if unknown."""
        if not len(self.stamps) or number >= len(self.stamps):
            return None
        place = int(np.searchsorted(self.keys, self.stamps[number], side="right"))
        return int(self.keys[place - 1]) if place else None


def read_index(path: Path) -> VideoIndex:
    """Raises FFmpegError if the file is no video, ValueError for an unknown codec; an index of length 0 means that it
    has no video stream."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            return VideoIndex(*(np.zeros(0, np.int64),) * 2, np.zeros(0), 0.0, DEFAULT_FPS, 0)
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise ValueError("unknown codec")
        packets, unshown = _packets(container, stream)
        said = _frame_rate(stream)
        tick = float(stream.time_base) if stream.time_base else 1 / said
        stamps = np.unique(np.array([stamp for stamp, _ in packets if stamp is not None], np.int64))
        keys = np.unique(np.array([stamp for stamp, is_key in packets if is_key and stamp is not None], np.int64))
        if len(stamps) < len(packets):  # some lack a stamp, or share one
            stamps, keys = stamps[:0], keys[:0]
        times = (stamps - stamps[0]) * tick if len(stamps) else np.arange(len(packets)) / said
        measured = (len(times) - 1) / times[-1] if len(stamps) > 1 else said
        fps = said if abs(measured - said) < RATE_TOLERANCE * said else float(measured)
        start = float(stamps[0]) * tick if len(stamps) else 0.0
        missing = (
            stream.frames - unshown - len(packets) if stream.frames else _by_duration(container, stream, times, fps)
        )
        size = (stream.codec_context.width, stream.codec_context.height)
        return VideoIndex(stamps, keys, times, start, fps, len(packets) + max(missing, 0), size)


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream
) -> tuple[list[tuple[int | None, bool]], int]:
    """(timestamp, is key frame) of each packet that is shown, in file order, and the number of packets that are not."""
    hides_frames = stream.codec_context.name in ("vp8", "libvpx")
    shown, unshown = [], 0
    try:
        for packet in container.demux(stream):
            stamp = packet.dts if packet.pts is None else packet.pts
            if not packet.size and stamp is None:  # the end
                break
            # Not shown: excluded by the edit list, repeated frames of AVI, and VP8's frames for prediction only (RFC
            # 6386, 9.1: bit 4 of the frame tag is show_frame).
            if packet.is_discard or not packet.size or (hides_frames and not bytes(packet)[0] & 0x10):
                unshown += 1
            else:
                shown.append((stamp, packet.is_keyframe))
    except FFmpegError:  # damaged from here on
        pass
    return shown, unshown


def _frame_rate(stream: av.VideoStream) -> float:
    rates = (float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate)
    return next((rate for rate in rates if 0 < rate <= MOST_FPS), DEFAULT_FPS)


def _by_duration(container: av.container.InputContainer, stream: av.VideoStream, times: np.ndarray, fps: float) -> int:
    """Number of missing frames at the end, from the duration, which Matroska and WebM store instead of a count."""
    seconds = _tagged_duration(stream.metadata.get("DURATION", ""))
    if seconds is None and len(container.streams) == 1 and container.duration:
        seconds = container.duration / av.time_base
    missing = 0 if seconds is None or not len(times) else round((seconds - times[-1]) * fps) - 1
    return missing if missing > DURATION_TOLERANCE else 0


def _tagged_duration(text: str) -> float | None:
    """Seconds from Matroska's tag, e.g. "00:01:02.500000000"; None for other text."""
    try:
        hours, minutes, seconds = map(float, text.split(":"))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds
