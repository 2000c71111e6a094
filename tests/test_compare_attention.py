"""scripts/compare_attention.py: which joints it scores, by hand, and its whole way with tiny networks."""

import json

import pytest
import torch
from command_line import call_script, load_script

from stacked_hourglass.loading import load_hourglass
from utils.transform import MPII


@pytest.fixture(scope="module")
def script():
    return load_script("scripts", "compare_attention")


def of_frames(*values: object) -> torch.Tensor:
    """(1, F, 16): one value per frame, for every joint."""
    return torch.tensor(values)[None, :, None].expand(1, len(values), len(MPII)).clone()


@pytest.fixture
def clips(script):
    """A clip of four frames whose joints are at x = 0, 10, 20, 30 and covered in the last two; the head is 40 px."""
    joints = torch.stack([of_frames(0.0, 10.0, 20.0, 30.0), torch.zeros(1, 4, 16)], -1)
    joints[:, :, MPII.index("head_top"), 1] = 40
    images = torch.zeros(1, 4, 3, 128, 128, dtype=torch.uint8)
    panels = torch.zeros(1, 4, 4)
    return script.Clips(images, joints, of_frames(True, True, True, True), of_frames(False, False, True, True), panels)


def test_joints_behind_the_panel(script):
    joints = torch.tensor([[[[5.0, 5.0], [9.9, 5.0], [10.0, 5.0], [5.0, 4.9]]]]).numpy()
    assert script.behind(joints, torch.tensor([[[5.0, 5.0, 10.0, 10.0]]]).numpy()).tolist() == [
        [[True, True, False, False]]
    ]


def test_seen_before_looks_back_as_far_as_the_history(script):
    seen = of_frames(True, False, False, False)
    assert script.seen_before(seen, 2)[0, :, 0].tolist() == [False, True, True, False]


def test_scores_by_hand(script, clips):
    """All joints are 12 px off in covered frames, where half of the head size is 15 px, and 20 px off in the others."""
    found = clips.joints.clone()
    found[..., 0] += of_frames(20.0, 20.0, 12.0, 12.0)
    scores = script.score(found, clips, length=1)
    assert scores["covered, seen before"] == pytest.approx((12, 100, 16))  # the third frame
    assert scores["covered"] == pytest.approx((12, 100, 32))
    assert scores["all"] == pytest.approx((16, 50, 64))


@pytest.mark.parametrize(("length", "expected"), [(1, [0, 10, 10, 99]), (2, [0, 10, 10, 10])])
def test_covered_joints_stay_where_they_were_last_seen(script, clips, length, expected):
    otherwise = clips.joints.clone()
    otherwise[..., 0] = of_frames(0.0, 10.0, 99.0, 99.0)
    held = script.where_last_seen(clips.joints, otherwise, clips, length)
    assert held[0, :, 0, 0].tolist() == expected


def test_attention_starts_with_the_other_network_and_its_mean(script, tmp_path):
    tiny = ("--seeds", 0, "--clips", 1, 1, "--batch", 1, "--encoded", 8, "--length", 2)
    steps = ("--steps", 1, "--branch_steps", 1)
    first = call_script(script, *tiny, *steps, "--features", 8, "--save", tmp_path / "first", cwd=tmp_path)
    assert "seed 0, attention: covered, seen before: " in first.succeeded().out
    path = tmp_path / "first/single_frames_0.pth.tar"
    content = torch.load(path, weights_only=True)
    torch.save(content | {"mean": [0.1, 0.2, 0.3]}, path)
    again = ("--load", path, "--steps", 0, "--branch_steps", 0, "--attention_levels", 2)
    saved = ("--output", tmp_path / "scores.json", "--save", tmp_path / "second")
    call_script(script, *tiny, *again, *saved, cwd=tmp_path).succeeded()
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["attention"] == scores["single frames"] == scores["before"]  # nothing was trained
    over_time = load_hourglass(tmp_path / "second/attention_0.pth.tar")
    assert over_time.architecture.attention_levels == 2
    assert over_time.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_a_missing_checkpoint_is_one_line_before_anything_is_rendered(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "render", None)
    assert (
        "none.pth.tar: no such checkpoint"
        in call_script(script, "--load", tmp_path / "none.pth.tar", cwd=tmp_path).last_error()
    )
