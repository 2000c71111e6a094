"""scripts/measure_soft_argmax.py: each decoding on maps by hand, PCKh of known errors, and the command."""

import math

import pytest
import torch
from command_line import call_script, load_script

from stitched.stitched_network import SOFT_ARGMAX
from utils.imaging.heatmaps import crop_to_heatmap, render_heatmaps
from utils.transform import MPII

script = load_script("scripts", "measure_soft_argmax")
HIGHEST, DARK, WARM, COLD, UNIFORM, PARZEN, DEFAULT, *_ = script.decodings()


class Drawing:
    """An hourglass's predictor that draws the heat maps of known joints (N, 16, 2), px of the crop."""

    device, skeleton = torch.device("cpu"), MPII

    def __init__(self, joints):
        self.joints = iter(joints)

    def heatmaps(self, crops):
        return render_heatmaps(crop_to_heatmap(torch.stack([next(self.joints) for _ in crops])), sigma=1.5)


def test_the_rows_of_the_table():
    ways = script.decodings()
    assert list(ways) == [
        "highest pixel, shifted by a quarter pixel",
        "DARK (smoothed with σ = 1.5 px)",
        "softmax over the whole map, T = 1",
        "softmax over the whole map, T = 0.005",
        "Uniform window, width 10, T = 0.05",
        "Parzen window, width 10, T = 0.05",
        "Parzen window, width 10, T = 0.05, smoothed with σ = 1 px (default of the stitched network)",
        "Parzen window, width 10, T = 0.05, smoothed with σ = 1.5 px",
        "Parzen window, width 10, T = 0.05, smoothed with σ = 2 px",
    ]
    assert ways[DEFAULT].settings() == script.SoftArgmax2D(**SOFT_ARGMAX).settings()
    assert ways[PARZEN].settings() == ways[DEFAULT].settings() | {"smoothing": 0.0}


def test_decodings_of_one_high_pixel():
    """A map of 64 × 64 that is 1 at (40, 20) and 0 elsewhere."""
    maps = torch.zeros(1, 1, 64, 64)
    maps[0, 0, 20, 40] = 1
    found = {name: way(maps)[0, 0].tolist() for name, way in script.decodings().items()}
    for name in (HIGHEST, DARK, COLD, UNIFORM, PARZEN, DEFAULT):
        assert found[name] == pytest.approx([40, 20], abs=1e-3), name
    share = (math.e - 1) / (64**2 - 1 + math.e)  # of the high pixel, beyond what each has
    assert found[WARM] == pytest.approx([31.5 + share * (40 - 31.5), 31.5 + share * (20 - 31.5)], abs=1e-4)


def test_joints_in_the_photo_by_the_head_size(tiny_mpii):
    """A joint 0.3 × the head size off counts at 0.5, not at 0.1. AUC: 19.5 of 50 steps, half of that to 0.31."""
    _, people = script.load_mpii(tiny_mpii)
    samples = list(script.PoseCrops(people))
    joints = torch.stack([sample["joints"] for sample in samples])
    per_px = torch.stack([sample["to_photo"][:, :2].norm(dim=1) for sample in samples])[:, 0]
    off = 0.3 * torch.from_numpy(people.head_size) / per_px
    moved = joints + torch.stack([off, 0 * off], -1)[:, None]
    inside = ((moved > 8) & (moved < 247)).all(-1) & ((joints > 8) & (joints < 247)).all(-1)
    people.annotated[:] &= inside.numpy()
    assert people.annotated.any(0).all()
    ways = {name: way for name, way in script.decodings().items() if name == DARK}
    assert script.measure(Drawing(joints), people, ways, "")[DARK] == pytest.approx([100, 100, 99], abs=1.5)
    half, tenth, area = script.measure(Drawing(moved), people, ways, "")[DARK]
    assert (half, tenth) == (100, 0)
    assert area == pytest.approx(39, abs=2)


def test_the_command(tiny_mpii, monkeypatch):
    monkeypatch.setattr(script, "load_hourglass", lambda *_: None)
    _, people = script.load_mpii(tiny_mpii)
    joints = torch.stack([sample["joints"] for sample in script.PoseCrops(people)])
    monkeypatch.setattr(script, "Predictor", lambda *_, **__: Drawing(joints))
    out = call_script(script, "--data_dir", tiny_mpii, "--device", "cpu").succeeded().out
    assert ", 4 validation people, flip test" in out
    assert "| decoding | PCKh@0.5 | PCKh@0.1 | AUC |" in out.splitlines()
    assert out.count("\n| ") == 2 + len(script.decodings())


def test_refusals_are_one_line(tiny_mpii, tmp_path, monkeypatch):
    assert "--data_dir" in call_script(script, "--data_dir", tmp_path / "none").last_error()
    missing = call_script(script, "--data_dir", tiny_mpii, "--load", tmp_path / "none.pth.tar", "--device", "cpu")
    assert "none.pth.tar" in missing.last_error()
    lsp = Drawing([])
    lsp.skeleton = MPII.first(10)
    monkeypatch.setattr(script, "Predictor", lambda *_, **__: lsp)
    assert "not MPII's 16" in call_script(script, "--data_dir", tiny_mpii, "--device", "cpu").last_error()
