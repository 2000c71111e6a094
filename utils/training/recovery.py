"""Repairs on resume what a kill left between the files of one epoch."""

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from utils.osutils import UserError, atomic_path, warn
from utils.training.checkpoint_paths import BEST, LATEST
from utils.training.checkpoints import read_checkpoint
from utils.training.log_files import LOG_FILE, read_log

Value = float | None


def best_on_disk(
    directory: Path,
    epochs: float,
    best: Value,
    metric: str,
    is_better: Callable[[float, Value], bool],
    best_of: Callable[[Mapping[str, Any]], Value],
) -> Value:
    """The best value so far, made to agree with the best checkpoint.

    An epoch ends with its files renamed in the order best checkpoint, log, latest checkpoint. After a kill in between,
    the best checkpoint may be of the epoch that is now repeated; its value then counts. Older versions wrote the latest
    checkpoint first: then a best one that is missing or older is restored from it.

    Args:
        epochs, best: epochs done and best value, of the latest checkpoint.
        metric: that decides; its column in log.txt is "val/<metric>".
        is_better, best_of: see `TrainingHooks`.
    """
    path = directory / BEST
    try:
        stored = best_of(read_checkpoint(path)) if path.is_file() else None
        fault = "" if path.is_file() else "is missing"
    except UserError as error:
        stored, fault = None, f"could not be read ({error})"
    if best is None:
        return stored
    if stored is not None and not is_better(best, stored):
        return stored
    fault = fault or "is older than the best epoch"
    if _latest_is_best(directory, epochs, best, metric):
        with atomic_path(path) as temporary:
            shutil.copyfile(directory / LATEST, temporary)
        warn(f"{path} {fault}; restored from {LATEST}, which has the best {metric}")
        return best
    rest = "the next epoch becomes the best" if stored is None else f"the best is now its own {metric}, {stored:.4g}"
    warn(f"{path} {fault}, and no other file has the network with {metric} {best:.4g}; {rest}")
    return stored


def _latest_is_best(directory: Path, epochs: float, best: float, metric: str) -> bool:
    """Whether the latest checkpoint is of a finished epoch that reached `best`, or of one that the log lacks."""
    if epochs != int(epochs):
        return False
    log = directory / LOG_FILE
    rows = read_log(log)[1] if log.is_file() else []
    values = [row.get(f"val/{metric}", math.nan) for row in rows if row["epoch"] == epochs]
    return not values or math.isclose(values[-1], best, rel_tol=1e-5, abs_tol=1e-5)
