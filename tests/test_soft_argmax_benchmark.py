"""The benchmark of soft-argmax runs and prints its ratios; both ways compute the same thing."""

import re

import pytest
import torch
from command_line import call_script, load_script

from stitched import SoftArgmax2D


@pytest.fixture(scope="module")
def benchmark():
    return load_script("benchmarks", "soft_argmax")


@pytest.mark.parametrize("window_fn", ["Parzen", "Uniform"])
def test_both_ways_compute_the_same(benchmark, window_fn):
    maps = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = SoftArgmax2D(window_fn=window_fn, window_width=benchmark.WIDTH, softmax_temp=benchmark.TEMPERATURE)
    torch.testing.assert_close(ours(maps), benchmark.full_map(maps, window_fn), atol=1e-6, rtol=0)


def test_it_prints_ratios(benchmark):
    done = call_script(benchmark, "--batches", 1, 2, "--seconds", 0.01, "--turns", 1).succeeded()
    assert len(re.findall(r"\d\.\d\dx$", done.out, re.MULTILINE)) == 4
    assert "asked for 5 times" in done.out
    assert "threads, torch" in done.out
