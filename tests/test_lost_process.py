"""A process of a training that is killed: the job ends with a line that says so, and goes on from its checkpoint."""

import os
import re
import signal
from pathlib import Path

import pytest
import torch
from command_line import ROOT, call
from launchers import launcher, none_left, process_of_rank, start, wait_for_line

from utils.training.log_files import read_log

pytestmark = pytest.mark.long  # processes of launchers, which import torch at every start

EXPERIMENT = Path("model_checkpoints/2d3d_h36m_default")
BATCH = 8  # of each of two processes
LOST = re.compile(
    r"rank 0: .*another process of this job has ended.*; the last checkpoint is intact, continue with --resume"
)


@pytest.fixture
def training(two_actions_h36m):
    """The arguments of a small one, 15 steps per epoch, that does the same in one process as in two."""

    def arguments(batch: int, *more: object) -> list[object]:
        return [
            "2d3d_h36m", "--data_dir", two_actions_h36m, "--action", "Walking", "--linear_size", 16, "--num_stage", 1,
            "--dropout", 0, "--weight_decay", 0.01, "--device", "cpu", "--train_batch_size", batch, *more,
        ]  # fmt: skip

    return arguments


def in_two(training, *more: object) -> list[object]:
    return [ROOT / "train.py", *training(BATCH, "--sync_batch_norm", *more)]


def kill_rank_1_after(launched, epoch: str) -> str:
    """Kill it when rank 0 says that this epoch (a regular expression) has ended; what was said until then."""
    said = wait_for_line(launched, lambda line: re.search(rf"epoch {epoch}  lr", line) is not None)
    os.kill(process_of_rank(launched, 1), signal.SIGKILL)
    return "".join(said)


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


def assert_checkpoint_is_whole(folder: Path, training, tmp_path: Path) -> None:
    """One process goes on from it, with minibatches as large as those of both."""
    done = torch.load(folder / EXPERIMENT / "checkpoint.pth.tar", weights_only=True)["epoch"]
    assert done >= 2
    assert not list((folder / EXPERIMENT).glob(".*"))
    call("train", *training(2 * BATCH, "--resume", "--epochs", done + 1), cwd=folder).succeeded()
    assert_as_never_killed(folder, training, done + 1, tmp_path)


def test_torchrun_continues_after_one_kill_and_ends_after_another(training, tmp_path):
    folder = tmp_path / "killed"
    folder.mkdir()
    call("train", *training(64, "--epochs", 1), cwd=folder).succeeded()  # an earlier experiment of that name
    launched = start(*launcher("torchrun", restarts=1), *in_two(training, "--epochs", 10_000), cwd=folder)
    with none_left([launched]):
        kill_rank_1_after(launched, "2")
        said = kill_rank_1_after(launched, "[0-9]+")
        last = launched.communicate(timeout=300)[0]
        assert launched.returncode != 0
    for part in (said, last):
        assert len(LOST.findall(part)) == 1, part
    assert "an earlier attempt of this job died; resuming from" in said
    assert_checkpoint_is_whole(folder, training, tmp_path)
    former = folder / EXPERIMENT.with_name(EXPERIMENT.name + ".old")
    assert len(read_log(former / "log.txt")[1]) == 1  # put aside once


def test_horovodrun_ends_after_a_kill(training, tmp_path):
    before = launcher("horovodrun")
    launched = start(*before, *in_two(training, "--epochs", 10_000, "--use_horovod"), cwd=tmp_path)
    with none_left([launched]):
        kill_rank_1_after(launched, "2")
        last = launched.communicate(timeout=300)[0]
        assert launched.returncode != 0
    assert len(LOST.findall(last)) == 1, last
    assert_checkpoint_is_whole(tmp_path, training, tmp_path)
