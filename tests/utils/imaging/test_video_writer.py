"""Videos in files: what is read back is what was written, in a form that browsers play, whole or not at all."""

import cv2
import numpy as np
import pytest

from utils.imaging.image_sources import open_source
from utils.imaging.video_writer import write_video
from utils.osutils import UserError

SIZE = (64, 48)


def frame(number: int) -> np.ndarray:
    """Red on the left, and brighter blue on the right from frame to frame."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[:, :32, 0] = 200
    picture[:, 32:, 2] = 20 * number
    return picture


def write_some(path, count=10, fps=12.5):
    with write_video(path, fps, SIZE) as write:
        for number in range(count):
            write(frame(number))


@pytest.mark.parametrize("fps", [12.5, 25, 29.97])
def test_frames_rate_and_size_come_back(tmp_path, fps):
    write_some(tmp_path / "a.webm", fps=fps)
    source = open_source(tmp_path / "a.webm")
    assert (source.fps, source.size) == (pytest.approx(fps, abs=0.05), SIZE)
    frames = [image for _, image in source]
    assert len(frames) == 10
    for number, image in enumerate(frames):
        assert image[24, 12] == pytest.approx([200, 0, 0], abs=25)
        assert image[24, 52] == pytest.approx([0, 0, 20 * number], abs=25)


def test_the_file_is_webm_with_vp8(tmp_path, capfd):
    write_some(tmp_path / "a.webm", 1)
    content = (tmp_path / "a.webm").read_bytes()
    assert content.startswith(b"\x1a\x45\xdf\xa3")  # EBML
    assert b"webm" in content[:64]
    assert b"V_VP8" in content
    assert capfd.readouterr() == ("", "")


def test_a_fault_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.webm"
    path.write_bytes(b"old")

    def fail():
        with write_video(path, 25, SIZE) as write:
            write(frame(0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_frame_there_is_no_file(tmp_path):
    with pytest.raises(UserError, match=r"a\.webm"):
        write_some(tmp_path / "a.webm", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_cut_off_is_noticed(tmp_path, monkeypatch):
    class FullDisk:
        """Takes three frames. No subclass of OpenCV's: those crash when they are collected."""

        def __init__(self, *arguments):
            self.real, self.written = VideoWriter(*arguments), 0

        def __getattr__(self, name):
            return getattr(self.real, name)

        def write(self, image):
            self.written += 1
            if self.written < 4:
                self.real.write(image)

    VideoWriter = cv2.VideoWriter
    monkeypatch.setattr(cv2, "VideoWriter", FullDisk)
    with pytest.raises(UserError, match="disk full"):
        write_some(tmp_path / "a.webm")
    assert list(tmp_path.iterdir()) == []


def test_a_build_without_the_encoder_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.imaging.video_writer.CODEC", "none")
    with pytest.raises(UserError, match="can't encode VP8"):
        write_some(tmp_path / "a.webm")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "size"), [("a.mp4", SIZE), ("a.webm", (63, 48)), ("a.webm", (64, 47))])
def test_another_suffix_and_odd_sides_are_refused(tmp_path, name, size):
    with pytest.raises(ValueError, match="even sides"), write_video(tmp_path / name, 25, size):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a frame is"), write_video(tmp_path / "a.webm", 25, SIZE) as write:
        write(frame(0)[:40])
    assert list(tmp_path.iterdir()) == []
