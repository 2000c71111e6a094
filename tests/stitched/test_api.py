"""`estimate_poses`: NumPy images to poses, with a network whose maps are the crop's colours, and with checkpoints."""

import inspect
import re

import numpy as np
import pytest
import torch
from color_hourglass import by_side, spots
from color_network import CELLS, MIDDLES, color_network
from tiny_checkpoints import stitched_file

from stacked_hourglass import demo_weights
from stitched import PoseEstimates, api, estimate_poses, load_network
from utils.osutils import UserError
from utils.training.checkpoints import write_checkpoint
from utils.transform import MPII

pytestmark = pytest.mark.usefixtures("one_level")

SHAPES = [(16, 2), (16,), (17, 3), (4,), ()]  # a person's part of each field of `PoseEstimates`
ABOUT = [25.1, 25.1, 256 - 26.1, 256 - 26.1]  # a box of 204.8 px, whose crop is 1.25 times as large: 256 px


@pytest.fixture
def network():
    return color_network()


@pytest.fixture
def photo():
    return spots(*CELLS)


def assert_where(joints: np.ndarray, points, atol=0.05) -> None:
    """The joints (16, 2) lie at these points: right ones, left ones, central ones."""
    np.testing.assert_allclose(joints, by_side(MPII, *points).numpy(), atol=atol)


# ------------------------------------------------------------------------------------------ images and people
def test_an_image_shows_one_person(network, photo):
    people = estimate_poses(photo, network)
    assert isinstance(people, PoseEstimates)
    assert [part.shape for part in people] == [(1, *shape) for shape in SHAPES]
    assert all(part.dtype == np.float32 for part in people)
    assert_where(people.joints_2d[0], MIDDLES)
    assert not people.joints_3d[0, 0].any()
    assert (people.scores == 1).all()
    assert people.boxes.tolist() == [[-0.5, -0.5, 255.5, 255.5]]
    assert people.box_scores.tolist() == [1]


def test_a_list_gives_a_list(network, photo):
    for images in ([photo, photo[:, :200]], np.stack([photo, photo])):
        found = estimate_poses(images, network)
        assert len(found) == 2
        assert_where(found[0].joints_2d[0], MIDDLES)
    assert estimate_poses([], network) == []


def test_each_box_is_a_person_in_its_own_image(network, photo):
    wide = np.zeros((300, 600, 3), np.uint8)
    wide[20:276, 300:556] = photo
    there = np.add(ABOUT, [300, 20, 300, 20]).tolist()
    boxes = [[there, ABOUT, there], np.empty((0, 4)), [ABOUT]]
    found = estimate_poses([wide, wide, photo], network, boxes=boxes, flip=True, batch_size=2)
    assert [len(people.joints_2d) for people in found] == [3, 0, 1]
    assert [part.shape for part in found[1]] == [(0, *shape) for shape in SHAPES]
    people = estimate_poses(wide, network, boxes=np.array([there, there]))
    for joints in people.joints_2d:
        assert_where(joints, [(x + 300, y + 20) for x, y in MIDDLES])
    np.testing.assert_allclose(people.boxes, [there, there], rtol=1e-6)
    assert people.box_scores.tolist() == [1, 1]


def test_nobody_in_any_image(network, photo):
    found = estimate_poses([photo] * 2, network, boxes=[[], []])
    assert [people.joints_2d.shape for people in found] == [(0, 16, 2)] * 2
    assert estimate_poses(np.full((80, 60, 3), 120, np.uint8), network, person_box="hog").boxes.shape == (0, 4)


def test_people_are_found_as_the_command_line_finds_them(network, photo, monkeypatch):
    asked = []
    make_finder = api.make_finder
    monkeypatch.setattr(
        api, "make_finder", lambda kind, device: asked.append((kind, device.type)) or make_finder("whole")
    )
    estimate_poses(photo, network, person_box="detect")
    assert asked == [("detect", "cpu")]


def test_settings_reach_the_predictor(network, photo, monkeypatch):
    seen = []

    class Recorder(api.StitchedPredictor):
        def __init__(self, network, precision, flip):
            super().__init__(network, precision, flip)
            seen.append((self.device.type, precision, flip))

        def __call__(self, crops, to_photo):
            seen.append(len(crops))
            return super().__call__(crops, to_photo)

    monkeypatch.setattr(api, "StitchedPredictor", Recorder)
    estimate_poses([photo] * 3, network, flip=True, precision="bf16", batch_size=2, device="cpu")
    assert seen == [("cpu", "bf16", True), 2, 1]


# ------------------------------------------------------------------------------------------ checkpoints
def assert_same(found: PoseEstimates, expected: PoseEstimates) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_checkpoints_are_loaded(photo, two_files, tmp_path):
    expected = estimate_poses(photo, load_network(**{name: str(path) for name, path in two_files.items()}))
    assert_same(estimate_poses(photo, **two_files, device="cpu"), expected)
    whole = stitched_file(tmp_path / "whole" / "checkpoint.pth.tar", *two_files.values())
    assert_same(estimate_poses(photo, load=whole.parent, device="cpu"), expected)
    with pytest.raises(UserError, match="--load_2d3d missing"):
        estimate_poses(photo, load_hourglass=two_files["load_hourglass"])
    with pytest.raises(UserError, match="--device cuda:99"):
        estimate_poses(photo, **two_files, device="cuda:99")


def test_without_checkpoints_the_demo_weights_are_used_and_a_line_says_so(
    photo, two_files, tmp_path, monkeypatch, capsys
):
    expected = estimate_poses(photo, **two_files, device="cpu")
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", tmp_path / "demo.pth.tar")
    with pytest.raises(UserError, match="--load_hourglass and --load_2d3d missing"):
        estimate_poses(photo, device="cpu")
    assert capsys.readouterr().out == ""
    stitched_file(tmp_path / "demo.pth.tar", *two_files.values())
    assert_same(estimate_poses(photo, device="cpu"), expected)
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"no checkpoint given: the demo weights {tmp_path / 'demo.pth.tar'} are used; they are weak")
    assert "--load_hourglass HOURGLASS --load_2d3d LIFTER, or --load STITCHED" in line
    with pytest.raises(UserError, match="--load_2d3d missing"):
        estimate_poses(photo, load_hourglass=two_files["load_hourglass"])


def test_demo_weights_may_be_of_half_precision(photo, two_files, tmp_path, monkeypatch):
    path = stitched_file(tmp_path / "demo.pth.tar", *two_files.values())
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {k: v.half() if v.is_floating_point() else v for k, v in content["state_dict"].items()}
    write_checkpoint(path, content)
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", path)
    expected = estimate_poses(photo, **two_files, device="cpu")
    found = estimate_poses(photo, device="cpu")
    assert all(part.dtype == np.float32 for part in found)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.01 * expected.scores.max())


# ------------------------------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (
            np.zeros((9, 9, 3)),
            {},
            r"an image is float64 \(9, 9, 3\), expected uint8 \(H, W, 3\) RGB; values from 0 to 1",
        ),
        (
            np.zeros((9, 9), np.uint8),
            {},
            r"an image is uint8 \(9, 9\), expected uint8 .* RGB; it is grey: cv2.cvtColor",
        ),
        ([np.zeros((9, 9, 1), np.uint8)], {}, "it is grey"),
        ([np.zeros((9, 9, 4), np.uint8)], {}, "an image is uint8 .*, expected uint8 .*; it has four channels"),
        ([np.zeros((0, 9, 3), np.uint8)], {}, "an image is uint8 .* at least one pixel"),
        (["photo.jpg"], {}, "an image is str"),
        ("blank", {"boxes": [[1, 2, 3]]}, r"boxes have shape \(1, 3\)"),
        ("blank", {"boxes": [1, 2, 3, 4]}, r"boxes have shape \(4,\)"),
        (
            "blank",
            {"boxes": [[5, 2, 3, 4]]},
            r"box \[5.0, 2.0, 3.0, 4.0\] is empty or at most one pixel wide or high.* x0, y0, x1, y1 in px",
        ),
        ("blank", {"boxes": [[5, 2, 3, 4]]}, r"look like x, y, width, height; .* would be \[5.0, 2.0, 8.0, 6.0\]"),
        ("blank", {"boxes": [[5, 2, 3, 9]]}, r"in px$"),
        ("blank", {"boxes": [[0.1, 0.2, 0.5, 0.9]]}, "look like fractions of the image size"),
        ("blank", {"boxes": [[1, 2, np.nan, 4]]}, "is empty or at most one pixel wide or high"),
        ("blank", {"boxes": [[1, 2, 5, 4], [20, 0, 30, 9]]}, r"box \[20.* is outside the image of 9 × 9 px"),
        ("list", {"boxes": []}, "0 arrays of boxes for 1 images"),
        ("blank", {"boxes": [[1, 2, 5, 4]], "person_box": "hog"}, "give one of the two"),
        ("blank", {"person_box": "boxes.json"}, "choose one of auto, whole, yolox, detect, hog, or give boxes"),
        ("blank", {"precision": "fp8"}, "choose one of fp32, bf16, fp16"),
        ("blank", {"batch_size": 0}, "batch_size 0"),
        ("blank", {"load": "x.pth"}, "network and checkpoints are both given"),
        ("blank", {"device": "cuda"}, "the network is on cpu; move it there"),
    ],
)
def test_unusable_arguments_are_refused(network, images, settings, message):
    blank = np.zeros((9, 9, 3), np.uint8)
    images = {"blank": blank, "list": [blank]}[images] if isinstance(images, str) else images
    with pytest.raises(ValueError, match=message):
        estimate_poses(images, network, **settings)


def test_every_argument_is_documented():
    arguments = list(inspect.signature(estimate_poses).parameters)
    assert arguments == [
        "images", "network", "load", "load_hourglass", "load_2d3d", "person_box", "boxes", "flip", "device",
        "precision", "batch_size",
    ]  # fmt: skip
    entries = re.findall(r"^ {8}([\w, ]+): ", estimate_poses.__doc__, re.MULTILINE)
    assert ["images", *(name for entry in entries for name in entry.split(", "))] == arguments  # images: the first line
