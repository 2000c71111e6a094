"""Kills a process at a chosen point of its writes: `utils.osutils` calls a function at every step of a write."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from utils import osutils

Point = tuple[str, str]  # event, file name, e.g. ("renaming", "log.txt")


def kill_at(number: int) -> None:
    """Kill this process with SIGKILL at write point `number`, from 0."""
    seen = 0

    def passed(event: str, path: Path) -> None:
        nonlocal seen
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    osutils._passed = passed


def noted(points: list[Point]) -> Callable[[str, Path], None]:
    """A replacement of `osutils._passed` that notes all points."""
    return lambda event, path: points.append((event, path.name))
