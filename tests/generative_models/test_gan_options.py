"""Every option of `train.py 3d_pose_gan` changes what happens, and what has no effect is refused.

Runs go through the real entry point, in this process, on one action of the tiny data.
"""

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
    columns,
    epochs,
    launching,
    optimizer_fields,
    refused_training,
    run_once,
    shapes,
    weights,
)
from option_effects import validation as validation_of
from training_option_tests import TrainingOptionTests

from generative_models.fc_gan import Generator, PoseGAN
from generative_models.trainer import GANTrainer

SHOWN_SCRIPTS = [("train", "3d_pose_gan")]
NAME = "3d_pose_gan_default"
# Two or three critic steps per epoch, one of them with a generator step.
SMALL = (
    "--linear_size", 16, "--num_stage", 1, "--latent_size", 4, "--epochs", 1, "--train_batch_size", 16, "--action",
    "Walking", "--num_discriminator_steps_per_generator_step", 2, "--device", "cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def launch(two_actions_h36m) -> Callable[..., Result]:
    return launching("3d_pose_gan", two_actions_h36m, *SMALL)


def train(launch, folder: Path, *argv: object) -> Run:
    return Run(folder, NAME, launch(folder, *argv).succeeded().out)


@pytest.fixture(scope="module")
def run(launch, tmp_path_factory) -> Callable[..., Run]:
    return run_once(lambda *argv: train(launch, tmp_path_factory.mktemp("run"), *argv))


@pytest.fixture
def fails(launch, tmp_path) -> Callable[..., str]:
    """The one line of a run that is refused and leaves nothing."""
    return partial(refused_training, launch, tmp_path / "failing")


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
    "action": Effect(("--action", "Sitting,Walking"), weights),
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


class TestOptions(TrainingOptionTests):
    """A critic can't be compiled: the gradient penalty differentiates it twice."""

    script, trainer, compiled, effects, metric = "3d_pose_gan", GANTrainer, Generator, EFFECTS, "SW"
    validation = staticmethod(validation)

    def validated(self, monkeypatch) -> list[int]:
        """The measures need whole samples; the option says how many poses are generated at once."""
        sizes, sample = [], PoseGAN.sample

        def noting(model, count, rng, at_once):
            sizes.append(at_once)
            return sample(model, count, rng, at_once)

        monkeypatch.setattr(PoseGAN, "sample", noting)
        return sizes


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


def test_printed_numbers_have_their_definitions(run):
    for part in ("50 is perfect", "sliced 2-Wasserstein distance, mm", "asymmetry: mm", "held-out poses (S9, S11)"):
        assert part in run().out


def test_a_penalised_critic_is_not_clipped_and_the_other_way_round(run):
    def largest(one: Run) -> float:
        return max(v.abs().max() for k, v in one.checkpoint()["state_dict"].items() if k.startswith("critic"))

    assert largest(run()) > 0.1
    assert largest(run(*UNPENALISED)) == pytest.approx(0.01)
    assert largest(run(*UNPENALISED, "--clip_max", 0.05)) == pytest.approx(0.05)
    assert "train/penalty" not in columns(run(*UNPENALISED))


def test_action_also_chooses_the_held_out_poses(run):
    assert real_spread(run("--action", "Sitting,Walking")) != real_spread(run())


@pytest.mark.shows("workers")
def test_workers_are_reported_as_ignored(run):
    assert "--workers 1: ignored" in run("--workers", 1).out
    assert "ignored" not in run().out


@pytest.mark.shows("load")
def test_load_starts_from_weights_and_scale(run, launch, tmp_path):
    source = run()
    loaded = train(launch, tmp_path, "--load", source.checkpoints, "--lr", 1e-20, "--action", "Sitting")
    for name in ("scale", "generator.network.first.weight", "critic.network.first.weight"):
        assert torch.equal(loaded.checkpoint()["state_dict"][name], source.checkpoint()["state_dict"][name])
    assert epochs(loaded) == 1


def test_load_takes_the_shape_of_the_checkpoint(run, fails):
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


@pytest.mark.shows("resume")
def test_resume_keeps_the_experiment_and_takes_a_new_rate_for_both_optimizers(launch, two_actions_h36m, tmp_path):
    train(launch, tmp_path)
    argv = ("--data_dir", two_actions_h36m, "--resume", "--epochs", 2, "--lr", 0.25)
    call("train", "3d_pose_gan", *argv, cwd=tmp_path).succeeded()
    resumed = Run(tmp_path, NAME)
    assert epochs(resumed) == 2
    assert [group["lr"] for state in resumed.checkpoint()["optimizer"] for group in state["param_groups"]] == [0.25] * 2
    assert resumed.checkpoint()["options"]["linear_size"] == 16


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
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_contradicting_and_useless_options_are_refused(fails, argv, named):
    assert named in fails(*argv)


def test_a_folder_without_poses_is_refused(fails, tmp_path):
    assert "no Human3.6M poses" in fails(data_dir=tmp_path)
