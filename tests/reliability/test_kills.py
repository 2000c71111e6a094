"""A training that is killed at any point of its writes leaves whole files, and resumes as if nothing had happened."""

import pytest
import torch
from forks import status_of_child
from kill_points import kill_at, noted
from tiny_trainer import all_files, assert_same_run, run
from training_results import log_of

from utils import osutils
from utils.training.checkpoints import read_checkpoint
from utils.training.log_files import read_log

EPOCHS = 3
FOLDER = "checkpoints/tiny_default"
BEST, LATEST = "model_best.pth.tar", "checkpoint.pth.tar"
START = [(event, "options.json") for event in ("opened", "written", "renaming", "renamed")]
WRITES = [(event, name) for name in (BEST, LATEST, "log.txt") for event in ("opened", "written")]
RENAMES = [(event, name) for name in (BEST, "log.txt", LATEST) for event in ("renaming", "renamed")]
EPOCH = [*WRITES, *RENAMES]  # of an epoch that is the best so far, as all are here


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that is not killed."""
    folder, points = tmp_path_factory.mktemp("whole"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(osutils, "_passed", noted(points))
        trainer = run(folder, epochs=EPOCHS)
    assert points == START + EPOCHS * EPOCH
    return folder, trainer


def killed(folder, number: int, **changes) -> None:
    def train() -> None:
        kill_at(number)
        run(folder, epochs=EPOCHS, **changes)

    assert status_of_child(train) == -9
    osutils.sweep.cache_clear()  # as in a new process


def assert_whole(folder, epochs: int) -> None:
    """Every file can be read, and none is older than the latest checkpoint."""
    latest = read_checkpoint(folder / FOLDER / LATEST)
    assert latest["epoch"] == epochs
    assert read_checkpoint(folder / FOLDER / BEST)["epoch"] in (epochs, epochs + 1)
    assert len(read_log(folder / FOLDER / "log.txt")[1]) in (epochs, epochs + 1)


def assert_as_if_nothing_had_happened(folder, trainer, whole) -> None:
    assert_same_run(trainer, whole[1])
    assert log_of(folder / FOLDER) == log_of(whole[0] / FOLDER)
    for name in (BEST, LATEST):
        one, other = (read_checkpoint(root / FOLDER / name) for root in (folder, whole[0]))
        for part in ("state_dict", "optimizer", "best", "epoch"):
            torch.testing.assert_close(one[part], other[part], rtol=0, atol=0)
        torch.testing.assert_close(one["rng"]["torch"], other["rng"]["torch"], rtol=0, atol=0)
    names = {path for path in all_files(folder) if "tfevents" not in path}
    assert names == {path for path in all_files(whole[0]) if "tfevents" not in path}


@pytest.mark.parametrize("point", range(len(EPOCH)), ids=["-".join(point) for point in EPOCH])
def test_a_kill_in_the_second_epochs_writes_loses_at_most_that_epoch(tmp_path, whole, point):
    killed(tmp_path, len(START) + len(EPOCH) + point)
    is_done = point == len(EPOCH) - 1  # the latest checkpoint is renamed
    assert_whole(tmp_path, 2 if is_done else 1)
    assert_as_if_nothing_had_happened(tmp_path, run(tmp_path, epochs=EPOCHS, resume=True), whole)


@pytest.mark.parametrize("number", [0, len(START) - 1, len(START) + 5, len(START) + len(EPOCH) - 2])
def test_a_kill_before_the_first_checkpoint_keeps_the_run_before(tmp_path, whole, number):
    """Its folder was moved aside; the next start does not replace it with that of the run that left nothing."""
    run(tmp_path, epochs=1)
    killed(tmp_path, number)
    run(tmp_path, epochs=EPOCHS)
    former = tmp_path / f"{FOLDER}.old"
    has_best = (former / LATEST).is_file() and read_checkpoint(former / LATEST)["epoch"] == 1
    assert has_best or read_checkpoint(former / BEST)["epoch"] == 1
    assert log_of(tmp_path / FOLDER) == log_of(whole[0] / FOLDER)
    assert not [path for path in all_files(tmp_path / FOLDER) if path.startswith(".")]


def test_two_kills_in_a_row(tmp_path, whole):
    killed(tmp_path, len(START) + len(EPOCH) + 8)  # between best and log
    # Repeated, the epoch is as good as its best checkpoint, which stays; the kill comes before the last renaming.
    killed(tmp_path, len(START) + 6, resume=True)
    assert_whole(tmp_path, 1)
    assert_as_if_nothing_had_happened(tmp_path, run(tmp_path, epochs=EPOCHS, resume=True), whole)
