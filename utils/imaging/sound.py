"""Audio of a video, carried over into another file."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
from av.error import FFmpegError

COPIED = ("aac", "mp3")  # every browser plays these in .mp4; other codecs are re-encoded as AAC
RATE = 48000  # Hz, of re-encoded audio


class Sound(NamedTuple):
    """Audio of a file from `begin` to `end`, in seconds of the container's clock."""

    path: Path
    begin: float
    end: float


class SoundWriter:
    """Writes the audio of a file into another container; does nothing if there is none."""

    def __init__(self, sound: Sound, target: av.container.OutputContainer) -> None:
        self._sound, self._target = sound, target
        self._source = av.open(str(sound.path))
        self._packets: Iterator[av.Packet] = iter(())
        self._waiting: av.Packet | None = None
        streams = self._source.streams.audio
        if not streams:
            return
        stream = streams[0]
        if stream.codec_context.codec.canonical_name in COPIED:
            self._packets = self._copied(stream, target.add_stream_from_template(stream))
        else:
            self._packets = self._encoded(stream, target.add_stream("aac", rate=RATE))
        self._waiting = next(self._packets, None)

    def write_until(self, time: float) -> None:
        """Write the audio up to `time`, in seconds from `begin`."""
        while self._waiting is not None and self._waiting.pts * self._waiting.time_base <= time:
            self._target.mux(self._waiting)
            self._waiting = next(self._packets, None)

    def finish(self) -> None:
        self._source.close()

    def _heard(self, stream: av.AudioStream) -> Iterator[av.Packet]:
        """Packets from `begin` to `end`; stops at damaged data."""
        begin, end = (time / stream.time_base for time in self._sound[1:])
        try:
            if self._sound.begin > 0:
                self._source.seek(int(begin), stream=stream)
            for packet in self._source.demux(stream):
                if packet.pts is None or packet.pts < begin:
                    continue
                if packet.pts >= end:
                    return
                yield packet
        except FFmpegError:
            return

    def _copied(self, stream: av.AudioStream, target: av.AudioStream) -> Iterator[av.Packet]:
        begin = round(self._sound.begin / stream.time_base)
        for packet in self._heard(stream):
            packet.pts, packet.dts = packet.pts - begin, packet.pts - begin
            packet.stream = target
            yield packet

    def _encoded(self, stream: av.AudioStream, target: av.AudioStream) -> Iterator[av.Packet]:
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
        begin = round(self._sound.begin / stream.time_base)
        for packet in self._heard(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                return
            for frame in frames:
                frame.pts = None if frame.pts is None else frame.pts - begin
                for part in resampler.resample(frame):
                    yield from target.encode(part)
        for part in resampler.resample(None):
            yield from target.encode(part)
        yield from target.encode(None)
