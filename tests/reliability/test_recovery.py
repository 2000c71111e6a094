"""Resuming with a best checkpoint that is missing, damaged, or older or newer than the latest."""

import shutil

import pytest
from tiny_trainer import run

from utils.training.checkpoints import read_checkpoint, write_checkpoint

FOLDER = "checkpoints/tiny_default"
BEST, LATEST = "model_best.pth.tar", "checkpoint.pth.tar"


def metric(*values: float) -> dict:
    return {"metric": lambda epoch: values[epoch - 1], "best_metric": "metric"}


def test_a_missing_best_is_restored_from_the_latest_that_has_it(tmp_path, capsys):
    """Earlier versions wrote the latest checkpoint first, so that a kill could leave this."""
    run(tmp_path, epochs=2, settings=metric(3, 2))
    (tmp_path / FOLDER / BEST).unlink()
    run(tmp_path, epochs=3, resume=True, settings=metric(5))
    assert "model_best.pth.tar is missing; restored from checkpoint.pth.tar" in capsys.readouterr().err
    best = read_checkpoint(tmp_path / FOLDER / BEST)
    assert (best["epoch"], best["best"]) == (2, 2)


def test_an_older_best_is_restored_too(tmp_path, capsys):
    run(tmp_path, epochs=1, settings=metric(3))
    shutil.copy(tmp_path / FOLDER / BEST, tmp_path / "older")
    run(tmp_path, epochs=2, resume=True, settings=metric(2))
    shutil.move(tmp_path / "older", tmp_path / FOLDER / BEST)
    run(tmp_path, epochs=3, resume=True, settings=metric(2.5))
    assert "is older than the best epoch; restored from" in capsys.readouterr().err
    assert read_checkpoint(tmp_path / FOLDER / BEST)["epoch"] == 2


@pytest.mark.parametrize("damage", [b"", b"no checkpoint"])
def test_a_best_that_no_file_has_is_replaced_by_the_next(tmp_path, capsys, damage):
    run(tmp_path, epochs=2, settings=metric(2, 3))
    (tmp_path / FOLDER / BEST).write_bytes(damage)
    run(tmp_path, epochs=3, resume=True, settings=metric(2.5))
    assert "no other file has the network with metric 2; the next epoch becomes the best" in capsys.readouterr().err
    assert read_checkpoint(tmp_path / FOLDER / BEST)["best"] == 2.5


def test_a_best_ahead_of_the_latest_is_not_replaced_by_a_worse_one(tmp_path):
    """After a kill between the two writes, training goes on with other options."""
    run(tmp_path, epochs=1, settings=metric(3))
    latest = read_checkpoint(tmp_path / FOLDER / LATEST)
    write_checkpoint(tmp_path / FOLDER / BEST, latest | {"epoch": 2, "best": 1.0})
    run(tmp_path, epochs=3, resume=True, settings=metric(2, 0.5))
    best = read_checkpoint(tmp_path / FOLDER / BEST)
    assert (best["epoch"], best["best"]) == (3, 0.5)
    write_checkpoint(tmp_path / FOLDER / BEST, best | {"best": 0.25})
    run(tmp_path, epochs=4, resume=True, settings=metric(0.375))
    assert read_checkpoint(tmp_path / FOLDER / BEST)["best"] == 0.25
