"""`viz.py saliency_and_prob_maps` and `..._with_skeleton`, through the real command line."""

import json
import shutil
import sys
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from command_line import call, files
from shown_options import assert_all_shown
from tiny_checkpoints import SMALL, hourglass_file, lifter_file, stitched_file

from stacked_hourglass import demo_weights, load_hourglass
from stacked_hourglass.hourglass import Architecture
from stacked_hourglass.inference import as_input
from stacked_hourglass.joint_maps import draw_joint_maps
from stacked_hourglass.saliency import saliency_maps
from stitched import saliency_viz
from stitched.saliency_viz import EMPTY_HEIGHT, GAP
from utils.imaging.images import crop_decoded, crop_matrix, read_image
from utils.look.palette import DARK
from utils.transform import LSP, MPII

SHOWN_SCRIPTS = [("viz", "saliency_and_prob_maps"), ("viz", "saliency_and_prob_maps_with_skeleton")]

PLAIN, SKELETON = "saliency_and_prob_maps", "saliency_and_prob_maps_with_skeleton"


@pytest.fixture(scope="module")
def checkpoint(one_level, tmp_path_factory):
    return hourglass_file(tmp_path_factory.mktemp("checkpoint") / "hourglass.pth.tar")


@pytest.fixture
def photos(tiny_mpii, tmp_path):
    """Rendered people: two PNG photos, one of them in a subfolder."""
    rendered = sorted((tiny_mpii / "images").glob("*.jpg"))
    (tmp_path / "photos/sub").mkdir(parents=True)
    for name, path in (("a.png", rendered[0]), ("sub/b.png", rendered[1])):
        cv2.imwrite(str(tmp_path / "photos" / name), cv2.imread(str(path)))
    return tmp_path / "photos"


@pytest.fixture
def draw(photos, checkpoint, tmp_path):
    """`draw("--num_pictures", 1)`, into `tmp_path / "out"`."""
    return lambda *argv, script=PLAIN: call(
        "viz", script, "--img_dir", photos, "--load", checkpoint, "--device", "cpu", "--output_dir", tmp_path / "out",
        "--person_box", "whole", *argv,
    )  # fmt: skip


@pytest.fixture
def refused(draw, tmp_path):
    def refusal(*argv):
        line = draw(*argv).refusal()
        assert files(tmp_path / "out") == []
        return line

    return refusal


def expected(path, network, skeleton=MPII, kind="sum", with_skeleton=False):
    """The picture of a photo taken as one person."""
    photo = read_image(path)
    height, width = photo.shape[:2]
    crop = crop_decoded(photo, crop_matrix(np.array([(width - 1) / 2, (height - 1) / 2]), max(width, height)))
    images = as_input(network, torch.from_numpy(crop).permute(2, 0, 1)[None])
    maps, saliency = saliency_maps(network, images, kind)
    return draw_joint_maps(crop, maps[0], saliency[0], skeleton, kind, with_skeleton).raster()


def boxes_file(path, boxes):
    path.write_text(json.dumps(boxes))
    return path


# ------------------------------------------------------------------------------------------ pictures
@pytest.mark.parametrize("script", [PLAIN, SKELETON])
@pytest.mark.parametrize("kind", ["sum", pytest.param("max", marks=pytest.mark.shows("use_max_for_saliency_map"))])
@pytest.mark.shows("img_dir", "load", "output_dir")
def test_every_photo_has_its_picture(draw, photos, checkpoint, tmp_path, script, kind):
    argv = ["--use_max_for_saliency_map"] if kind == "max" else []
    result = draw(*argv, script=script).succeeded()
    assert result.warnings() == []
    assert files(tmp_path / "out") == ["a.png", "contact_sheet.png", "sub/b.png"]
    wanted = expected(photos / "sub/b.png", load_hourglass(checkpoint), kind=kind, with_skeleton=script == SKELETON)
    found = read_image(tmp_path / "out/sub/b.png")
    assert found.shape == wanted.shape
    assert found.shape[1] > found.shape[0]
    np.testing.assert_array_equal(found, wanted)
    assert (read_image(tmp_path / "out/a.png") != found).any()
    assert f"2 pictures in {tmp_path / 'out'}" in result.out
    assert {"sum": "S = sum over the joint's heat map", "max": "S = highest value"}[kind] in result.out


def test_the_definition_and_the_skeleton_change_the_picture(draw, tmp_path):
    pictures = []
    for script, argv in ((PLAIN, []), (PLAIN, ["--use_max_for_saliency_map"]), (SKELETON, [])):
        draw("--img_dir", tmp_path / "photos/a.png", *argv, script=script).succeeded()
        pictures.append(read_image(tmp_path / "out/a.png"))
    assert (pictures[0] != pictures[1]).any()
    assert pictures[0].shape[1] < pictures[2].shape[1]


@pytest.mark.long  # a PDF and an SVG of 64 pictures; test_browse.py draws a small one for papers
@pytest.mark.shows("style")
def test_style(draw, photos, tmp_path):
    pictures = []
    for argv in ((), ("--style", "paper")):
        draw("--img_dir", photos / "a.png", *argv).succeeded()
        pictures.append(read_image(tmp_path / "out/a.png"))
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.shows("person_box")
def test_several_people_are_below_one_another(draw, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(saliency_viz, "MOST_PEOPLE", 3)
    height, width = cv2.imread(str(photos / "a.png")).shape[:2]
    boxes = [[0, 0, width // 2, height], [width // 4, 0, width // 2, height], [0, 0, width, height]]
    crowd = [[k, 0, width // 2, height] for k in range(5)]
    path = boxes_file(tmp_path / "boxes.json", {"a.png": boxes, "sub/b.png": crowd})
    [warning] = draw("--person_box", path).warnings()
    assert "1 images have more than 3 people, only the first are drawn: sub/b.png" in warning
    picture = read_image(tmp_path / "out/a.png")
    assert read_image(tmp_path / "out/sub/b.png").shape == picture.shape
    block = (len(picture) - 2 * GAP) // 3
    parts = [picture[k * (block + GAP) :][:block] for k in range(3)]
    assert all((one != other).any() for one, other in pairwise(parts))


@pytest.mark.shows("min_score")
def test_unsure_joints_are_not_marked(draw, photos, tmp_path):
    """All joints of an untrained network are below --min_score 1."""
    for least in (0, 1):
        draw("--img_dir", photos / "a.png", "--min_score", least, "--output_dir", tmp_path / str(least)).succeeded()
    marked, bare = (read_image(tmp_path / str(least) / "a.png") for least in (0, 1))
    for side in "rl":
        counts = [(picture == DARK.sides[side]).all(axis=2).sum() for picture in (bare, marked)]
        assert counts[1] > counts[0] + 100


def test_a_photo_without_people_is_shown_with_a_warning(draw, photos, tmp_path):
    path = boxes_file(tmp_path / "boxes.json", {"a.png": [[0, 0, 60, 60]], "sub/b.png": []})
    warnings = draw("--person_box", path).warnings()
    assert f"warning: no person found in 1 images (--person_box {path}): sub/b.png" in warnings
    assert read_image(tmp_path / "out/sub/b.png").shape[0] > EMPTY_HEIGHT


@pytest.mark.shows("num_pictures")
def test_frames_of_a_video_evenly_spread(draw, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 80))
    for number in range(8):
        writer.write(np.full((80, 96, 3), 30 * number, np.uint8))
    writer.release()
    draw("--img_dir", tmp_path / "clip.avi", "--num_pictures", 2).succeeded()
    assert files(tmp_path / "out") == ["clip/000002.png", "clip/000006.png", "contact_sheet.png"]


def test_a_damaged_photo_is_skipped(draw, photos, tmp_path):
    (photos / "c.jpg").write_bytes(b"no picture")
    [warning] = draw().warnings()
    assert " unreadable, not drawn: " in warning
    assert files(tmp_path / "out") == ["a.png", "contact_sheet.png", "sub/b.png"]


# ------------------------------------------------------------------------------------------ checkpoints
def test_a_stitched_checkpoint_and_the_demo_weights_are_their_hourglass(
    draw, photos, checkpoint, tmp_path, monkeypatch
):
    whole = stitched_file(tmp_path / "whole.pth.tar", checkpoint, lifter_file(tmp_path / "lifter.pth.tar"))
    argv = "--img_dir", photos / "a.png"
    draw(*argv).succeeded()
    wanted = (tmp_path / "out/a.png").read_bytes()
    shutil.rmtree(tmp_path / "out")
    draw(*argv, "--load", whole).succeeded()
    assert (tmp_path / "out/a.png").read_bytes() == wanted
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", whole)
    shutil.rmtree(tmp_path / "out")
    rest = "--person_box", "whole", "--device", "cpu", "--output_dir", tmp_path / "out"
    result = call("viz", PLAIN, *argv, *rest).succeeded()
    assert f"no checkpoint given: the demo weights {whole} are used" in result.out
    assert (tmp_path / "out/a.png").read_bytes() == wanted


def test_published_checkpoints_and_other_joint_orders(draw, photos, checkpoint, tmp_path):
    """The architecture is read from the file."""
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "published.pth")
    lsp = hourglass_file(tmp_path / "lsp.pth.tar", "LSP", Architecture(stacks=2, features=12, num_classes=14))
    for path, skeleton in ((tmp_path / "published.pth", MPII), (lsp, LSP)):
        draw("--img_dir", photos / "a.png", "--load", path).succeeded()
        wanted = expected(photos / "a.png", load_hourglass(path), skeleton)
        np.testing.assert_array_equal(read_image(tmp_path / "out/a.png"), wanted)


ARCHITECTURE = {
    "stacks": 3, "features": 12, "blocks": 2, "num_classes": 14, "use_layer_norm": True, "no_batch_norm_affine": True,
    "batch_norm_momentum": 0.7, "predict_joint_visibility": True, "add_attention": True, "attention_history_length": 3,
    "attention_heads": 2, "attention_levels": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(*item, marks=pytest.mark.shows(item[0])) for item in ARCHITECTURE.items()]
)
def test_an_architecture_may_be_given_and_must_agree(refused, checkpoint, draw, photos, name, value):
    assert f"--{name} {value}: {checkpoint} was trained with {getattr(SMALL, name)}" in refused(f"--{name}", value)
    if name == "features":
        draw("--img_dir", photos / "a.png", "--features", SMALL.features, "--stacks", SMALL.stacks).succeeded()


# ------------------------------------------------------------------------------------------ bad input
def test_wrong_checkpoints(refused, photos, tmp_path, monkeypatch):
    lifter = lifter_file(tmp_path / "lifter.pth.tar")
    line = refused("--load", lifter)
    assert f"{lifter}: not an hourglass network (it was written by train.py 2d3d_h36m)" in line
    assert "hourglass_mpii or stitched_fine_tune" in line
    assert "no such checkpoint" in refused("--load", tmp_path / "none.pth.tar")
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", tmp_path / "none.pth.tar")
    line = call("viz", PLAIN, "--img_dir", photos, "--output_dir", tmp_path / "out").refusal()
    assert "--load missing: give a checkpoint of train.py hourglass_mpii" in line


@pytest.mark.shows("device")
def test_other_wrong_values(draw, refused, photos, tmp_path):
    assert "--img_dir" in refused("--img_dir", tmp_path / "nothing")
    assert "--img_dir" in call("viz", PLAIN, "--output_dir", tmp_path / "out").refusal()
    assert "--num_pictures" in refused("--num_pictures", 0)
    assert "--device" in refused("--device", "cuda:99")
    assert "--person_box" in refused("--person_box", "nobody")
    path = boxes_file(tmp_path / "boxes.json", {"other.png": [[0, 0, 9, 9]]})
    assert "no box is for an image here; it names other.png" in refused("--person_box", path)
    before = files(photos)
    assert "would overwrite the photos" in draw("--output_dir", photos).refusal()
    assert files(photos) == before


@pytest.mark.shows("allow_unsafe_load", "debug_traceback")
def test_old_pickles_and_tracebacks(draw, refused, checkpoint, photos, tmp_path):
    content = torch.load(checkpoint, weights_only=True) | {"made": tmp_path}
    torch.save(content, tmp_path / "old.pth")
    argv = "--load", tmp_path / "old.pth", "--img_dir", photos / "a.png"
    assert "--allow_unsafe_load" in refused(*argv)
    assert "Traceback (most recent call last)" in draw(*argv, "--debug_traceback").err
    draw(*argv, "--allow_unsafe_load").succeeded()


@pytest.mark.parametrize("script", SHOWN_SCRIPTS)
def test_every_option_has_a_test(script):
    assert_all_shown([script], [sys.modules[__name__]])
