"""`scripts/measure_smoothing.py`: what counts as a swap, by hand, and the whole script on a few poses."""

import re

import numpy as np
import pytest
import torch
from command_line import call_script, load_script

from twod_threed.detector_errors import save_errors
from utils.transform import H36M_2D


@pytest.fixture(scope="module")
def script():
    return load_script("scripts", "measure_smoothing")


def test_a_pair_is_swapped_where_exchanging_it_helps(script):
    true = torch.arange(32.0).double().view(1, 16, 2) ** 1.5
    found, (right, left) = true.clone(), H36M_2D.indices(["r_knee", "l_knee"])
    found[0, [right, left]] = true[0, [left, right]]
    gain = script.swap_gain(found, true)[0]
    assert (gain > 0).tolist() == [False, True, False, False, False, False]
    distance = (true[0, right] - true[0, left]).norm() / script.median_size(found)
    assert gain[1] == pytest.approx(float(distance))
    assert script.swap_gain(true, true)[0, 1] == pytest.approx(-float(distance))


def test_bursts_have_every_length_up_to_the_longest(script, monkeypatch):
    monkeypatch.setattr(script, "BURSTS", 0.002)
    swapped = script.bursts(20000, torch.Generator().manual_seed(0))
    edges = swapped[:, 0].int().diff().nonzero()[:, 0]
    lengths = edges[1::2] - edges[::2][: len(edges[1::2])]
    assert set(lengths.tolist()) == set(range(1, script.LONGEST + 1))


def test_it_prints_error_jitter_and_swaps(script, tiny_h36m, tmp_path):
    errors = np.random.default_rng(0).normal(0, 0.2, (6, 16, 2)).astype(np.float32)
    save_errors(tmp_path / "errors.npz", errors)
    argv = ("--data_dir", tiny_h36m, "--detector_errors", tmp_path / "errors.npz", "--every", 20)
    out = call_script(script, *argv, cwd=tmp_path).succeeded().out
    assert out.count("MPJPE ") == 4 * 5
    assert len(re.findall(r"swaps: \d+ of \d+ pairs of joints repaired \(recall \d+\.\d%\)", out)) == 4
    assert "no such file" in call_script(script, "--detector_errors", tmp_path / "none.npz").last_error()
