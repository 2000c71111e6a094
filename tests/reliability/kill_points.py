"""Kills a process at a chosen point of its writes: `utils.osutils` calls a function at every step of a write."""

import os
import signal
import traceback
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


def child(function: Callable[[], object]) -> int:
    """The id of a forked process that calls `function`."""
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        function()
        status = 0
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def status_of(process: int) -> int:
    """Wait for a child; its exit status, -9 after SIGKILL."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def status_of_child(function: Callable[[], object]) -> int:
    """Exit status of a forked process that calls `function`."""
    return status_of(child(function))
