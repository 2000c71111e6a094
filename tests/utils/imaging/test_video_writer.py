"""Videos in files: what is read back is what was written, in a form that players open, whole or not at all."""

import errno

import av
import numpy as np
import pytest

from utils.imaging.image_sources import open_source
from utils.imaging.sound import Sound
from utils.imaging.video_writer import write_video
from utils.osutils import UserError

SIZE = (64, 48)


def frame(number: int) -> np.ndarray:
    """Red on the left, and brighter blue on the right from frame to frame."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[:, :32, 0] = 200
    picture[:, 32:, 2] = 20 * number
    return picture


def write_some(path, count=10, fps=12.5, times=None, sound=None):
    with write_video(path, fps, SIZE, sound) as write:
        for number in range(count):
            write(frame(number), times[number] if times else None)
    return path


def write_tone(path, codec="aac", rate=44100, seconds=2.0):
    """A video of 20 frames in two seconds, silent in the first one and with a tone in the second."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = container.add_stream(codec, rate=rate)
        for number in range(20):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame(number % 10))))
        container.mux(video.encode(None))
        time = np.arange(int(seconds * rate)) / rate
        wave = np.where(time < 1, 0, np.sin(2 * np.pi * 440 * time)).astype(np.float32)
        for start in range(0, len(wave), 1024):
            part = av.AudioFrame.from_ndarray(np.stack([wave[start : start + 1024]] * 2), "fltp", "stereo")
            part.sample_rate, part.pts = rate, start
            container.mux(audio.encode(part))
        container.mux(audio.encode(None))
    return path


def heard(path):
    """Codec, seconds, and the loudness of each tenth of a second of a file's sound."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        wave = np.concatenate([part.to_ndarray()[0] for part in container.decode(stream)])
    parts = np.array_split(wave, round(10 * len(wave) / stream.rate))
    return stream.codec_context.name, len(wave) / stream.rate, np.array([np.abs(part).max() for part in parts])


@pytest.mark.parametrize("fps", [12.5, 25, 29.97])
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_frames_rate_and_size_come_back(tmp_path, fps, suffix):
    source = open_source(write_some(tmp_path / f"a{suffix}", fps=fps))
    # GIF counts in hundredths of a second.
    assert (source.fps, source.size) == (pytest.approx(fps, abs=0.05 if suffix == ".mp4" else 1), SIZE)
    frames = [image.astype(int) for _, image in source]
    assert len(frames) == 10
    for number, image in enumerate(frames):
        assert image[24, 12] == pytest.approx([200, 0, 0], abs=10)
        assert image[24, 52] == pytest.approx([0, 0, 20 * number], abs=10)


def test_frames_keep_their_times(tmp_path):
    times = [0, 0.04, 0.1, 0.5, 0.52, 1.3]
    for suffix in (".mp4", ".gif"):
        source = open_source(write_some(tmp_path / f"a{suffix}", len(times), times=times))
        assert source.times == pytest.approx(times, abs=1e-4)
        assert [int(image[24, 52, 2]) for _, image in source] == pytest.approx([20 * k for k in range(6)], abs=10)


def test_the_file_is_what_browsers_play(tmp_path, capfd):
    path = write_some(tmp_path / "a.mp4", 1)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.codec_context.colorspace == 1  # BT.709
        assert not container.streams.audio
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # the index comes first
    assert capfd.readouterr() == ("", "")


def test_a_fault_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def fail():
        with write_video(path, 25, SIZE) as write:
            write(frame(0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_without_a_frame_there_is_no_file(tmp_path, suffix):
    with pytest.raises(UserError, match=r"no frame was written"):
        write_some(tmp_path / f"a{suffix}", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    def full(self, packets):
        raise av.error.FFmpegError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("utils.imaging.video_writer._Mp4._encode", full)
    with pytest.raises(UserError, match="disk full"):
        write_some(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "size"), [("a.webm", SIZE), ("a.mp4", (63, 48)), ("a.mp4", (64, 47))])
def test_another_suffix_and_odd_sides_are_refused(tmp_path, name, size):
    with pytest.raises(ValueError, match="even sides"), write_video(tmp_path / name, 25, size):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_shape_and_a_time_before_the_last_are_refused(tmp_path):
    with pytest.raises(ValueError, match="a frame is"), write_video(tmp_path / "a.mp4", 25, SIZE) as write:
        write(frame(0)[:40])
    with pytest.raises(ValueError, match=r"frame 2 at 0.1 s follows one at 0.1 s"):
        write_some(tmp_path / "a.mp4", 3, times=[0, 0.1, 0.1])
    assert list(tmp_path.iterdir()) == []


class TestSound:
    @pytest.mark.parametrize(
        ("name", "codec"), [("a.mp4", "aac"), ("a.avi", "mp3"), ("a.mkv", "pcm_s16le")], ids=["aac", "mp3", "pcm"]
    )
    def test_it_is_carried_over_from_its_place(self, tmp_path, name, codec):
        tone = write_tone(tmp_path / name, codec)
        # From half a second on: half a second of silence, then the tone.
        written = write_some(tmp_path / "b.mp4", 10, 10, sound=Sound(tone, 0.5, 1.5))
        kept, seconds, loudness = heard(written)
        assert kept == ("aac" if codec == "pcm_s16le" else codec.replace("mp3", "mp3float"))
        assert seconds == pytest.approx(1, abs=0.1)
        assert loudness[:4].max() < 0.05
        assert loudness[6:9].min() > 0.5

    def test_a_file_without_sound_gives_none(self, tmp_path):
        silent = write_some(tmp_path / "a.mp4")
        written = write_some(tmp_path / "b.mp4", sound=Sound(silent, 0, 1))
        with av.open(str(written)) as container:
            assert not container.streams.audio
