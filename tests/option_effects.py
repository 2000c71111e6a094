"""What the tests of a training script's options share: what a run left, and how an option must change it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Result, call
from shown_options import COMMAND_LINES
from torch.utils.data import DataLoader

from utils.training.log_files import read_log


@dataclass(frozen=True)
class Run:
    """What a run of `experiment` left in its working directory, and what it printed."""

    folder: Path
    experiment: str
    out: str = ""
    err: str = ""

    @property
    def checkpoints(self) -> Path:
        return self.folder / "model_checkpoints" / self.experiment

    def checkpoint(self) -> dict[str, Any]:
        return torch.load(self.checkpoints / "checkpoint.pth.tar", weights_only=True)

    def state(self) -> dict[str, torch.Tensor]:
        return self.checkpoint()["state_dict"]

    def log(self) -> list[dict[str, float]]:
        return read_log(self.checkpoints / "log.txt")[1]

    def options(self) -> dict[str, Any]:
        return json.loads((self.checkpoints / "options.json").read_text())


def run_once(train: Callable[..., Run]) -> Callable[..., Run]:
    """`run("--lr", 1e-2)`: `train` with these options; each set of options is run once."""
    done: dict[tuple, tuple[Run, set]] = {}

    def once(*argv: object) -> Run:
        key = (COMMAND_LINES.dropped, *argv)
        if key not in done:
            before, COMMAND_LINES.given = COMMAND_LINES.given, set()
            done[key] = train(*argv), COMMAND_LINES.given
            COMMAND_LINES.given = before
        result, given = done[key]
        COMMAND_LINES.given |= given
        return result

    return once


def launching(script: str, data_dir: Path, *small: object) -> Callable[..., Result]:
    """`launch(FOLDER, *argv, data_dir=...)`: `train.py script` with these options, in this working directory."""

    def launch(folder: Path, *argv: object, data_dir: Path = data_dir) -> Result:
        folder.mkdir(exist_ok=True)
        return call("train", script, "--data_dir", data_dir, *small, *argv, cwd=folder)

    return launch


def refused_training(launch: Callable[..., Result], folder: Path, *argv: object, **more: object) -> str:
    """The one line of a training that is refused, and leaves no experiment in its working directory."""
    error = launch(folder, *argv, **more).refusal()
    assert not list(folder.glob("model_checkpoints/**/*"))
    return error


@dataclass(frozen=True)
class Effect:
    """`changes` differs between runs with the options `base` and `base` + `adds`; `keeps` does not."""

    adds: tuple
    changes: Callable[[Run], Any]
    base: tuple = ()
    keeps: Callable[[Run], Any] | None = None


def assert_effect(run: Callable[..., Run], option: str, effect: Effect) -> None:
    """The option does what `effect` says, and is stored as it was given."""
    without, having = run(*effect.base), run(*effect.base, *effect.adds)
    assert effect.changes(having) != effect.changes(without)
    if effect.keeps:
        assert effect.keeps(having) == effect.keeps(without)
    assert having.options()[option] != without.options()[option]


def with_bad_losses(update: Callable) -> Callable:
    """An update hook whose losses are NaN, though it has trained."""

    def bad(self, *arguments):
        return {name: loss * torch.nan for name, loss in update(self, *arguments).items()}

    return bad


def assert_ended_by_bad_losses(checkpoints: Path, err: str) -> None:
    """One line says when and on which samples (photos by path, poses by sequence), and no checkpoint was written."""
    assert "error: the loss is NaN or infinite in 2 steps in a row, from step 1 (epoch 1) on samples " in err
    assert re.search(r" on samples (/.*\.(jpg|png), /|S\d+ [A-Z][A-Za-z]+.* row \d+( camera \d+)?, S)", err), err
    assert [path.name for path in checkpoints.iterdir() if path.suffix == ".tar"] == []


def noted_workers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many workers each loader gets, from now on."""
    noted, make = [], DataLoader.__init__

    def noting(self, *arguments, num_workers=0, **more):
        noted.append(num_workers)
        make(self, *arguments, num_workers=num_workers, **more)

    monkeypatch.setattr(DataLoader, "__init__", noting)
    return noted


# ------------------------------------------------------------------------------------------ what is compared


def weights(run: Run) -> list:
    """Everything that training moves."""
    return [(name, value.tolist()) for name, value in run.state().items() if "running_" not in name]


def running_statistics(run: Run) -> list:
    """Those of batch norm."""
    return [value.tolist() for name, value in run.state().items() if "running_" in name]


def validation(run: Run, rel: float = 1e-4, abs_: float = 0.0) -> dict:
    """The last validation, up to the last digits, which may depend on the batch size."""
    return {k: pytest.approx(v, rel=rel, abs=abs_) for k, v in run.log()[-1].items() if k.startswith("val/")}


def shapes(run: Run) -> dict:
    return {name: tuple(value.shape) for name, value in run.state().items()}


def printed_averages(run: Run) -> dict[str, float]:
    """The averages that `--evaluate` prints."""
    rows = (line.split("\t") for line in run.out.splitlines() if "\t" in line)
    return {name: float(value) for name, value in rows}


def columns(run: Run) -> set:
    return set(run.log()[-1])


def optimizer_fields(run: Run, optimizer: int = 0) -> set:
    """What an optimizer keeps of each weight."""
    return set(run.checkpoint()["optimizer"][optimizer]["state"][0])


def epochs(run: Run) -> int:
    return len(run.log())


def event_bytes(run: Run) -> int:
    return sum(path.stat().st_size for path in (run.folder / "tb_logs" / run.experiment).iterdir())


# Of options that all trainings have, with the same meaning.
OF_ALL_TRAININGS = {
    "epochs": Effect(("--epochs", 2), epochs),
    "schedule": Effect(("--schedule", 0), weights),
    "gamma": Effect(("--gamma", 0.5), weights, base=("--schedule", 0)),
    "weight_decay": Effect(("--weight_decay", 0.1), weights),
    "grad_clip": Effect(("--grad_clip", 1e-9), weights),
    "tb_log_freq": Effect(("--tb_log_freq", 1), event_bytes, keeps=weights),
    "precision": Effect(("--precision", "bf16"), weights),
    # Its effect, equal bits in repeated and resumed runs, is tested in tests/reliability/test_stopping.py.
    "deterministic": Effect(
        ("--deterministic",), lambda run: run.checkpoint()["options"]["deterministic"], keeps=weights
    ),
    "seed": Effect(("--seed", 1), weights),
}
