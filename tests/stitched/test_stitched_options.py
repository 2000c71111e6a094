"""Every option of `train.py stitched_fine_tune` changes what happens, and what has no effect is refused.

Runs go through the real entry point, in this process, on a few images.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from command_line import Result, call
from option_effects import (
    OF_ALL_TRAININGS,
    Effect,
    Run,
    epochs,
    launching,
    noted_workers,
    optimizer_fields,
    printed_averages,
    refused_training,
    run_once,
    running_statistics,
    weights,
)
from tiny_fine_tuning import NAME, SMALL, TRAINING, fine_tune, make_networks
from training_option_tests import TrainingOptionTests

from stitched.stitched_network import StitchedNetwork
from stitched.trainer import StitchedTrainer

SHOWN_SCRIPTS = [("train", "stitched_fine_tune")]


@pytest.fixture(scope="module")
def launch(h36m, networks) -> Callable[..., Result]:
    def launch_from(folder: Path, *argv: object, data_dir: Path = h36m, starts: tuple = networks) -> Result:
        starts = () if "--resume" in argv else starts
        return launching("stitched_fine_tune", data_dir, *SMALL, *starts)(folder, *argv)

    return launch_from


@pytest.fixture(scope="module")
def run(h36m, networks, tmp_path_factory) -> Callable[..., Run]:
    return run_once(lambda *argv: fine_tune(tmp_path_factory.mktemp("run"), h36m, *networks, *argv))


@pytest.fixture
def fails(launch, tmp_path) -> Callable[..., str]:
    """The one line of a run that is refused and leaves nothing."""
    return partial(refused_training, launch, tmp_path / "refused")


# ------------------------------------------------------------------------------------------ what is compared


def part(name: str) -> Callable[[Run], dict]:
    """All that a part of the network has, batch norm's statistics included."""
    return lambda run: {k: v.tolist() for k, v in run.checkpoint()["state_dict"].items() if k.startswith(f"{name}.")}


def validated_heatmap_loss(run: Run) -> float:
    return run.log()[-1]["val/heatmap_loss"]


EFFECTS = OF_ALL_TRAININGS | {
    "hourglass_lr": Effect(("--hourglass_lr", 1e-3), part("hourglass")),
    "lifter_lr": Effect(("--lifter_lr", 1e-3), part("lifter")),
    "heatmap_loss_coeff": Effect(("--heatmap_loss_coeff", 1), part("hourglass")),
    "pose_3d_loss_coeff": Effect(("--pose_3d_loss_coeff", 0), part("lifter")),
    "dropout": Effect(("--dropout", 0), weights),
    "batch_norm_momentum": Effect(("--batch_norm_momentum", 0.9), running_statistics),
    "sigma": Effect(("--sigma", 2), validated_heatmap_loss),
    "label_type": Effect(("--label_type", "Cauchy"), validated_heatmap_loss),
    "augment_training_data": Effect(("--augment_training_data", False), weights),
    "action": Effect(("--action", "Sitting"), lambda run: run.out.partition(" training and")[0].split()[-1]),
    "lr": Effect(("--lr", 1e-3), weights),
    "use_amsprop": Effect(("--use_amsprop",), optimizer_fields),
    "train_batch_size": Effect(("--train_batch_size", 2), weights),
}


class TestOptions(TrainingOptionTests):
    script, trainer, compiled, effects = "stitched_fine_tune", StitchedTrainer, StitchedNetwork, EFFECTS
    metric = "MPJPE"
    effects_take_long = True

    @pytest.mark.shows("evaluate", "load")
    def test_evaluate_validates_and_stops(self, run, h36m, launch, tmp_path):
        """Without training images."""
        source = run()
        only_test = shutil.copytree(h36m, tmp_path / "h36m", ignore=shutil.ignore_patterns("S1"))
        argv = ("--evaluate", "--load", source.checkpoints)
        result = launch(tmp_path / "work", *argv, data_dir=only_test).succeeded()
        evaluated = Run(tmp_path / "work", NAME, result.out)
        assert not evaluated.checkpoints.exists()
        averages = printed_averages(evaluated)
        for name in ("MPJPE", "P-MPJPE", "2D_error", "heatmap_loss"):
            assert averages[name] == pytest.approx(source.log()[-1][f"val/{name}"], rel=1e-4)

    @pytest.mark.shows("allow_unsafe_load")
    def test_old_pickles_load_only_where_allowed(self, run, fails, h36m, tmp_path):
        torch.save(run().checkpoint() | {"made": Path("here")}, tmp_path / "old.pth")  # an object, not a plain type
        argv = ("--load", tmp_path / "old.pth")
        assert "--allow_unsafe_load" in fails(*argv, starts=())
        fine_tune(tmp_path / "run", h36m, *argv, "--allow_unsafe_load", "--evaluate")


# ------------------------------------------------------------------------------------------ closer looks


def test_a_run_leaves_the_stated_files(run):
    assert {path.name for path in run().checkpoints.iterdir()} == {
        "checkpoint.pth.tar", "model_best.pth.tar", "log.txt", "options.json",
    }  # fmt: skip
    columns = {f"{where}/{loss}" for where in ("train", "val") for loss in ("loss", "heatmap_loss", "pose_3d_loss")}
    assert set(run().log()[-1]) == columns | {"epoch", "lr", "seconds", "val/MPJPE", "val/P-MPJPE", "val/2D_error"}


def test_printed_numbers_have_their_definitions(run):
    out = run().out
    assert "6 training and 4 validation images, instance normalisation" in out
    for words in ("MPJPE: mm, mean over 17 joints", "Procrustes", "2D_error: px of the image"):
        assert words in out


def test_the_stored_options_are_those_of_the_networks(run):
    stored = json.loads((run().checkpoints / "options.json").read_text())
    assert {name: stored[name] for name in ("stacks", "features", "linear_size", "num_stage")} == {
        "stacks": 1, "features": 8, "linear_size": 16, "num_stage": 1,
    }  # fmt: skip


@pytest.mark.shows("freeze")
def test_a_frozen_network_stays_as_it_is(run, networks):
    starts = [torch.load(path, weights_only=True)["state_dict"] for path in networks[1::2]]
    for name, start in zip(("hourglass", "lifter"), starts, strict=True):
        before = {f"{name}.{key}": value.tolist() for key, value in start.items()}
        frozen = run("--freeze", name)
        assert part(name)(frozen) == before
        assert part(name)(run()) != before
        other = {"hourglass": "lifter", "lifter": "hourglass"}[name]
        assert part(other)(frozen) != part(other)(run("--freeze", other))
        assert [group["name"] for group in frozen.checkpoint()["optimizer"][0]["param_groups"]] == [other]


@pytest.mark.shows("remove_intermediate_supervision")
def test_intermediate_supervision_can_be_left_out(h36m, tmp_path):
    two_stacks = make_networks(tmp_path, h36m, stacks=2)
    every, last = (
        fine_tune(tmp_path / name, h36m, *two_stacks, *argv)
        for name, argv in (("every", ()), ("last", ("--remove_intermediate_supervision",)))
    )
    assert weights(every) != weights(last)
    assert validated_heatmap_loss(last) < 0.8 * validated_heatmap_loss(every)


@pytest.mark.shows("workers")
def test_workers_reach_the_loaders_and_do_the_same(run, h36m, networks, tmp_path, monkeypatch):
    noted = noted_workers(monkeypatch)
    again = fine_tune(tmp_path, h36m, *networks, "--workers", 1)
    assert noted == [1, 1]  # training, validation
    assert weights(again) == weights(run())


@pytest.mark.shows("load")
def test_a_whole_checkpoint_wins(run, h36m, networks, tmp_path):
    source = run("--lr", 1e-3)
    loaded = fine_tune(tmp_path, h36m, *networks, "--load", source.checkpoints, "--lr", 1e-20)
    assert f"--load_hourglass and --load_2d3d ignored: --load {source.checkpoints} is a whole" in loaded.err
    before, after = source.checkpoint(), loaded.checkpoint()
    for name, value in before["state_dict"].items():
        if "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(after["state_dict"][name], value, rtol=0, atol=1e-12)
    for name in ("normalisation", "mean", "soft_argmax", "skeleton"):
        assert after[name] == before[name]
    assert epochs(loaded) == 1


# Option, another value than that of the checkpoints, and theirs.
STORED = [
    ("stacks", 2, 1),
    ("features", 16, 8),
    ("blocks", 2, 1),
    ("num_classes", 14, 16),
    ("use_layer_norm", True, False),
    ("no_batch_norm_affine", True, False),
    ("predict_joint_visibility", True, False),
    ("add_attention", True, False),
    ("attention_history_length", 3, 8),
    ("attention_heads", 2, 4),
    ("attention_levels", 2, 1),
    ("linear_size", 32, 16),
    ("num_stage", 2, 1),
    ("dataset_normalization", True, "instance"),
]


@pytest.mark.parametrize(
    ("option", "value", "stored"),
    [pytest.param(*case, marks=pytest.mark.shows(case[0])) for case in STORED],
)
def test_an_option_that_contradicts_a_checkpoint_is_refused(fails, option, value, stored):
    error = fails(f"--{option}", value)
    assert f"--{option} {value}" in error
    assert f"was trained with {stored}" in error


def test_options_that_agree_with_the_checkpoints_are_taken(run):
    agreeing = ("--stacks", 1, "--linear_size", 16, "--dataset_normalization", False)
    assert weights(run(*agreeing)) == weights(run())


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("--freeze", "hourglass", "--hourglass_lr", 1e-3), "--hourglass_lr has no effect with --freeze hourglass"),
        (("--freeze", "hourglass", "--heatmap_loss_coeff", 2), "--heatmap_loss_coeff"),
        (("--freeze", "hourglass", "--batch_norm_momentum", 0.2), "--batch_norm_momentum"),
        (("--freeze", "lifter", "--lifter_lr", 1e-3), "--lifter_lr has no effect with --freeze lifter"),
        (("--freeze", "lifter", "--dropout", 0.1), "--dropout"),
        (("--freeze", "both"), "--freeze"),
        (("--hourglass_lr", 1e-4, "--lifter_lr", 1e-4, "--lr", 1e-3), "--lr has no effect"),
        (("--hourglass_lr", 0), "--hourglass_lr"),
        (("--pose_3d_loss_coeff", -1), "--pose_3d_loss_coeff"),
        (("--freeze", "hourglass", "--pose_3d_loss_coeff", 0), "no loss left"),
        (("--heatmap_loss_coeff", 0, "--pose_3d_loss_coeff", 0), "no loss left"),
        (("--action", "Walkin"), "did you mean Walking?"),
        (("--action", "Eating"), "no sequence of"),
        pytest.param(
            ("--sync_batch_norm",),
            "--sync_batch_norm is for several processes",
            marks=pytest.mark.shows("sync_batch_norm"),
        ),
        (("--train_batch_size", 1), "batch norm needs two"),
        (("--train_batch_size", TRAINING - 1), "batch norm needs two"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_contradicting_and_useless_options_are_refused(fails, argv, named):
    assert named in fails(*argv)


def test_with_the_lifter_frozen_a_last_batch_of_one_is_no_fault(h36m, networks, tmp_path):
    run = fine_tune(tmp_path, h36m, *networks, "--freeze", "lifter", "--train_batch_size", 5)
    assert epochs(run) == 1


@pytest.mark.shows("load_hourglass", "load_2d3d")
def test_networks_are_needed(fails, networks):
    assert "--load_hourglass and --load_2d3d missing" in fails(starts=())
    assert "--load_2d3d missing" in fails(starts=networks[:2])
    assert "swap the two" in fails(starts=("--load_hourglass", networks[3], "--load_2d3d", networks[1]))


def test_resume_takes_no_other_networks(run, h36m, networks):
    error = call("train", "stitched_fine_tune", "--data_dir", h36m, "--resume", *networks, cwd=run().folder).refusal()
    assert "--load_hourglass contradicts --resume" in error


def test_a_folder_without_images_is_refused(fails, h36m, tmp_path):
    poses_alone = shutil.copytree(h36m, tmp_path / "h36m", ignore=shutil.ignore_patterns("images"))
    error = fails(data_dir=poses_alone)
    assert "no image of these" in error
    assert "000001.jpg" in error
