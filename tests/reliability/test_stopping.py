"""Ctrl-C and SIGTERM before a training's loop; repeated and resumed runs that are equal bit for bit."""

import os
import signal
import subprocess
import time

import pytest
import torch
from command_line import call, command
from forks import status_of_child
from training_results import same

from options import GROUPS, SCRIPTS
from utils.command_line.cli import main
from utils.compute.determinism import deterministic
from utils.compute.early_signals import ending_signals
from utils.compute.stop_signal import StopSignal


def swallowing(number: int) -> None:
    """A library that catches everything."""
    try:
        os.kill(os.getpid(), number)
        time.sleep(1)
    except BaseException:
        pass


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, None), (signal.SIGTERM, 143)])
def test_a_signal_that_an_import_swallows_is_not_lost(number, status):
    former = signal.getsignal(number)
    ends = pytest.raises(KeyboardInterrupt if status is None else SystemExit)
    with ends as ended, ending_signals():
        swallowing(number)
        with StopSignal():
            pytest.fail("the loop has started")
    assert signal.getsignal(number) is former
    assert status is None or ended.value.code == status


def test_an_ignored_signal_stays_ignored():
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ending_signals() as handler:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
            handler.check()
    finally:
        signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_stopped_while_it_reads_data_cleans_up(tiny_h36m, tmp_path, number):
    folders = ("--data_dir", tiny_h36m, "--checkpoint_dir", tmp_path / "out", "--tb_dir", tmp_path)
    arguments = ["2d3d_h36m", "--epochs", 1, *folders]

    def stopped() -> None:
        from utils.doors import human36m

        def reading(*_):
            os.kill(os.getpid(), number)
            time.sleep(60)

        human36m.find_sequences = reading
        main("train", SCRIPTS["train"], GROUPS, list(map(str, arguments)))

    assert status_of_child(stopped) == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_first_second_ends_the_command(tiny_h36m, tmp_path):
    """It arrives while modules are still being imported."""
    arguments = ("2d3d_h36m", "--data_dir", tiny_h36m, "--epochs", 100_000)
    process = subprocess.Popen(
        command("train", *arguments), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    try:
        out, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode in (130, -signal.SIGINT)  # by the command, or by Python before it begins
    assert process.returncode == -signal.SIGINT or "Traceback" not in errors
    assert "epoch 1 " not in out


# ------------------------------------------------------------------------------------------ equal bits
LIFTER = ("2d3d_h36m", "--action", "Walking", "--linear_size", 16, "--num_stage", 1, "--train_batch_size", 24)
HOURGLASS = ("--stacks", 1, "--features", 8, "--train_batch_size", 4, "--test_batch_size", 4, "--workers", 0)
TRAININGS = {
    "lifter": ("h36m", LIFTER),
    "cycle_gan": ("h36m", (*LIFTER, "--cycle_gan")),
    "pose_gan": ("h36m", ("3d_pose_gan", *LIFTER[1:])),
    "hourglass": ("mpii", ("hourglass_mpii", *HOURGLASS, "--add_random_masking", "--predict_joint_visibility")),
    "stitched": ("images", ("stitched_fine_tune", "--train_batch_size", 2, "--test_batch_size", 3, "--workers", 0)),
}
NETWORKS = ("hourglass", "2d3d")


QUICK = ("lifter",)  # the others' own tests resume to the bit too, without --deterministic


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in TRAININGS],  # four trainings each
)
def test_repeated_and_resumed_deterministic_runs_are_equal_bit_for_bit(name, data_of_several, tmp_path):
    data, argv = TRAININGS[name]
    arguments = [*argv, "--data_dir", data_of_several[data], "--deterministic"]
    networks = [text for kind in NETWORKS for text in (f"--load_{kind}", data_of_several["folder"] / f"{kind}.pth.tar")]
    start = networks if name == "stitched" else []

    def trained(folder: str, *more: object) -> dict:
        folders = ("--checkpoint_dir", tmp_path / folder, "--tb_dir", tmp_path / folder / "tb")
        call("train", *arguments, *folders, *more).succeeded()
        [path] = (tmp_path / folder).glob("*/checkpoint.pth.tar")
        stored = torch.load(path, weights_only=True)
        kept = {key: stored[key] for key in ("state_dict", "optimizer", "best", "epoch")}
        return kept | {"rng": stored["rng"]["torch"]}

    once, again = (trained(folder, "--epochs", 2, *start) for folder in ("once", "again"))
    trained("parts", "--epochs", 1, *start)
    resumed = trained("parts", "--epochs", 2, "--resume")
    for other in (again, resumed):
        assert same(other, once)
    assert not torch.are_deterministic_algorithms_enabled()


def test_deterministic_algorithms_are_on_only_within_the_context():
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic():
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
