"""Names of photos and clips that lead elsewhere: nothing is written outside the output folder, nothing read outside
`images/`."""

import json
import os
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stacked_hourglass.annotations.coco import read_coco
from stacked_hourglass.annotations.mpii import load_mpii
from utils.files.inside import fault_of_file, fault_of_name, inside, safe_names
from utils.human36m_frames import read_listed_frames
from utils.imaging.draw2d import save_png
from utils.imaging.image_sources import open_source
from utils.imaging.images import ImageError
from utils.imaging.photo_source import PhotoSource
from utils.osutils import UserError, printable
from utils.predictions.picture_files import draw_images
from utils.sample.coco import make_coco

PARTS = (
    "..",
    ".",
    "",
    "...",
    "a",
    "b.png",
    "link",
    "up",
    "\\",
    "..\\x",
    "~",
    "C:",
    "\n",
    "\x1b[2J",
    "\0",
    "%2e%2e",
    "\udcff",
)
PICTURE = np.zeros((16, 16, 3), np.uint8)


def hostile_names(count: int = 200, seed: int = 0) -> list[str]:
    """Different names of one to five parts, some absolute, each with the suffix of a picture."""
    draw, names = random.Random(seed), {}
    while len(names) < count:
        parts = draw.choices(PARTS, k=draw.randint(1, 5))
        names["/" * (draw.random() < 0.1) + "/".join(parts) + draw.choice(["", "/x"]) + ".png"] = None
    return list(names)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """`tmp_path / "deep" / "out"`, with a link to a folder beside it and one two folders up."""
    folder = tmp_path / "deep" / "out"
    (tmp_path / "deep" / "elsewhere").mkdir(parents=True)
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "deep" / "elsewhere")
    (folder / "up").symlink_to("../..")
    return folder


def files_outside(out: Path) -> list[Path]:
    top = out.parent.parent
    return [path for path in top.rglob("*") if path.is_file() and not path.resolve().is_relative_to(out)]


def test_two_hundred_names_write_nothing_outside(out):
    written = 0
    for name in hostile_names():
        with suppress(UserError):
            save_png(inside(out, name), PICTURE)
            written += 1
    assert files_outside(out) == []
    assert 20 <= written <= 120  # names such as "a/b.png" are fine


def test_harmless_names_are_kept(out):
    for name in ("a.png", "S9/Walking 1/54138969/000001.png", "...png", "ü/é.png", "a..b/c.png"):
        assert inside(out, name) == out / name


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("/a", "absolute"), ("a/../b", "leads out"), ("..", "leads out"), ("", "empty"), ("a\x07", "control"),
        ("\udcff", "UTF-8"), ("link/a", None),
    ],
)  # fmt: skip
def test_faults_of_names(name, fault):
    found = fault_of_name(name)
    assert found is None if fault is None else fault in found


def test_pictures_of_hostile_names(out, tmp_path):
    source = PhotoSource(tmp_path, "folder", tmp_path, [], [])
    source.read = lambda name: PICTURE
    with pytest.raises(UserError, match="leads out of the folder through a link"):
        draw_images(source, ["a.png", "link/b.png"], lambda name, image: image, out)
    assert [path.name for path in out.iterdir() if path.is_file()] == []
    assert files_outside(out) == []


def test_video_whose_name_is_all_dots(tmp_path):
    (tmp_path / "...mp4").write_bytes(b"x")
    with pytest.raises(UserError, match="leads out of the folder; rename it"):
        open_source(tmp_path / "...mp4")


# ------------------------------------------------------------------------------------------ reading
def test_annotated_photos_outside_are_not_read(tmp_path, tiny_mpii, caplog):
    entries = json.loads((tiny_mpii / "mpii_annotations.json").read_text())
    names = ["../outside.jpg", "/etc/passwd", "a\0.jpg", "sub/../../x.jpg"]
    for entry, name in zip(entries, names, strict=False):
        entry["img_paths"] = name
    (tmp_path / "mpii_annotations.json").write_text(json.dumps(entries))
    (tmp_path / "images").symlink_to(tiny_mpii / "images")
    Image.new("RGB", (64, 64)).save(tmp_path / "outside.jpg")
    people = load_mpii(tmp_path)
    assert f"4 of {len(entries)} photo names refused" in caplog.text
    assert caplog.text.count("refused") == 1
    for part in people:
        assert all(path.parent == tmp_path / "images" for path in part.image_paths)
    assert sum(map(len, people)) == len(entries) - 4  # all four are training people


def test_coco_photos_outside_are_not_read(tmp_path, tiny_mpii, caplog):
    make_coco(tmp_path / "coco", tiny_mpii)
    path = tmp_path / "coco" / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "../../x.jpg"
    path.write_text(json.dumps(content))
    people = read_coco(tmp_path / "coco", "val2017")
    assert f"1 of {len(content['images'])} photo names refused" in caplog.text
    assert all(path.parent == tmp_path / "coco" / "val2017" for path in people.people.image_paths)


def test_refused_names_remain_distinct():
    assert len(set(safe_names(["/a", "../a", "\udcff", "", "a"], Path("x.json")))) == 5


# ------------------------------------------------------------------------------------------ folders of photos
def test_non_files_are_left_out(tmp_path, caplog):
    Image.new("RGB", (20, 20)).save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    source = open_source(tmp_path)
    assert source.names() == ["good.png"]
    assert "2 of 3 files" in caplog.text
    assert "'pipe.png' is a pipe" in caplog.text
    assert "'zero.png' is a device" in caplog.text


def test_names_that_are_not_utf8_are_left_out(tmp_path, caplog):
    Image.new("RGB", (20, 20)).save(tmp_path / "good.png")
    for name in (b"\xff.png", b"a\x1b[2J.png"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(b"x")
    assert open_source(tmp_path).names() == ["good.png"]
    assert "is not valid UTF-8" in caplog.text
    assert "has control characters" in caplog.text


def test_a_pipe_given_alone_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "a.mp4")
    for name in ("a.png", "a.mp4"):
        with pytest.raises(UserError, match="is a pipe, not a regular file"):
            open_source(tmp_path / name)
    assert fault_of_file(tmp_path / "missing") is None
    image = PhotoSource(tmp_path, "folder", tmp_path, ["a.png"], []).read("a.png")
    assert isinstance(image, ImageError)
    assert "is a pipe" in str(image)


def test_messages_escape_what_moves_the_cursor():
    assert printable("a\x1b[2J\udcffü\n") == "a\\x1b[2J\\udcffü\n"


def test_listed_frames_outside_are_not_read(tmp_path, caplog):
    actions = np.array(["Walking 1", "../../x", "Walking 1"])
    clips = {"subject": np.full(3, 9), "action": actions, "camera": np.array(["54138969"] * 3)}
    poses = {"frame": np.arange(3) + 1, "joints_2d": np.zeros((3, 17, 2)), "joints_3d_camera_mm": np.zeros((3, 17, 3))}
    np.savez(tmp_path / "poses.npz", **clips, **poses)
    frames = read_listed_frames(tmp_path)
    assert len(frames) == 2
    assert "1 of 3 frames refused" in caplog.text
    assert {str(frames.clips[number]) for number in frames.clip} == {"S9/Walking 1/54138969"}
