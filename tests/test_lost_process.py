"""A process of a training that is killed: the job ends with a line that says so, and goes on from its checkpoint."""

import os
import re
import signal
from pathlib import Path

import pytest
import torch
from command_line import ROOT, call
from launchers import ENGINES, finish, launcher, machines, none_left, process_of_rank, start, wait_for_line

from utils.training_log import read_log

EXPERIMENT = Path("model_checkpoints/2d3d_h36m_default")
BATCH = 8  # of each of two processes
LOST = re.compile(
    r"rank 0: .*another process of this job has ended.*; the last checkpoint is whole, go on with --resume"
)


@pytest.fixture
def training(tiny_h36m):
    """The arguments of a small one, 15 steps an epoch, that does the same in one process as in two."""

    def arguments(batch: int, *more: object) -> list[object]:
        return [
            "2d3d_h36m", "--data_dir", tiny_h36m, "--action", "Walking", "--linear_size", 16, "--num_stage", 1,
            "--dropout", 0, "--weight_decay", 0.01, "--device", "cpu", "--train_batch_size", batch, *more,
        ]  # fmt: skip

    return arguments


def in_two(training, *more: object) -> list[object]:
    return [ROOT / "train.py", *training(BATCH, "--sync_batch_norm", *more)]


def kill_rank_1(*launched) -> None:
    """At the second epoch's end, of which rank 0 of the first launcher tells."""
    wait_for_line(launched[0], lambda line: "epoch 2  " in line)
    os.kill(process_of_rank(launched[-1], 1), signal.SIGKILL)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / EXPERIMENT / "checkpoint.pth.tar", weights_only=True)["state_dict"]


def assert_as_never_killed(folder: Path, training, epochs: int, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    call("train", *training(2 * BATCH, "--epochs", epochs), cwd=tmp_path / "whole").succeeded()
    torch.testing.assert_close(weights(folder), weights(tmp_path / "whole"), rtol=1e-4, atol=1e-4)
    logs = [read_log(one / EXPERIMENT / "log.txt")[1] for one in (folder, tmp_path / "whole")]
    assert [row["epoch"] for row in logs[0]] == list(range(1, epochs + 1))
    for found, expected in zip(*logs, strict=True):
        assert found["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_process_ends_the_job(engine, training, tmp_path):
    before = launcher(engine)
    options = ["--use_horovod"] if engine == "horovodrun" else []
    folder = tmp_path / "killed"
    folder.mkdir()
    launched = start(*before, *in_two(training, "--epochs", 10_000, *options), cwd=folder)
    with none_left([launched]):
        kill_rank_1(launched)
        said = launched.communicate(timeout=120)[0]
        assert launched.returncode != 0
    assert len(LOST.findall(said)) == 1, said
    done = torch.load(folder / EXPERIMENT / "checkpoint.pth.tar", weights_only=True)["epoch"]
    assert done >= 2
    assert not list((folder / EXPERIMENT).glob(".*"))
    resumed = training(2 * BATCH, "--resume", "--epochs", done + 1)
    call("train", *resumed, cwd=folder).succeeded()
    assert_as_never_killed(folder, training, done + 1, tmp_path)


def test_torchrun_goes_on_after_a_kill(training, tmp_path):
    """On two "machines", each with a torchrun of its own; the folder is one that both see."""
    (tmp_path / "former").mkdir()
    call("train", *training(64, "--epochs", 1), cwd=tmp_path / "former").succeeded()
    folder = tmp_path / "former"
    command = in_two(training, "--epochs", 6)
    launched = [start(*one, *command, cwd=folder) for one in machines(2, restarts=1)]
    kill_rank_1(*launched)
    printed = finish(*launched)
    assert len(LOST.findall(printed[0])) == 1
    assert "an earlier attempt of this job has died; going on from" in printed[0]
    assert_as_never_killed(folder, training, 6, tmp_path)
    old = folder / EXPERIMENT.with_name(EXPERIMENT.name + ".old")
    assert len(read_log(old / "log.txt")[1]) == 1  # put aside once: the training before this job
