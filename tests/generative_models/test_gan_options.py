"""Every option of `train.py 3d_pose_gan` changes what happens, and what has no effect is refused.

Runs go through the real entry point, in this process, on one action of the tiny data.
"""

import sys
from collections.abc import Callable
from functools import partial
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
    columns,
    epochs,
    optimizer_fields,
    refused_training,
    run_once,
    shapes,
    weights,
    with_bad_losses,
)
from option_effects import validation as validation_of
from torch import nn

from generative_models.fc_gan import Generator
from generative_models.trainer import GANTrainer
from options import GROUPS, SCRIPTS

NAME = "3d_pose_gan_default"
# Two or three critic steps an epoch, one of them with a generator step.
SMALL = (
    "--linear_size", 16, "--num_stage", 1, "--latent_size", 4, "--epochs", 1, "--train_batch_size", 16, "--action",
    "Walking", "--num_discriminator_steps_per_generator_step", 2, "--device", "cpu",
)  # fmt: skip


def train(folder: Path, data_dir: Path, *argv: object) -> Run:
    folder.mkdir(exist_ok=True)
    result = call("train", "3d_pose_gan", "--data_dir", data_dir, *SMALL, *argv, cwd=folder).succeeded()
    return Run(folder, NAME, result.out)


@pytest.fixture(scope="module")
def run(tiny_h36m, tmp_path_factory) -> Callable[..., Run]:
    return run_once(lambda *argv: train(tmp_path_factory.mktemp("run"), tiny_h36m, *argv))


@pytest.fixture
def fails(tiny_h36m, tmp_path) -> Callable[..., str]:
    """The one line of a run that is refused and leaves nothing."""

    def failing(*argv: object, data_dir: Path = tiny_h36m) -> str:
        return refused_training(tmp_path / "failing", "3d_pose_gan", "--data_dir", data_dir, *SMALL, *argv)

    return failing


# ------------------------------------------------------------------------------------------ what is compared


def generator_steps(run: Run) -> float:
    return run.checkpoint()["state_dict"]["updates"].item()


def real_spread(run: Run) -> float:
    return run.log()[-1]["val/spread_real"]


validation = partial(validation_of, rel=1e-3, abs_=1e-3)
UNPENALISED = ("--gradient_penalty_coeff", 0)

EFFECTS = OF_ALL_TRAININGS | {
    # the networks
    "linear_size": Effect(("--linear_size", 24), shapes),
    "num_stage": Effect(("--num_stage", 2), shapes),
    "latent_size": Effect(("--latent_size", 6), shapes),
    # poses
    "action": Effect(("--action", "Sitting,Walking"), real_spread),
    "held_out": Effect(("--held_out", "clips"), real_spread),
    # the objective
    "gradient_penalty_coeff": Effect(("--gradient_penalty_coeff", 0), columns),
    "clip_max": Effect(("--clip_max", 0.05), weights, base=UNPENALISED),
    "num_discriminator_steps_per_generator_step": Effect(
        ("--num_discriminator_steps_per_generator_step", 1), generator_steps
    ),
    # optimisation
    "lr": Effect(("--lr", 1e-2), weights),
    "use_amsprop": Effect(("--use_amsprop",), partial(optimizer_fields, optimizer=1)),
    "train_batch_size": Effect(("--train_batch_size", 8), weights),
}


def test_every_option_has_a_test():
    options = {option.name for _, option in SCRIPTS["train"]["3d_pose_gan"].options(GROUPS)}
    assert_tested(options, EFFECTS, globals())


def test_the_same_options_do_the_same(run, tiny_h36m, tmp_path):
    """Else a difference would mean nothing."""
    again = train(tmp_path, tiny_h36m)
    assert weights(again) == weights(run())
    assert validation(again) == validation(run())


@pytest.mark.usefixtures("bf16_cpu")
@pytest.mark.parametrize("option", EFFECTS)
def test_an_option_changes_what_happens(run, option):
    assert_effect(run, option, EFFECTS[option])


# ------------------------------------------------------------------------------------------ closer looks


def test_a_run_leaves_the_stated_files_and_measures(run):
    assert {path.name for path in run().checkpoints.iterdir()} == {
        "checkpoint.pth.tar", "model_best.pth.tar", "log.txt", "options.json",
    }  # fmt: skip
    measures = ("1-NN_real", "1-NN_generated", "SW", "SW_real", "SW_parts", "SW_training")
    bones = ("asymmetry", "asymmetry_real", "spread", "spread_real")
    assert {f"val/{name}" for name in (*measures, *bones)} <= columns(run())
    assert {"train/wasserstein", "train/penalty", "train/critic_loss", "train/generator_loss"} <= columns(run())
    assert run().checkpoint()["best"] == pytest.approx(run().log()[-1]["val/SW"], rel=1e-4)


def test_what_is_printed_says_what_it_is(run):
    for part in ("50 is perfect", "sliced 2-Wasserstein distance, mm", "asymmetry: mm", "held-out poses (S9, S11)"):
        assert part in run().out


def test_a_penalised_critic_is_not_clipped_and_the_other_way_round(run):
    def largest(one: Run) -> float:
        return max(v.abs().max() for k, v in one.checkpoint()["state_dict"].items() if k.startswith("critic"))

    assert largest(run()) > 0.1
    assert largest(run(*UNPENALISED)) == pytest.approx(0.01)
    assert largest(run(*UNPENALISED, "--clip_max", 0.05)) == pytest.approx(0.05)
    assert "train/penalty" not in columns(run(*UNPENALISED))


def test_clipping_of_gradients_can_be_left_out(run):
    assert weights(run("--grad_clip", 1e-9)) != weights(run("--no_grad_clipping"))
    assert weights(run("--no_grad_clipping")) == weights(run("--grad_clip", 1e9))


def test_batches_of_validation_do_not_matter(run):
    assert validation(run("--test_batch_size", 5)) == validation(run())
    assert weights(run("--test_batch_size", 5)) == weights(run())


def test_workers_are_said_to_be_of_no_use(run):
    assert "--workers 1: ignored" in run("--workers", 1).out
    assert "ignored" not in run().out


def test_exp_and_directories_name_where_things_go(tiny_h36m, tmp_path):
    train(tmp_path, tiny_h36m, "--exp", "second", "--checkpoint_dir", "a/b", "--tb_dir", "events")
    assert (tmp_path / "a/b/3d_pose_gan_second/checkpoint.pth.tar").is_file()
    assert len(list((tmp_path / "events/3d_pose_gan_second").iterdir())) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a", "events"}


def test_load_starts_from_weights_and_scale(run, tiny_h36m, tmp_path):
    source = run()
    loaded = train(tmp_path, tiny_h36m, "--load", source.checkpoints, "--lr", 1e-20, "--action", "Sitting")
    for name in ("scale", "generator.network.first.weight", "critic.network.first.weight"):
        assert torch.equal(loaded.checkpoint()["state_dict"][name], source.checkpoint()["state_dict"][name])
    assert epochs(loaded) == 1


def test_load_takes_the_shape_of_the_checkpoint(run, tiny_h36m, tmp_path, fails):
    source = run("--linear_size", 24)
    error = fails("--load", source.checkpoints)
    assert "--linear_size 16" in error
    assert "trained with 24" in error
    for option in ("--num_stage", "--latent_size"):
        assert f"{option} 9" in fails("--load", run().checkpoints, option, 9)


def test_load_of_another_network_is_refused(fails, tmp_path):
    torch.save({"script": "hourglass_mpii", "state_dict": {"conv1.weight": torch.zeros(8, 3)}}, tmp_path / "other.pth")
    error = fails("--load", tmp_path / "other.pth")
    assert "no pose GAN (it was written by train.py hourglass_mpii)" in error
    assert "no such checkpoint" in fails("--load", tmp_path / "nothing.pth")


def test_old_pickles_load_only_where_allowed(run, fails, tiny_h36m, tmp_path):
    old = {"state_dict": run().checkpoint()["state_dict"], "made": Path("here")}  # an object, not a plain type
    torch.save(old, tmp_path / "old.pth")
    assert "--allow_unsafe_load" in fails("--load", tmp_path / "old.pth")
    loaded = train(tmp_path / "run", tiny_h36m, "--load", tmp_path / "old.pth", "--allow_unsafe_load", "--lr", 1e-20)
    name = "generator.network.first.weight"
    assert torch.equal(loaded.checkpoint()["state_dict"][name], old["state_dict"][name])


def test_evaluate_measures_and_stops(run, tiny_h36m, tmp_path):
    source = run()
    evaluated = train(tmp_path, tiny_h36m, "--evaluate", "--load", source.checkpoints)
    assert not evaluated.checkpoints.exists()
    printed = dict(line.split("\t") for line in evaluated.out.splitlines() if "\t" in line)
    assert float(printed["SW"]) == pytest.approx(source.log()[-1]["val/SW"], rel=1e-4)


def test_resume_keeps_the_experiment_and_takes_a_new_rate_for_both_optimizers(tiny_h36m, tmp_path):
    train(tmp_path, tiny_h36m)
    argv = ("--data_dir", tiny_h36m, "--resume", "--epochs", 2, "--lr", 0.25)
    call("train", "3d_pose_gan", *argv, cwd=tmp_path).succeeded()
    resumed = Run(tmp_path, NAME)
    assert epochs(resumed) == 2
    assert [group["lr"] for state in resumed.checkpoint()["optimizer"] for group in state["param_groups"]] == [0.25] * 2
    assert resumed.checkpoint()["options"]["linear_size"] == 16


def test_compile_compiles_the_generator(tiny_h36m, tmp_path, monkeypatch):
    """A critic can't be: the gradient penalty differentiates it twice."""
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(type(self)))
    train(tmp_path, tiny_h36m, "--evaluate")
    assert compiled == []
    train(tmp_path, tiny_h36m, "--evaluate", "--compile")
    assert compiled == [Generator]


def test_a_loss_that_is_nan_ends_the_training(tiny_h36m, tmp_path, monkeypatch):
    monkeypatch.setattr(GANTrainer, "update", with_bad_losses(GANTrainer.update))
    ended = call("train", "3d_pose_gan", "--data_dir", tiny_h36m, *SMALL, "--max_bad_steps", 1, cwd=tmp_path)
    assert ended.status == 1
    assert_ended_by_bad_losses(tmp_path / "model_checkpoints" / NAME, ended.err)


def test_horovod_is_refused_where_it_is_not_installed(fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "horovod.torch", None)
    assert "scripts/install_horovod.sh" in fails("--use_horovod")


def test_debug_traceback_shows_it(tmp_path):
    argv = ("--data_dir", tmp_path / "nowhere", *SMALL, "--debug_traceback")
    assert "Traceback (most recent call last)" in call("train", "3d_pose_gan", *argv, cwd=tmp_path).err


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("--clip_max", 0.01), "--clip_max is for a critic without gradient penalty"),
        (("--clip_max", 0.01, "--gradient_penalty_coeff", 5), "--gradient_penalty_coeff 0"),
        (("--clip_max", 0, *UNPENALISED), "--clip_max"),
        (("--gradient_penalty_coeff", -1), "--gradient_penalty_coeff"),
        (("--num_discriminator_steps_per_generator_step", 0), "--num_discriminator_steps_per_generator_step"),
        (("--latent_size", 0), "--latent_size"),
        (("--action", "Walkin"), "did you mean Walking?"),
        (("--no_grad_clipping", "--grad_clip", 3), "--grad_clip"),
        (("--resume", "--load", "there"), "--resume"),
        (("--resume",), "--resume"),
        (("--scale_lr",), "--scale_lr is for several processes"),
        (("--compression", "fp16"), "--compression is for several processes"),
        (("--device", "tpu9"), "--device tpu9"),
        (("--precision", "fp16"), "--precision fp16 needs a GPU"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_contradicts_itself_or_has_no_effect_is_refused(fails, argv, named):
    assert named in fails(*argv)


def test_data_dir_is_what_is_read(fails, tmp_path):
    assert "no such folder" in fails(data_dir=tmp_path / "nowhere")
    assert "no Human3.6M poses" in fails(data_dir=tmp_path)
