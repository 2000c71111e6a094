"""Writes videos frame by frame: H.264 .mp4, which every browser and player can play, and .gif for web pages.

H.264 is encoded by libx264, which is part of PyAV's wheels, as 8-bit yuv420p with the index at the start of the file
(faststart), so that playback can begin before the download ends. Colours are tagged as BT.709.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.filter import Graph
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from utils.imaging.sound import Sound, SoundWriter
from utils.osutils import UserError, atomic_path

SUFFIXES = (".mp4", ".gif")
QUALITY = 23  # constant rate factor, libx264's default
PRESET = "veryfast"
TICK = Fraction(1, 90000)  # s, resolution of the timestamps
GIF_TICK = Fraction(1, 100)  # s, fixed by the format
KEY_SECONDS = 2.0  # between key frames

Write = Callable[..., None]


@contextmanager
def write_video(
    path: str | Path, fps: float, size: tuple[int, int], sound: Sound | None = None
) -> Iterator[Callable[..., None]]:
    """Yield `write(frame, time=None)`, which writes a frame, (H, W, 3) uint8 RGB; the file appears when complete.

        with write_video("out.mp4", 25, (640, 480)) as write:
            write(frame)                # at 0 s
            write(next_frame, 0.04)     # s; by default one frame duration after the last

    Args:
        path: the file, .mp4 or .gif. A GIF's palette is computed from all frames, which are kept in memory.
        fps: average frames per second.
        size: (width, height) px; both even for .mp4.
        sound: audio to add; ignored for a GIF.

    Raises ValueError for another suffix, odd sides, a frame of another shape, and times that do not increase;
    UserError if no frame was written, or if the disk is full.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or (suffix == ".mp4" and any(side % 2 for side in size)):
        raise ValueError(
            f"{path}, {size[0]} × {size[1]} px: videos end in {' or '.join(SUFFIXES)}; .mp4 needs even sides"
        )
    with atomic_path(path) as temporary:
        try:
            video = _Mp4(temporary, fps, size, sound) if suffix == ".mp4" else _Gif(temporary, fps, size)
            try:
                yield video.write
                video.finish()
            finally:
                video.close()
        except FFmpegError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise UserError(f"{path}: the video could not be written completely: disk full") from None
        if not video.frames:
            raise UserError(f"{path}: no frame was written, so there is no video")


class _Video:
    """Common part of the two formats: checks, timestamps, closing."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int], tick: Fraction, **options: str) -> None:
        self.frames = 0
        self._fps, self._size, self._tick, self._latest, self._time = fps, size, tick, -1, 0.0
        self._container = av.open(str(path), "w", format=path.suffix[1:].lower(), options=options)

    def write(self, frame: np.ndarray, time: float | None = None) -> None:
        if frame.shape != (self._size[1], self._size[0], 3) or frame.dtype != np.uint8:
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}, not uint8 {(self._size[1], self._size[0], 3)}")
        if time is None:
            time = self._time + 1 / self._fps if self.frames else 0.0
        if self.frames and time <= self._time:
            raise ValueError(f"frame {self.frames} at {time} s follows one at {self._time} s")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self._latest = max(round(time / self._tick), self._latest + 1)
        picture.time_base, self._time = self._tick, time
        self._encode(picture)
        self.frames += 1

    def close(self) -> None:
        self._container.close()

    def _encode(self, picture: av.VideoFrame) -> None:
        raise NotImplementedError


class _Mp4(_Video):
    def __init__(self, path: Path, fps: float, size: tuple[int, int], sound: Sound | None) -> None:
        super().__init__(path, fps, size, TICK, movflags="+faststart")
        rate = Fraction(fps).limit_denominator(1001)
        options = {"crf": str(QUALITY), "preset": PRESET}
        self._stream = self._container.add_stream("libx264", rate=rate, options=options)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.gop_size = max(1, round(KEY_SECONDS * fps))
        context = self._stream.codec_context
        context.time_base = TICK
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        self._sound = SoundWriter(sound, self._container) if sound else None

    def _encode(self, picture: av.VideoFrame) -> None:
        time = picture.time
        picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        self._container.mux(self._stream.encode(picture))
        if self._sound:
            self._sound.write_until(time)

    def finish(self) -> None:
        if not self.frames:
            return
        self._container.mux(self._stream.encode(None))
        if self._sound:
            self._sound.write_until(self._time + 1 / self._fps)
            self._sound.finish()


class _Gif(_Video):
    """FFmpeg's palettegen and paletteuse: one palette of 256 colours for all frames."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        super().__init__(path, fps, size, GIF_TICK)
        self._stream = self._container.add_stream("gif", rate=Fraction(fps).limit_denominator(100))
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "pal8"
        self._stream.codec_context.time_base = GIF_TICK
        self._graph = _palette_graph(size)

    def _encode(self, picture: av.VideoFrame) -> None:
        self._graph.push(picture)

    def finish(self) -> None:
        if not self.frames:
            return
        self._graph.push(None)
        while True:
            try:
                picture = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            self._container.mux(self._stream.encode(picture))
        self._container.mux(self._stream.encode(None))


def _palette_graph(size: tuple[int, int]) -> Graph:
    graph = Graph()
    frames = graph.add_buffer(width=size[0], height=size[1], format=av.VideoFormat("rgb24"), time_base=GIF_TICK)
    split, palette = graph.add("split"), graph.add("palettegen")
    paint, sink = graph.add("paletteuse", "dither=bayer:bayer_scale=4:diff_mode=rectangle"), graph.add("buffersink")
    frames.link_to(split)
    split.link_to(paint, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(paint, 0, 1)
    paint.link_to(sink)
    graph.configure()
    return graph
