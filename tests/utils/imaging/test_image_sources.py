"""Folders, photos and videos as streams of named images."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from utils.imaging.image_sources import open_source
from utils.imaging.images import ImageError
from utils.imaging.photo_source import natural_key
from utils.imaging.video_source import FrameRange
from utils.imaging.video_writer import write_video as write_frames
from utils.osutils import UserError


def write_photo(path: Path, level: int = 100, size: tuple[int, int] = (20, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), level, np.uint8))
    return path


def write_video(path: Path, frames: int = 6, size: tuple[int, int] = (64, 48), codec: str = "MJPG") -> Path:
    """Frame k is red of level 40 k."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10.0, size)
    assert writer.isOpened()
    for number in range(frames):
        frame = np.zeros((size[1], size[0], 3), np.uint8)
        frame[..., 2] = min(40 * number, 255)  # OpenCV writes BGR
        writer.write(frame)
    writer.release()
    return path


def cut_off(whole: Path) -> Path:
    """A copy of the first half of the file's bytes."""
    cut = whole.with_name(f"cut{whole.suffix}")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return cut


def error_of(path: Path, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        open_source(path, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestFolder:
    def test_reads_recursively_in_natural_order_with_relative_names(self, tmp_path):
        for name in ("im10.jpg", "im2.jpg", "sub/a.PNG", "IM1.jpeg"):
            write_photo(tmp_path / name)
        (tmp_path / "notes.txt").write_text("x")
        (tmp_path / ".hidden.jpg").write_text("x")
        write_photo(tmp_path / ".cache" / "c.jpg")
        source = open_source(tmp_path)
        assert source.kind == "folder"
        assert source.names() == ["IM1.jpeg", "im2.jpg", "im10.jpg", "sub/a.PNG"]
        assert len(source) == 4
        assert source.left_out == ["notes.txt"]
        assert source.path("sub/a.PNG") == tmp_path / "sub" / "a.PNG"
        images = dict(source)
        assert list(images) == source.names()
        assert all(i.shape == (12, 20, 3) and i.dtype == np.uint8 for i in images.values())

    def test_same_file_name_in_two_folders_stays_apart(self, tmp_path):
        write_photo(tmp_path / "a" / "x.png", 10)
        write_photo(tmp_path / "b" / "x.png", 200)
        images = dict(open_source(tmp_path))
        assert images["a/x.png"].max() == 10
        assert images["b/x.png"].min() == 200

    def test_a_bad_photo_comes_as_its_error(self, tmp_path):
        write_photo(tmp_path / "a.png")
        (tmp_path / "b.jpg").write_bytes(b"")
        (tmp_path / "c.jpg").write_bytes(b"no image")
        images = dict(open_source(tmp_path))
        assert isinstance(images["a.png"], np.ndarray)
        assert isinstance(images["b.jpg"], ImageError)
        assert isinstance(images["c.jpg"], ImageError)

    def test_links_are_followed_and_a_loop_ends(self, tmp_path):
        write_photo(tmp_path / "far" / "x.png")
        folder = tmp_path / "near"
        folder.mkdir()
        (folder / "linked").symlink_to(tmp_path / "far")
        (tmp_path / "far" / "back").symlink_to(folder)
        assert open_source(folder).names() == ["linked/x.png"]

    def test_empty_folder(self, tmp_path):
        message = error_of(tmp_path, option="--img_dir")
        assert message.startswith(f"--img_dir {tmp_path}: the folder is empty")
        assert ".jpg" in message

    def test_folder_without_images_counts_what_is_there(self, tmp_path):
        (tmp_path / "a.txt").write_text("x")
        write_video(tmp_path / "clip.avi", frames=1)
        message = error_of(tmp_path)
        assert "no image among its 2 files" in message
        assert "clip.avi" in message


class TestPhoto:
    def test_one_photo(self, tmp_path):
        path = write_photo(tmp_path / "me.png", 7)
        source = open_source(path)
        assert (source.kind, source.names(), len(source)) == ("photo", ["me.png"], 1)
        assert source.path("me.png") == path
        [(name, image)] = source
        assert name == "me.png"
        assert (image == 7).all()

    def test_missing_file_names_the_nearest(self, tmp_path):
        write_photo(tmp_path / "holiday.jpg")
        assert f"did you mean {tmp_path / 'holiday.jpg'}?" in error_of(tmp_path / "Holidy.jpg")

    def test_missing_file_lists_the_folder_where_nothing_is_near(self, tmp_path):
        write_photo(tmp_path / "holiday.jpg")
        assert "holds holiday.jpg" in error_of(tmp_path / "zzz")

    def test_missing_parent(self, tmp_path):
        assert f"{tmp_path} exists" in error_of(tmp_path / "no" / "such" / "x.jpg")

    def test_neither_photo_nor_video(self, tmp_path):
        (tmp_path / "x.pdf").write_text("x")
        message = error_of(tmp_path / "x.pdf")
        assert "not a photo or video" in message
        assert ".png" in message
        assert ".mp4" in message


class TestVideo:
    @pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v")])
    def test_streams_rgb_frames_by_number(self, tmp_path, suffix, codec):
        source = open_source(write_video(tmp_path / f"clip{suffix}", codec=codec))
        assert (source.kind, source.size, len(source)) == ("video", (64, 48), 6)
        assert source.fps == pytest.approx(10)
        frames = list(source)
        assert [name for name, _ in frames] == [f"clip/{n:06d}" for n in range(6)] == source.names()
        for number, (_, image) in enumerate(frames):
            assert image.shape == (48, 64, 3)
            assert abs(image[..., 0].mean() - 40 * number) < 12
            assert image[..., 2].mean() < 12

    @pytest.mark.parametrize(("limit", "count"), [(2, 2), (6, 6), (9, 6)])
    def test_no_more_frames_than_asked_for(self, tmp_path, capfd, limit, count):
        source = open_source(write_video(tmp_path / "clip.avi"), frames=FrameRange(max_frames=limit))
        assert len(source) == len(source.names()) == count
        assert [name for name, _ in source] == source.names()
        assert capfd.readouterr().err == ""

    def test_a_cut_off_video_is_reported_despite_a_frame_limit(self, tmp_path, capfd):
        cut = cut_off(write_video(tmp_path / "whole.avi", frames=20, size=(320, 240)))
        count = len(list(open_source(cut, frames=FrameRange(max_frames=19))))
        assert f"it declares 20 frames, {count} were readable" in capfd.readouterr().err
        assert len(list(open_source(cut, frames=FrameRange(max_frames=count)))) == count
        assert capfd.readouterr().err == ""

    def test_a_limit_is_for_videos(self, tmp_path):
        write_photo(tmp_path / "a.png")
        assert error_of(tmp_path, frames=FrameRange(max_frames=3)).startswith("--max_frames 3: only for a video")

    def test_rotated_video_comes_upright(self, tmp_path):
        path = write_video(tmp_path / "clip.mp4", codec="mp4v")
        data = bytearray(path.read_bytes())
        # The track header holds a 3 × 3 display matrix (16.16 fixed point), 44 bytes after its name.
        start = data.index(b"tkhd") + 44
        quarter_turn = np.array([[0, 1, 0], [-1, 0, 0]], ">i4") << 16
        for row in range(2):
            data[start + 12 * row : start + 12 * row + 8] = quarter_turn[row, :2].astype(">i4").tobytes()
        path.write_bytes(data)
        source = open_source(path)
        assert source.size == (48, 64)
        assert all(image.shape == (64, 48, 3) for _, image in source)
        assert all(image.shape == (40, 30, 3) for _, image in source.shrunk((30, 40)))

    @pytest.mark.parametrize("size", [(96, 80), (100, 60), (192, 160)])
    def test_shrunk_frames_are_averages_with_their_centres_in_place(self, tmp_path, size):
        noise = np.random.default_rng(0).integers(0, 256, (160, 192)).astype(np.float32)
        grey = cv2.GaussianBlur(noise, (0, 0), 4)
        picture = np.dstack([(grey - grey.min()) / np.ptp(grey) * 255] * 3).astype(np.uint8)
        with write_frames(tmp_path / "clip.mp4", 10, (192, 160)) as write:
            for _ in range(3):
                write(picture)
        whole = open_source(tmp_path / "clip.mp4")
        source = whole.with_names(whole.names()[1:]).shrunk(size)
        assert source.size == size
        assert source.names() == whole.names()[1:]
        expected = cv2.resize(dict(whole)["clip/000001"], size, interpolation=cv2.INTER_AREA).astype(float)
        shown = dict(source)["clip/000001"]
        assert np.abs(shown - expected).mean() < 1.5
        # A shift by half a pixel would show as a correlation with the slope.
        slope = np.gradient(expected, axis=1)
        assert abs(((shown - expected) * slope).sum() / (slope**2).sum()) < 0.05

    def test_tiny_frames_are_refused(self, tmp_path):
        frames = [Image.new("RGB", (2, 2), (60 * k, 0, 0)) for k in range(2)]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        assert "2 × 2 px" in error_of(tmp_path / "a.gif")

    def test_can_be_read_twice(self, tmp_path):
        source = open_source(write_video(tmp_path / "clip.avi", frames=3))
        for _ in range(2):
            assert [name for name, _ in source] == ["clip/000000", "clip/000001", "clip/000002"]

    def test_cut_off_video_warns_once_with_both_numbers(self, tmp_path, capfd):
        source = open_source(cut_off(write_video(tmp_path / "whole.avi", frames=20, size=(320, 240))))
        count = len(list(source))
        assert len(list(source)) == count
        assert 0 < count < 20
        err = capfd.readouterr().err
        assert err.count("\n") == 1
        assert f"it declares 20 frames, {count} were readable" in err

    def test_whole_video_says_nothing(self, tmp_path, capfd):
        list(open_source(write_video(tmp_path / "clip.avi")))
        assert capfd.readouterr().err == ""

    def test_stopping_early_says_nothing(self, tmp_path, capfd):
        frames = iter(open_source(write_video(tmp_path / "clip.avi")))
        next(frames)
        frames.close()
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("content", [b"", b"this is no video " * 50])
    def test_not_a_video(self, tmp_path, capfd, content):
        path = tmp_path / "clip.mp4"
        path.write_bytes(content)
        assert "not a video" in error_of(path)
        assert capfd.readouterr().err == ""

    def test_video_without_its_index_is_refused_quietly(self, tmp_path, capfd):
        cut = cut_off(write_video(tmp_path / "whole.mp4", frames=20, codec="mp4v"))
        assert str(cut) in error_of(cut)
        assert capfd.readouterr().err == ""


def test_a_camera_only_where_cameras_are_accepted():
    assert "no such file or folder" in error_of("7")


def test_natural_key():
    names = ["b", "a10", "a2", "A1", "2", "10", "a2b1"]
    assert sorted(names, key=natural_key) == ["2", "10", "A1", "a2", "a2b1", "a10", "b"]


def test_real_folder():
    folder = Path("../shared/data/mpii/test_images")
    if not folder.is_dir():
        pytest.skip("../shared/data is not here")
    images = dict(open_source(folder))
    assert len(images) == 7
    assert all(isinstance(image, np.ndarray) for image in images.values())


def test_animated_gif(tmp_path):
    frames = [Image.new("RGB", (32, 24), (60 * k, 0, 0)) for k in range(4)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    source = open_source(tmp_path / "a.gif")
    assert source.size == (32, 24)
    assert [name for name, _ in source] == [f"a/{n:06d}" for n in range(4)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """H.264 with B-frames and a key frame every 10 frames; the path and the times of its 60 frames, in seconds.

    Frame k is grey of level 4 k; frames 3 r, 3 r + 1 and 3 r + 2 are at 0.17 r + (0, 0.05, 0.15) s.
    """
    path, times = tmp_path_factory.mktemp("clip") / "clip.mp4", 2 + np.cumsum(np.tile([0.02, 0.05, 0.1], 20))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"bf": "3", "g": "10", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * number, np.uint8))
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path, times - times[0]


class TestFrameRange:
    def levels(self, source):
        return [int(name[-6:]) for name, _ in source], [image.mean() / 4 for _, image in source]

    @pytest.mark.parametrize(
        ("chosen", "expected"),
        [
            ({}, range(60)),
            ({"every": 7}, range(0, 60, 7)),
            ({"start": 1.0}, range(17, 60)),
            ({"start": 1.02, "end": 1.2}, range(18, 22)),
            ({"start": 2.0, "every": 5, "max_frames": 3}, (35, 40, 45)),
            ({"end": 0.05}, range(1)),
        ],
    )
    def test_frames_keep_their_numbers_and_times(self, clip, chosen, expected):
        path, times = clip
        source = open_source(path, frames=FrameRange(**chosen))
        wanted = list(expected)
        assert source.times == pytest.approx(times, abs=1e-3)
        numbers, levels = self.levels(source)
        assert numbers == [int(name[-6:]) for name in source.names()] == wanted
        assert levels == pytest.approx(wanted, abs=1)
        assert [source.time(name) for name in source.names()] == pytest.approx(times[wanted], abs=1e-3)

    def test_named_frames(self, clip):
        source = open_source(clip[0]).with_names(["clip/000041", "clip/000007", "clip/000099"])
        assert self.levels(source) == ([7, 41], pytest.approx([7, 41], abs=1))

    def test_wrong_ranges(self, clip, tmp_path):
        assert "has no frame after that; its length is 3.4" in error_of(clip[0], frames=FrameRange(start=9))
        with pytest.raises(UserError, match="--end 1: expected a time after --start 2"):
            FrameRange(start=2, end=1)
        write_photo(tmp_path / "a.png")
        assert error_of(tmp_path, frames=FrameRange(every=2)).startswith("--every 2: only for a video or a camera; ")

    def test_damage_in_the_middle_is_passed_over(self, clip, tmp_path, capfd):
        data = bytearray(clip[0].read_bytes())
        middle = data.index(b"mdat") + 600
        data[middle : middle + 300] = bytes(300)
        (tmp_path / "clip.mp4").write_bytes(data)
        names = [name for name, _ in open_source(tmp_path / "clip.mp4")]
        assert 30 < len(names) < 60
        assert names[-1] == "clip/000059"
        assert (
            f"{60 - len(names)} frames of {tmp_path / 'clip.mp4'} can't be decoded, skipped" in capfd.readouterr().err
        )


def test_webm_with_frames_that_are_not_shown(tmp_path):
    """VP8's alternate reference frames are packets of their own and count as no frame."""
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream("libvpx", rate=10, options={"auto-alt-ref": "1", "lag-in-frames": "16"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8))))
        container.mux(stream.encode(None))
    source = open_source(tmp_path / "a.webm")
    assert [name for name, _ in source] == [f"a/{number:06d}" for number in range(40)] == source.names()
