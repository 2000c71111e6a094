"""Writes a training's logs: `options.json`, `log.txt`, TensorBoard events, and a message per epoch."""

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from utils.compute.distributed import ALONE, Processes
from utils.osutils import inform, warn, write_text, written_together
from utils.training.checkpoint_paths import BEST, LATEST
from utils.training.event_file import EventFile
from utils.training.log_files import (
    BETTER,
    LOG_FILE,
    OPTIONS_FILE,
    UNITS,
    is_part,
    read_log,
    read_units,
    rows_in_percent,
    shares_in,
)


class TrainingLog:
    """`log.txt` (tab-separated, a line per epoch), TensorBoard scalars and pictures, and a message per epoch.

    With several processes only rank 0 writes. On resume (`epochs_done` > 0) new lines follow those of the epochs done.
    """

    def __init__(
        self, directory: Path, tb_directory: Path, epochs_done: float, steps: int, processes: Processes = ALONE
    ):
        self._writer = None
        if not processes.is_main:
            return
        self._path = directory / LOG_FILE
        self._steps = steps
        self._columns, self._rows = read_log(self._path) if epochs_done and self._path.is_file() else ([], [])
        # A kill may have left the row of an epoch whose checkpoint is missing.
        rows = list({row["epoch"]: row for row in self._rows if row["epoch"] <= epochs_done}.values())
        if len(rows) < len(self._rows):
            self._rows = rows
            _write_log(self._path, self._columns, rows)
        purge_step = round(epochs_done * steps) + 1 if epochs_done else None
        self._writer = EventFile(tb_directory, purge_step)

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, *exception) -> None:
        if self._writer:
            self._writer.close()

    def step(self, iteration: int, scalars: dict[str, float]) -> None:
        if not self._writer:
            return
        named = {name if "/" in name else f"train_step/{name}": value for name, value in scalars.items()}
        self._writer.scalars(named, iteration)

    def epoch(
        self,
        epoch: int,
        learning_rate: float,
        seconds: float,
        train: Mapping[str, float],
        validation: Mapping[str, float],
        pictures: Mapping[str, Tensor],
        is_best: bool,
        write: Callable[[], None] = lambda: None,
    ) -> None:
        """Log a finished epoch: a row in log.txt, scalars and pictures in TensorBoard, a message.

        `write` writes the checkpoints, which appear together with the row, the latest one last.
        """
        if not self._writer:
            write()
            return
        row = {"epoch": epoch, "lr": learning_rate, "seconds": seconds}
        row |= {f"train/{name}": value for name, value in train.items()}
        row |= {f"val/{name}": value for name, value in validation.items()}
        self._columns += [name for name in row if name not in self._columns]
        self._rows.append(row)
        with written_together(last=LATEST):
            write()
            _write_log(self._path, self._columns, self._rows)
            step = epoch * self._steps
            self._writer.scalars({f"epoch/{name}": value for name, value in row.items() if name != "epoch"}, step)
            self._writer.pictures(pictures, step)
            self._writer.flush()
        # Parts of a metric (single actions) go to log.txt and TensorBoard only.
        brief = {name: value for name, value in row.items() if name != "epoch" and not is_part(name)}
        shown = "  ".join(f"{name} {value:.4g}" for name, value in brief.items())
        inform(f"epoch {epoch}  {shown}{'  (best so far)' if is_best else ''}")


def _write_log(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, float]]) -> None:
    lines = ["\t".join(columns)]
    lines += ["\t".join(f"{row.get(name, math.nan):.6g}" for name in columns) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def convert_shares(path: Path) -> None:
    """Convert a `log.txt` of an older version from fractions to percent. To be called before `write_options`."""
    if not path.is_file():
        return
    columns, rows = read_log(path)
    if rows and (shares := shares_in(columns, rows, read_units(path))):
        _write_log(path, columns, rows_in_percent(rows, shares))
        warn(f"{path}: rates are now in %; fractions of earlier epochs were converted, but not those in TensorBoard")


def write_options(
    path: Path, settings: Mapping[str, Any], job: Any, better: Mapping[str, str], units: Mapping[str, str]
) -> None:
    """Write `options.json`: settings, the launch ("job"), and per metric which value is "better" and its "units"."""
    write_text(path, json.dumps({**settings, "job": job, BETTER: dict(better), UNITS: dict(units)}, indent=1))


def put_aside(directory: Path, *others: Path) -> None:
    """Move an earlier run's folders to "<name>.old" (one generation), so that a new run does not overwrite them.

    Args:
        directory: holds the checkpoints. A run that died before its first checkpoint is deleted instead, since moving
            it would replace the ".old" of a run worth keeping.
        others: further folders of the same run.
    """
    is_worthless = directory.is_dir() and not any((directory / name).is_file() for name in (LATEST, BEST, LOG_FILE))
    for folder in (directory, *others):
        if not folder.is_dir() or not any(folder.iterdir()):
            continue
        if is_worthless:
            for path in (folder / OPTIONS_FILE, *folder.glob("events.out.tfevents.*")):
                path.unlink(missing_ok=True)
            continue
        old = folder.with_name(folder.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        warn(f"{folder} held an earlier run; moved to {old}")
