"""scripts/probe_attention.py: what a perfect memory holds, by hand, and its whole way with a tiny network."""

import pytest
import torch
from command_line import call_script, load_script

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.loading import checkpoint_of
from utils.training.checkpoints import write_checkpoint


@pytest.fixture(scope="module")
def script():
    return load_script("scripts", "probe_attention")


def test_covered_places_are_those_whose_middle_is_behind_the_panel(script):
    """Of 2 × 2 places of 64 px the middles are at 31.5 and 95.5 px."""
    panels = torch.tensor([[[0.0, 90.0, 31.5, 100.0], [0.0, 90.0, 31.6, 100.0], [20.0, 0.0, 128.0, 95.5]]])
    expected = [[[0, 0], [0, 0]], [[0, 0], [1, 0]], [[1, 1], [0, 0]]]
    assert script.covered_places(panels, 2)[0].int().tolist() == expected


@pytest.mark.parametrize(("length", "expected"), [(1, [1, 1, 3, 4, 4]), (2, [1, 1, 1, 4, 4])])
def test_a_place_keeps_what_it_held_when_last_seen(script, length, expected):
    covered, free = [0.0, 0.0, 128.0, 128.0], [0.0] * 4
    panels = torch.tensor([[free, covered, covered, free, covered]])
    features = torch.arange(1.0, 6).reshape(1, 5, 1, 1, 1)
    assert script.remember(features, panels, length).flatten().tolist() == expected


def test_the_whole_way(script, tmp_path):
    torch.manual_seed(0)
    network = HourglassNet(Architecture(stacks=1, features=8))
    write_checkpoint(tmp_path / "network.pth.tar", checkpoint_of(network))
    ran = call_script(script, "--load", tmp_path / "network.pth.tar", "--clips", 1, cwd=tmp_path).succeeded()
    lines = ran.out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("memory none: covered, seen before: ")
    assert lines[-1].startswith("memory up to 32 x 32: ")


def test_a_missing_checkpoint_is_one_line_before_anything_is_rendered(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "render", None)
    assert (
        "none.pth.tar: no such checkpoint"
        in call_script(script, "--load", tmp_path / "none.pth.tar", cwd=tmp_path).last_error()
    )
