"""Every option of `train.py stitched_fine_tune` changes what happens, and what has no effect is refused.

Runs go through the real entry point, in this process, on a few images.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import call
from option_effects import (
    OF_ALL_TRAININGS,
    Effect,
    Run,
    assert_effect,
    assert_ended_by_bad_losses,
    assert_tested,
    epochs,
    optimizer_fields,
    refused_training,
    run_once,
    running_statistics,
    validation,
    weights,
    with_bad_losses,
)
from tiny_fine_tuning import NAME, SMALL, TRAINING, fine_tune, make_images, make_networks
from torch import nn

from options import GROUPS, SCRIPTS
from stitched.stitched_network import StitchedNetwork
from stitched.trainer import StitchedTrainer


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return make_images(tmp_path_factory.mktemp("data") / "h36m")


@pytest.fixture(scope="module")
def networks(images, tmp_path_factory) -> tuple:
    """The options that load the two networks."""
    return make_networks(tmp_path_factory.mktemp("networks"), images)


@pytest.fixture(scope="module")
def run(images, networks, tmp_path_factory) -> Callable[..., Run]:
    return run_once(lambda *argv: fine_tune(tmp_path_factory.mktemp("run"), images, *networks, *argv))


@pytest.fixture
def fails(images, networks, tmp_path) -> Callable[..., str]:
    """The one line of a run that is refused and leaves nothing."""

    def failing(*argv: object, data_dir: Path = images, starts: tuple = networks) -> str:
        return refused_training(
            tmp_path / "refused", "stitched_fine_tune", "--data_dir", data_dir, *SMALL, *starts, *argv
        )

    return failing


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


def test_every_option_has_a_test():
    options = {option.name for _, option in SCRIPTS["train"]["stitched_fine_tune"].options(GROUPS)}
    assert_tested(options, EFFECTS, globals())


def test_the_same_options_do_the_same(run, images, networks, tmp_path):
    """Else a difference would mean nothing."""
    again = fine_tune(tmp_path, images, *networks)
    assert weights(again) == weights(run())
    assert validation(again) == validation(run())


@pytest.mark.usefixtures("bf16_cpu")
@pytest.mark.parametrize("option", EFFECTS)
def test_an_option_changes_what_happens(run, option):
    assert_effect(run, option, EFFECTS[option])


# ------------------------------------------------------------------------------------------ closer looks


def test_a_run_leaves_the_stated_files(run):
    assert {path.name for path in run().checkpoints.iterdir()} == {
        "checkpoint.pth.tar", "model_best.pth.tar", "log.txt", "options.json",
    }  # fmt: skip
    columns = {f"{where}/{loss}" for where in ("train", "val") for loss in ("loss", "heatmap_loss", "pose_3d_loss")}
    assert set(run().log()[-1]) == columns | {"epoch", "lr", "seconds", "val/MPJPE", "val/P-MPJPE", "val/2D_error"}


def test_what_is_printed_says_what_it_is(run):
    out = run().out
    assert "6 training and 4 validation images, instance normalisation" in out
    for words in ("MPJPE: mm, mean over 17 joints", "Procrustes", "2D_error: px of the image"):
        assert words in out


def test_the_stored_options_are_those_of_the_networks(run):
    stored = json.loads((run().checkpoints / "options.json").read_text())
    assert {name: stored[name] for name in ("stacks", "features", "linear_size", "num_stage")} == {
        "stacks": 1, "features": 8, "linear_size": 16, "num_stage": 1,
    }  # fmt: skip


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


def test_intermediate_supervision_can_be_left_out(images, tmp_path):
    two_stacks = make_networks(tmp_path, images, stacks=2)
    every, last = (
        fine_tune(tmp_path / name, images, *two_stacks, *argv)
        for name, argv in (("every", ()), ("last", ("--remove_intermediate_supervision",)))
    )
    assert weights(every) != weights(last)
    assert validated_heatmap_loss(last) < 0.8 * validated_heatmap_loss(every)


def test_clipping_can_be_left_out(run):
    assert weights(run("--grad_clip", 1e-9)) != weights(run("--no_grad_clipping"))
    assert weights(run("--no_grad_clipping")) == weights(run("--grad_clip", 1e9))


def test_batches_of_validation_do_not_matter(run):
    assert validation(run("--test_batch_size", 3)) == validation(run())
    assert weights(run("--test_batch_size", 3)) == weights(run())


def test_workers_do_the_same(run):
    again = run("--workers", 1)
    assert weights(again) == weights(run())


def test_exp_and_directories_name_where_things_go(images, networks, tmp_path):
    fine_tune(tmp_path, images, *networks, "--exp", "second", "--checkpoint_dir", "a/b", "--tb_dir", "events")
    assert (tmp_path / "a/b/stitched_fine_tune_second/checkpoint.pth.tar").is_file()
    assert len(list((tmp_path / "events/stitched_fine_tune_second").iterdir())) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a", "events"}


def test_a_whole_checkpoint_wins(run, images, networks, tmp_path):
    source = run("--lr", 1e-3)
    loaded = fine_tune(tmp_path, images, *networks, "--load", source.checkpoints, "--lr", 1e-20)
    assert f"--load_hourglass and --load_2d3d ignored: --load {source.checkpoints} is a whole" in loaded.err
    before, after = source.checkpoint(), loaded.checkpoint()
    for name, value in before["state_dict"].items():
        if "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(after["state_dict"][name], value, rtol=0, atol=1e-12)
    for name in ("normalisation", "mean", "soft_argmax", "skeleton"):
        assert after[name] == before[name]
    assert epochs(loaded) == 1


@pytest.mark.parametrize(
    ("option", "value", "stored"),
    [
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
        ("linear_size", 32, 16),
        ("num_stage", 2, 1),
        ("dataset_normalization", True, "instance"),
    ],
)
def test_an_option_that_contradicts_a_checkpoint_is_refused(fails, option, value, stored):
    error = fails(f"--{option}", value)
    assert f"--{option} {value}" in error
    assert f"was trained with {stored}" in error


def test_options_that_agree_with_the_checkpoints_are_taken(run):
    agreeing = ("--stacks", 1, "--linear_size", 16, "--dataset_normalization", False)
    assert weights(run(*agreeing)) == weights(run())


def test_evaluate_validates_and_stops(run, images, tmp_path):
    source = run()
    only_test = shutil.copytree(images, tmp_path / "h36m", ignore=shutil.ignore_patterns("S1"))
    evaluated = fine_tune(tmp_path / "work", only_test, "--evaluate", "--load", source.checkpoints)
    assert not evaluated.checkpoints.exists()
    printed = dict(line.split("\t") for line in evaluated.out.splitlines() if "\t" in line)
    for name in ("MPJPE", "P-MPJPE", "2D_error", "heatmap_loss"):
        assert float(printed[name]) == pytest.approx(source.log()[-1][f"val/{name}"], rel=1e-4)


def test_compile_compiles_the_network(images, networks, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(type(self)))
    fine_tune(tmp_path, images, *networks, "--evaluate")
    assert compiled == []
    fine_tune(tmp_path, images, *networks, "--evaluate", "--compile")
    assert compiled == [StitchedNetwork]


def test_old_pickles_load_only_where_allowed(run, fails, images, tmp_path):
    torch.save(run().checkpoint() | {"made": Path("here")}, tmp_path / "old.pth")  # an object, not a plain type
    argv = ("--load", tmp_path / "old.pth")
    assert "--allow_unsafe_load" in fails(*argv, starts=())
    fine_tune(tmp_path / "run", images, *argv, "--allow_unsafe_load", "--evaluate")


def test_a_loss_that_is_nan_ends_the_training(images, networks, tmp_path, monkeypatch):
    monkeypatch.setattr(StitchedTrainer, "update", with_bad_losses(StitchedTrainer.update))
    ended = call(
        "train", "stitched_fine_tune", "--data_dir", images, *SMALL, *networks, "--max_bad_steps", 1, cwd=tmp_path
    )
    assert ended.status == 1
    assert_ended_by_bad_losses(tmp_path / "model_checkpoints" / NAME, ended.err)


def test_horovod_is_refused_where_it_is_not_installed(fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "horovod.torch", None)
    assert "scripts/install_horovod.sh" in fails("--use_horovod")


def test_debug_traceback_shows_it(networks, tmp_path):
    argv = ("--data_dir", tmp_path / "nowhere", *SMALL, *networks, "--debug_traceback")
    assert "Traceback (most recent call last)" in call("train", "stitched_fine_tune", *argv, cwd=tmp_path).err


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
        (("--no_grad_clipping", "--grad_clip", 3), "--grad_clip"),
        (("--resume",), "--resume"),
        (("--scale_lr",), "--scale_lr is for several processes"),
        (("--compression", "fp16"), "--compression is for several processes"),
        (("--sync_batch_norm",), "--sync_batch_norm is for several processes"),
        (("--device", "tpu9"), "--device tpu9"),
        (("--precision", "fp16"), "--precision fp16 needs a GPU"),
        (("--train_batch_size", 1), "batch norm needs two"),
        (("--train_batch_size", TRAINING - 1), "batch norm needs two"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_contradicts_itself_or_has_no_effect_is_refused(fails, argv, named):
    assert named in fails(*argv)


def test_a_batch_of_one_is_enough_for_the_hourglass_alone(images, networks, tmp_path):
    run = fine_tune(tmp_path, images, *networks, "--freeze", "lifter", "--train_batch_size", 5)
    assert epochs(run) == 1


def test_networks_are_needed(fails, networks):
    assert "--load_hourglass and --load_2d3d missing" in fails(starts=())
    assert "--load_2d3d missing" in fails(starts=networks[:2])
    assert "swap the two" in fails(starts=("--load_hourglass", networks[3], "--load_2d3d", networks[1]))


def test_resume_takes_no_other_networks(run, images, networks):
    error = call("train", "stitched_fine_tune", "--data_dir", images, "--resume", *networks, cwd=run().folder).refusal()
    assert "--load_hourglass contradicts --resume" in error


def test_data_dir_is_what_is_read(fails, images, tmp_path):
    assert "no such folder" in fails(data_dir=tmp_path / "nowhere")
    poses_alone = shutil.copytree(images, tmp_path / "h36m", ignore=shutil.ignore_patterns("images"))
    error = fails(data_dir=poses_alone)
    assert "no image of these" in error
    assert "000001.jpg" in error
