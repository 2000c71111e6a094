"""Every option of `train.py 2d3d_h36m` changes what happens, and what has no effect is refused.

Runs go through the real entry point, in this process, on two actions of the tiny data.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from command_line import Result
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
from training_option_tests import TrainingOptionTests

from twod_threed.detector_errors import save_errors
from twod_threed.model import LinearModel
from twod_threed.trainer import LifterTrainer
from utils.camera_utils import CAMERA_NAMES
from utils.human36m.actions import ACTIONS, TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.transform import H36M_2D, MPII

SHOWN_SCRIPTS = [("train", "2d3d_h36m")]
NAME = "2d3d_h36m_default"
ERRORS = "file of detector errors"
# About three steps, one epoch.
SMALL = (
    "--linear_size", 16, "--num_stage", 1, "--epochs", 1, "--train_batch_size", 128, "--action", "Walking",
    "--device", "cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def detected(two_actions_h36m, tmp_path_factory) -> Path:
    """The tiny data with detections of Walking that are 5 px off, in MPII order."""
    folder = tmp_path_factory.mktemp("detected") / "h36m"
    shutil.copytree(two_actions_h36m, folder)
    files = find_sequences(folder)
    poses = load_pose_set(files, TRAIN_SUBJECTS + TEST_SUBJECTS, ["Walking"])
    shared = [joint for joint in H36M_2D.joints if joint not in ("spine", "thorax")]
    for name, index in poses.clips():
        subject, sequence, camera = name.split("/")
        assert camera in CAMERA_NAMES
        projected = poses.poses(index)[0]
        found = torch.zeros(len(index), 16, 2)
        found[:, MPII.indices(shared)] = projected[:, H36M_2D.indices(shared)] + 5
        found[:, MPII.indices(["thorax", "upper_neck"])] = projected[:, H36M_2D.indices(["spine", "thorax"])] + 5
        path = folder / subject / "StackedHourglass" / f"{sequence}.{camera}.h5"
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            file["poses"] = found.numpy()
    return folder


@pytest.fixture(scope="module")
def launch(detected) -> Callable[..., Result]:
    return launching("2d3d_h36m", detected, *SMALL)


def train(launch, folder: Path, *argv: object) -> Run:
    return Run(folder, NAME, launch(folder, *argv).succeeded().out)


@pytest.fixture(scope="module")
def run(launch, tmp_path_factory) -> Callable[..., Run]:
    """ERRORS on a command line becomes a file of detector errors."""
    errors = tmp_path_factory.mktemp("errors") / "errors.npz"
    save_errors(errors, np.full((2, 16, 2), 0.1, np.float32))

    def start(*argv: object) -> Run:
        return train(launch, tmp_path_factory.mktemp("run"), *(errors if one is ERRORS else one for one in argv))

    return run_once(start)


@pytest.fixture
def fails(two_actions_h36m, tmp_path) -> Callable[..., str]:
    """The one line of a run, on data without detections, that is refused and leaves nothing."""
    return partial(refused_training, launching("2d3d_h36m", two_actions_h36m, *SMALL), tmp_path / "failing")


# ------------------------------------------------------------------------------------------ what is compared


def kind(run: Run) -> str:
    return run.checkpoint()["normalisation"]["kind"]


def companions(run: Run) -> list:
    """Of projection and critics: what is compared are numbers that training moves."""
    return [(k, v.tolist()) for k, v in run.checkpoint().get("cycle_gan", {}).items() if "running_" not in k]


TURNS = ("--orthogonal_data_augmentation",)
CYCLE = ("--cycle_gan",)

EFFECTS = OF_ALL_TRAININGS | {
    # the network
    "linear_size": Effect(("--linear_size", 24), shapes),
    "num_stage": Effect(("--num_stage", 2), shapes),
    "dropout": Effect(("--dropout", 0), weights),
    "max_norm": Effect(("--max_norm", 0), weights),
    # poses
    "dataset_normalization": Effect(("--dataset_normalization",), kind),
    "orthogonal_data_augmentation": Effect(TURNS, weights),
    "orthogonal_data_augmentation_prob": Effect(("--orthogonal_data_augmentation_prob", 0.3), weights, base=TURNS),
    "flip_prob": Effect(("--flip_prob", 0), weights, base=TURNS),
    "z_rotations_only": Effect(("--z_rotations_only",), weights, base=TURNS),
    "drop_joint_prob": Effect(("--drop_joint_prob", 0.2), weights),
    "use_hg": Effect(("--use_hg",), weights),
    "input_places": Effect(("--input_places", "mpii"), weights),
    "detector_errors": Effect(("--detector_errors", ERRORS), weights),
    "action": Effect(("--action", "Sitting,Walking"), weights),
    # validation
    "procrustes": Effect(("--procrustes",), columns, keeps=weights),
    # optimisation
    "lr": Effect(("--lr", 1e-2), weights),
    "lr_decay": Effect(("--lr_decay", 1), weights),
    "lr_gamma": Effect(("--lr_gamma", 0.1), weights, base=("--lr_decay", 2)),
    "use_amsprop": Effect(("--use_amsprop",), optimizer_fields),
    "train_batch_size": Effect(("--train_batch_size", 64), weights),
    # the cycle GAN
    "cycle_gan": Effect(CYCLE, weights),
    "gan_coeff": Effect(("--gan_coeff", 0), weights, base=CYCLE),
    "cycle_coeff": Effect(("--cycle_coeff", 0), weights, base=CYCLE),
    "regression_coeff": Effect(("--regression_coeff", 0), weights, base=CYCLE),
    "gradient_penalty_coeff": Effect(("--gradient_penalty_coeff", 1), companions, base=CYCLE),
    "discr_updates_per_gen_update": Effect(("--discr_updates_per_gen_update", 1), companions, base=CYCLE),
    "use_fc_for_projection": Effect(("--use_fc_for_projection",), companions, base=CYCLE),
    "project_lr": Effect(("--project_lr", 1e-2), companions, base=CYCLE),
    "discr_2d_lr": Effect(("--discr_2d_lr", 1e-2), companions, base=CYCLE),
    "discr_3d_lr": Effect(("--discr_3d_lr", 1e-2), companions, base=CYCLE),
    # machine
    "workers": Effect(("--workers", 1), lambda run: "--workers 1: ignored" in run.out, keeps=weights),
}


class TestOptions(TrainingOptionTests):
    script, trainer, compiled, effects, metric = "2d3d_h36m", LifterTrainer, LinearModel, EFFECTS, "MPJPE"


# ------------------------------------------------------------------------------------------ closer looks


def test_a_run_leaves_the_stated_files(run):
    assert {path.name for path in run().checkpoints.iterdir()} == {
        "checkpoint.pth.tar", "model_best.pth.tar", "log.txt", "options.json",
    }  # fmt: skip
    assert {"epoch", "lr", "train/loss", "val/loss", "val/MPJPE", "val/MPJPE/Walking"} <= columns(run())
    assert kind(run()) == "instance"


def test_printed_numbers_have_their_definitions(run):
    out = run().out
    assert "Protocol 1" in out
    assert "mm" in out
    assert "training and" in out


def test_the_given_actions_are_validated_and_all_by_default(run, parse_options):
    both = columns(run("--action", "Sitting,Walking"))
    assert both - columns(run()) == {"val/MPJPE/Sitting"}
    assert "val/MPJPE/Walking" in both
    assert parse_options(script="2d3d_h36m").action == "All"
    assert len(ACTIONS) == 15


def test_the_log_has_the_rate_of_an_epochs_last_step(run):
    rates = [row["lr"] for row in run("--lr_gamma", 0.1, "--lr_decay", 2, "--epochs", 2).log()]
    assert rates == pytest.approx([1e-3 * 0.1 ** (last / 2) for last in (1, 3)])  # two steps per epoch


@pytest.mark.shows("load")
def test_load_starts_from_weights_and_normalisation(run, launch, tmp_path):
    source = run("--dataset_normalization")
    loaded = train(launch, tmp_path, "--load", source.checkpoints, "--lr", 1e-20, "--max_norm", 0)
    assert weights(loaded)[0] == weights(source)[0]
    assert loaded.checkpoint()["normalisation"] == source.checkpoint()["normalisation"]
    assert epochs(loaded) == 1


@pytest.mark.shows("load")
def test_load_takes_the_3d_baseline_of_a_stitched_checkpoint(run, launch, tmp_path):
    source = run("--dataset_normalization")
    content = source.checkpoint()
    state = {f"lifter.{name}": value for name, value in content["state_dict"].items()}
    facts = {"state_dict": {"hourglass.bias": torch.zeros(2)} | state, "normalisation": content["normalisation"]}
    torch.save(facts, tmp_path / "stitched.pth.tar")
    loaded = train(launch, tmp_path, "--load", tmp_path / "stitched.pth.tar", "--lr", 1e-20, "--max_norm", 0)
    assert weights(loaded)[0] == weights(source)[0]
    assert kind(loaded) == "dataset"


def test_load_of_another_shape_is_refused(run, fails, tmp_path):
    source = run().checkpoints
    error = fails("--load", source, "--linear_size", 24)
    assert "--linear_size 24" in error
    assert "trained with 16" in error
    assert "instance" in fails("--load", source, "--dataset_normalization")
    assert "no such checkpoint" in fails("--load", source / "nothing.pth")


def test_load_of_another_network_is_refused(fails, tmp_path):
    torch.save({"conv1.weight": torch.zeros(8, 3, 7, 7)}, tmp_path / "hourglass.pth")
    assert "no 3D baseline network" in fails("--load", tmp_path / "hourglass.pth")


@pytest.mark.shows("load")
def test_load_takes_a_published_checkpoint(launch, tmp_path):
    """32 → 48, without normalisation: it was trained with that of the data set."""
    torch.manual_seed(3)
    state = LinearModel(16, 1, output_size=48).state_dict()
    torch.save({"state_dict": state, "epoch": 200}, tmp_path / "published.pth.tar")
    argv = ("--load", tmp_path / "published.pth.tar", "--lr", 1e-20, "--max_norm", 0)
    loaded = train(launch, tmp_path / "run", *argv)
    assert torch.equal(loaded.checkpoint()["state_dict"]["w1.weight"], state["w1.weight"])
    assert kind(loaded) == "dataset"


def test_detector_errors_are_also_measured(run):
    with_errors = run("--detector_errors", ERRORS)
    assert columns(with_errors) - columns(run()) == {"val/MPJPE_detected"}
    assert with_errors.checkpoint()["best"] == pytest.approx(with_errors.log()[-1]["val/MPJPE_detected"], rel=1e-4)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("--flip_prob", 0.2), "needs --orthogonal_data_augmentation"),
        (("--z_rotations_only",), "needs --orthogonal_data_augmentation"),
        (("--orthogonal_data_augmentation_prob", 0.2), "needs --orthogonal_data_augmentation"),
        (("--use_hg", *TURNS), "--use_hg"),
        (("--use_hg",), "no detected 2D poses"),
        (("--action", "Walkin"), "did you mean Walking?"),
        pytest.param(
            ("--sync_batch_norm",),
            "--sync_batch_norm is for several processes",
            marks=pytest.mark.shows("sync_batch_norm"),
        ),
        (("--gan_coeff", 1), "--gan_coeff needs --cycle_gan"),
        (("--cycle_coeff", 1), "--cycle_coeff needs --cycle_gan"),
        (("--regression_coeff", 0), "--regression_coeff needs --cycle_gan"),
        (("--gradient_penalty_coeff", 1), "--gradient_penalty_coeff needs --cycle_gan"),
        (("--discr_updates_per_gen_update", 1), "--discr_updates_per_gen_update needs --cycle_gan"),
        (("--use_fc_for_projection",), "--use_fc_for_projection needs --cycle_gan"),
        (("--project_lr", 1), "--project_lr needs --cycle_gan"),
        (("--discr_3d_lr", 1, "--no_cycle_gan"), "--discr_3d_lr needs --cycle_gan"),
        ((*CYCLE, "--gan_coeff", 0, "--discr_2d_lr", 1), "--discr_2d_lr is for the critics"),
        ((*CYCLE, "--gradient_penalty_coeff", 0), "--gradient_penalty_coeff 0"),
        ((*CYCLE, "--gan_coeff", 0, "--cycle_coeff", 0, "--regression_coeff", 0), "are all 0; give at least one"),
        ((*CYCLE, "--project_lr", 0), "--project_lr"),
        (("--dropout", 1.5), "--dropout"),
        (("--linear_size", 0), "--linear_size"),
        (("--train_batch_size", 1), "batch norm needs two"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_contradicting_and_useless_options_are_refused(fails, argv, named):
    assert named in fails(*argv)


def test_a_last_batch_of_one_is_refused(fails, launch, two_actions_h36m, tmp_path):
    samples = len(load_pose_set(find_sequences(two_actions_h36m), TRAIN_SUBJECTS, ["Walking"]))
    assert f"--train_batch_size {samples - 1}" in fails("--train_batch_size", samples - 1)
    train(launch, tmp_path, "--train_batch_size", samples - 1, "--evaluate")
    train(launch, tmp_path, "--train_batch_size", samples - 2)


def test_a_folder_without_poses_is_refused(fails, tmp_path):
    assert "no Human3.6M poses" in fails(data_dir=tmp_path)
