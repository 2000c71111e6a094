"""The benchmark of a video's steps runs and prints one line per step. Speed is not checked."""

import re

from command_line import call_script, load_script

STEPS = ["decode", "find", "crop", "track", "network", "smooth", "draw", "encode", "all"]


def test_it_prints_a_line_for_every_step(tmp_path):
    benchmark = load_script("benchmarks", "video")
    done = call_script(benchmark, "--frames", 3, "--person_box", "whole", cwd=tmp_path).succeeded()
    assert re.findall(r"^(\w+) +\d+\.\d\d +\d+\.\d\d", done.out, re.MULTILINE) == STEPS
    assert "3 frames of 1280 × 720 px with 3 poses; times per 1,000 frames" in done.out
    for what in ("prediction", "drawing"):
        assert re.search(rf"^{what} +\d+\.\d\d +\w+ \d+\.\d\d +\d+\.\d\d$", done.out, re.MULTILINE)
        assert f"video, {what}, share of its slowest step alone" in done.out
    assert not list(tmp_path.iterdir())


def test_bad_input_ends_in_a_line(tmp_path):
    benchmark = load_script("benchmarks", "video")
    (tmp_path / "text.mp4").write_text("no video")
    for name, part in (("text.mp4", "not a video"), ("none.mp4", "no such file")):
        done = call_script(benchmark, "--video", tmp_path / name)
        assert f"--video {tmp_path / name}: {part}" in done.last_error()
