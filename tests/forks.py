"""Forked processes: they have imported all that this one has."""

import os
import traceback
from collections.abc import Callable


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
