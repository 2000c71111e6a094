"""What a training left, in a form that tests compare."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from utils.training.log_files import read_log


def log_of(checkpoints: Path, drop: Collection[str] = ()) -> list[dict[str, float]]:
    """The rows of an experiment's log.txt, without what depends on the clock and without the columns `drop`."""
    _, rows = read_log(checkpoints / "log.txt")
    return [{name: value for name, value in row.items() if name not in ("seconds", *drop)} for row in rows]


def content_of(checkpoints: Path) -> dict[str, Any]:
    """An experiment's latest checkpoint."""
    return torch.load(checkpoints / "checkpoint.pth.tar", weights_only=True)


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, through dicts and lists."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
