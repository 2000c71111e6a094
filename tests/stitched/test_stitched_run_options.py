"""Options of `run.py stitched_mpii` and `stitched_h36m`: what each changes, and what is refused."""

import sys
from pathlib import Path

import pytest
import test_live
import test_stitched_run
import test_stitched_run_h36m
import test_stitched_run_video
import torch
from shown_options import assert_all_shown
from stitched_runs import poses

from stacked_hourglass import demo_weights
from stitched import run as run_module

SHOWN_SCRIPTS = [("run", "stitched_mpii"), ("run", "stitched_h36m")]

# Option -> another value than that of the two networks, and theirs.
OTHER_SHAPES = {
    "stacks": (2, 1), "features": (16, 8), "blocks": (2, 1), "num_classes": (14, 16), "use_layer_norm": (True, False),
    "no_batch_norm_affine": (True, False), "batch_norm_momentum": (0.7, 0.1), "predict_joint_visibility": (True, False),
    "linear_size": (32, 16), "num_stage": (2, 1), "dataset_normalization": (True, "instance"),
    "add_attention": (True, False), "attention_history_length": (3, 8), "attention_heads": (2, 4),
    "attention_levels": (2, 1),
}  # fmt: skip
OF_LIFTER = ("linear_size", "num_stage", "dataset_normalization")


@pytest.mark.shows("load")
def test_a_whole_checkpoint_equals_the_two_and_takes_precedence(run, photos, networks, stitched, tmp_path):
    run(photos).succeeded()
    run(photos, load=("--load", stitched), out="one").succeeded()
    [warning] = run(photos, load=("--load", stitched, *networks[:2]), out="three").warnings()
    assert "--load_hourglass ignored" in warning
    for folder in ("one", "three"):
        for name, people in poses(tmp_path / folder).items():
            torch.testing.assert_close(people, poses(tmp_path / "out")[name])


def test_without_a_checkpoint_the_demo_weights_are_used(run, photos, h36m, stitched, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", stitched)
    for script, data in (("stitched_mpii", photos), ("stitched_h36m", h36m)):
        demo = run(data, load=(), script=script, out=f"demo_{script}").succeeded()
        assert demo.out.startswith(f"no checkpoint given: the demo weights {stitched} are used; they are weak ")
        given = run(data, load=("--load", stitched), script=script, out=script).succeeded()
        assert "demo" not in given.out
        for name, people in poses(tmp_path / script).items():
            torch.testing.assert_close(people, poses(tmp_path / f"demo_{script}")[name])


@pytest.mark.shows("load_hourglass", "load_2d3d")
def test_checkpoints_that_do_not_fit(run, photos, networks, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", tmp_path / "none.pth.tar")
    _, hourglass, _, lifter = networks
    assert "swap the two" in run(photos, load=("--load_hourglass", lifter, "--load_2d3d", hourglass)).refusal()
    missing = run(photos, load=()).refusal()
    assert all(f"--{name}" in missing for name in ("load_hourglass", "load_2d3d", "load"))
    assert "--load_2d3d missing" in run(photos, load=("--load_hourglass", hourglass)).refusal()
    assert "not a stitched network" in run(photos, load=("--load", lifter)).refusal()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("script", "data", "more", "named"),
    [
        ("stitched_mpii", "7", (), "--data_dir 7: no camera with this index responds"),
        ("stitched_mpii", "none.mp4", (), "--data_dir none.mp4: no such file"),
        ("stitched_mpii", "text.mp4", (), "not a video"),
        ("stitched_mpii", "empty.mp4", (), "empty file, not a video"),
        ("stitched_mpii", "photos", ("--max_frames", 3), "--max_frames 3: only for a video"),
        ("stitched_mpii", "photos", ("--max_frames", 0), "--max_frames"),
        ("stitched_mpii", "photos", ("--run_with_train",), "has no annotations"),
        ("stitched_mpii", "photos", ("--person_box", "hug"), "did you mean hog?"),
        ("stitched_h36m", "photos", (), "no Human3.6M poses"),
        ("stitched_h36m", "photos", ("--action", "Walkin"), "did you mean Walking?"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else value,
)
def test_unusable_input_is_refused_in_one_line(run, photos, tmp_path, script, data, more, named):
    (tmp_path / "text.mp4").write_bytes(b"this is no video " * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert named in run(data, *more, script=script).refusal()
    assert not (tmp_path / "out").exists()


@pytest.mark.shows("debug_traceback")
def test_a_refusal_can_show_its_traceback(run, photos):
    assert "Traceback (most recent call last)" in run(photos, "--run_with_train", "--debug_traceback").err


@pytest.mark.shows("allow_unsafe_load")
def test_old_pickles_load_only_where_allowed(run, photos, networks, tmp_path):
    content = torch.load(networks[1], weights_only=True) | {"made": Path("here")}  # an object, not a plain type
    torch.save(content, tmp_path / "old.pth")
    load = ("--load_hourglass", tmp_path / "old.pth", *networks[2:])
    assert "--allow_unsafe_load" in run(photos, load=load).refusal()
    run(photos, "--allow_unsafe_load", load=load).succeeded()


@pytest.mark.parametrize(
    ("option", "values"),
    [pytest.param(*item, marks=pytest.mark.shows(item[0])) for item in OTHER_SHAPES.items()],
    ids=OTHER_SHAPES,
)
def test_an_option_that_contradicts_a_checkpoint_is_refused(run, photos, networks, stitched, tmp_path, option, values):
    asked, stored = values
    refused = run(photos, f"--{option}", asked).refusal()
    path = networks[3] if option in OF_LIFTER else networks[1]
    assert f"--{option} {asked}" in refused
    assert f"{path} was trained with {stored}" in refused
    refused = run(photos, f"--{option}", asked, load=("--load", stitched)).refusal()
    assert f"{stitched} was trained with {stored}" in refused
    assert not (tmp_path / "out").exists()


def test_options_that_agree_with_the_checkpoints_are_accepted(run, photos, h36m, networks):
    agreeing = ("--stacks", 1, "--features", 8, "--linear_size", 16, "--num_stage", 1, "--dataset_normalization", False)
    run(photos, *agreeing).succeeded()
    refused = run(h36m, "--stacks", 2, *agreeing[2:], script="stitched_h36m").refusal()
    assert f"--stacks 2: {networks[1]} was trained with 1" in refused


@pytest.mark.parametrize("script", ["stitched_mpii", "stitched_h36m"])
@pytest.mark.shows("precision", "flip", "compile", "test_batch_size", "seed", "device")
def test_options_reach_the_predictor_and_the_loaders(run, script, photos, h36m, monkeypatch):
    seen = {}

    class Recorder(run_module.StitchedPredictor):
        def __init__(self, network, precision, flip, compiled):
            seen.update(device=network.mean.device.type, precision=precision, flip=flip, compiled=compiled)
            seen.update(image_scale=network.image_scale, draw=torch.rand(()).item())
            super().__init__(network, precision, flip, False)

        def __call__(self, crops, to_photo):
            seen.setdefault("batch", len(crops))
            return super().__call__(crops, to_photo)

    monkeypatch.setattr(run_module, "StitchedPredictor", Recorder)
    more = ("--precision", "bf16", "--flip", "--compile", "--test_batch_size", 2)
    data, scale = (photos, "any") if script == "stitched_mpii" else (h36m, "human36m")
    run(data, *more, script=script).succeeded()
    draws = [seen.pop("draw")]
    expected = {"device": "cpu", "precision": "bf16", "flip": True, "compiled": True, "batch": 2}
    assert seen == expected | {"image_scale": scale}
    for seed in (0, 1):
        run(data, *more, "--seed", seed, script=script, out=f"seed_{seed}").succeeded()
        draws.append(seen.pop("draw"))
    assert draws[0] == draws[1] != draws[2]
    assert "--device cuda:99" in run(data, "--device", "cuda:99", script=script).refusal()


def test_every_option_has_a_test():
    modules = (sys.modules[__name__], test_stitched_run, test_stitched_run_video, test_stitched_run_h36m, test_live)
    assert_all_shown(SHOWN_SCRIPTS, modules)
