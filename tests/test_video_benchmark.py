"""The benchmark of a video's steps runs and prints one line per step. Speed is not checked."""

import re

from command_line import call_script, load_script

STEPS = ["decode", "find", "crop", "track", "network", "smooth", "shrink", "draw", "encode", "all"]


def test_it_prints_a_line_for_every_step(tmp_path):
    benchmark = load_script("benchmarks", "video")
    done = call_script(benchmark, "--frames", 3, "--person_box", "whole", cwd=tmp_path).succeeded()
    assert re.findall(r"^(\w+) +\d+\.\d\d +\d+\.\d\d", done.out, re.MULTILINE) == STEPS
    assert "3 frames of 1280 × 720 px with 3 poses; times per 1,000 frames" in done.out
    for what in ("prediction", "drawing"):
        if f"{what:<12} not measured: 3 frames took no longer than 1; use more --frames\n" in done.out:
            continue
        assert re.search(rf"^{what} +\d+\.\d\d +\w+ \d+\.\d\d +\d+\.\d\d$", done.out, re.MULTILINE)
        assert f"video, {what}, share of its slowest step alone" in done.out
    assert not list(tmp_path.iterdir())


def test_rates_of_the_whole_are_those_after_the_first_frames(capsys, monkeypatch):
    """Of 15 frames; the last 10 take 5 s to predict and 2 s to draw."""
    benchmark = load_script("benchmarks", "video")
    monkeypatch.setattr(benchmark.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    steps, whole = benchmark.Times(), benchmark.Times()
    steps.steps = dict.fromkeys(STEPS[:-1], (1.5, 1.5)) | {"network": (6.0, 9.0), "encode": (3.0, 3.0)}
    seconds = {"prediction, 5": 3.0, "prediction, 15": 8.0, "drawing, 5": 0.5, "drawing, 15": 2.5}
    whole.steps = {name: (value, value) for name, value in seconds.items()}
    benchmark.report_whole(steps, whole, 15)
    _, _, prediction, drawing, *verdicts = capsys.readouterr().out.splitlines()
    assert prediction.split() == ["prediction", "2.00", "network", "2.50", "2.00"]  # 15 CPU s of two cores
    assert drawing.split() == ["drawing", "5.00", "encode", "5.00", "5.00"]
    assert "prediction, share of its slowest step alone: 80 %" in verdicts[0]
    assert "asked for: ≥ 85 %; MISSED; bound: 80 %, the CPU time of all steps on 2 cores" in verdicts[0]
    assert "drawing, share of its slowest step alone: 100 %" in verdicts[1]
    assert "asked for: ≥ 85 %; met; bound: 100 %, the CPU time" in verdicts[1]


def test_a_rate_that_noise_hides_is_not_printed(capsys):
    benchmark = load_script("benchmarks", "video")
    steps, whole = benchmark.Times(), benchmark.Times()
    steps.steps = dict.fromkeys(STEPS[:-1], (1.0, 1.0))
    whole.steps = {"prediction, 1": (3, 3), "prediction, 3": (2.9, 3), "drawing, 1": (1, 1), "drawing, 3": (2, 2)}
    benchmark.report_whole(steps, whole, 3)
    out = capsys.readouterr().out
    assert re.search("^prediction   not measured: 3 frames took no longer than 1; use more --frames$", out, re.M)
    assert "video, prediction" not in out
    assert "video, drawing" in out


def test_bad_input_ends_in_a_line(tmp_path):
    benchmark = load_script("benchmarks", "video")
    (tmp_path / "text.mp4").write_text("no video")
    for name, part in (("text.mp4", "not a video"), ("none.mp4", "no such file")):
        done = call_script(benchmark, "--video", tmp_path / name)
        assert f"--video {tmp_path / name}: {part}" in done.last_error()
