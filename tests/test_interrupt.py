"""Ctrl-C and kill in the middle of a training, through the real command line."""

import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command_line import TRAINED_FILES, Experiment, call, command, files, train_arguments

# Three starts of the command line. Ctrl-C within a training is also in tests/stitched/test_stitched_trainer.py, in this
# process; kills are in tests/reliability/test_kills.py, of forked ones.
pytestmark = pytest.mark.long


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    """Starts a training in a process group of its own, as a terminal does; it does not outlive the test."""
    started: list[subprocess.Popen] = []

    def start_training(*arguments: object) -> subprocess.Popen:
        with open(tmp_path / f"stderr_{len(started)}.txt", "w") as stderr:
            started.append(
                subprocess.Popen(
                    command("train", *arguments), cwd=tmp_path, text=True,
                    stdout=subprocess.PIPE, stderr=stderr, start_new_session=True,
                )
            )  # fmt: skip
        return started[-1]

    yield start_training
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def wait_for_epoch(process: subprocess.Popen, start: str = "epoch ") -> None:
    """Returns when the process says that an epoch, or this one, has ended."""
    line = next((line for line in process.stdout if line.startswith(start)), None)
    assert line, "the training ended too early"


def test_interrupted_and_killed_training_continues(tiny_mpii, tmp_path, start):
    experiment = Experiment(tmp_path)
    endless = train_arguments(tiny_mpii, tmp_path, "--epochs", 100_000)

    process = start(*endless)
    wait_for_epoch(process, "epoch 2 ")
    time.sleep(0.3)  # most often within the next epoch; directly after that line counts as well
    os.killpg(process.pid, signal.SIGINT)  # to the workers too, as Ctrl-C does
    assert process.wait(timeout=180) == 130
    errors = (tmp_path / "stderr_0.txt").read_text()
    assert "Traceback" not in errors
    assert "--resume" in errors
    stopped = torch.load(experiment.checkpoint, weights_only=True)["epoch"]
    assert stopped > 1
    assert [row["epoch"] for row in experiment.log()] == list(range(1, math.floor(stopped) + 1))

    process = start(*endless, "--resume")
    wait_for_epoch(process)
    time.sleep(0.3)  # somewhere in the next epochs: a step, a validation or a write
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=180) == -signal.SIGKILL
    killed = torch.load(experiment.checkpoint, weights_only=True)["epoch"]
    assert killed > stopped
    assert len(experiment.log()) in (killed, killed - 1)  # the log's line follows the checkpoint

    last = math.floor(killed) + 1
    call("train", *train_arguments(tiny_mpii, tmp_path, "--resume", "--epochs", last, workers=0)).succeeded()
    assert [row["epoch"] for row in experiment.log()] == list(range(1, last + 1))
    assert set(TRAINED_FILES) <= set(files(experiment.folder))
