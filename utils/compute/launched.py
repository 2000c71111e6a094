"""A process started by a launcher: it joins the others, prints only on rank 0, and exits cleanly."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import NoReturn

from utils.compute.distributed import Processes, join
from utils.osutils import RunFailed, UserError, fail

SECONDS_FOR_RANK_0 = 2.0  # to print an error common to all ranks before the launcher ends the others


@contextmanager
def joined(
    name: str, use_horovod: bool, device: str = "auto", several: bool = True, show_traceback: bool = False
) -> Iterator[Processes]:
    """Context that joins the other processes and yields them; only rank 0 prints.

    An exception in the block ends the process at once, with the exit status and the line of
    `utils.command_line.cli.main`: other processes may be waiting for this one, and closing the group could wait for
    them.

    Args:
        name: of the program, for error messages.
        use_horovod, device: see `distributed.join`.
        several: whether the program supports several processes.
        show_traceback: also for user errors.

    Raises UserError as `join`.
    """
    processes = join(use_horovod, device)
    former = signal.signal(signal.SIGTERM, partial(_ended_by_launcher, processes))
    try:
        with ExitStack() as stack:
            if not processes.is_main:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            if not several and processes.size > 1:
                raise UserError("runs in one process only; start it without torchrun or horovodrun")
            yield processes
        processes.close()
    except BaseException as problem:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if show_traceback:
            traceback.print_exception(problem)
        _leave(name, problem, processes)
    signal.signal(signal.SIGTERM, former)


def _leave(name: str, problem: BaseException, processes: Processes) -> NoReturn:
    """End the process at once, after printing the line for the user."""
    status = 1
    if isinstance(problem, SystemExit):
        status = problem.code if isinstance(problem.code, int) else int(problem.code is not None)
    elif isinstance(problem, KeyboardInterrupt):
        status = 130
    elif isinstance(problem, BrokenPipeError):  # the reader of the output (head, less) has exited
        os._exit(0)
    elif isinstance(problem, (UserError, OSError, RunFailed)):
        status = _fail(name, problem, processes)
    elif line := processes.lost_process(problem):
        _say(line, processes)
    else:
        traceback.print_exception(problem)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _fail(name: str, problem: Exception, processes: Processes) -> int:
    if not processes.is_main:
        time.sleep(SECONDS_FOR_RANK_0)
    try:
        fail(name, str(problem), status=1 if isinstance(problem, RunFailed) else 2)
    except SystemExit as end:
        return end.code


def _ended_by_launcher(processes: Processes, *_) -> NoReturn:
    """Signal handler: the launcher ends all processes when one has died or when it is ended itself."""
    _say(
        f"rank {processes.rank}: ended by the launcher, because another process of this job has ended or the job was "
        "cancelled; the last checkpoint is intact, continue with --resume",
        processes,
    )
    sys.exit(128 + signal.SIGTERM)


def _say(line: str, processes: Processes) -> None:
    """Print a line to stderr, on at most two ranks."""
    if processes.rank < 2:  # two, since one of them may be the one that has died
        print(line, file=sys.__stderr__, flush=True)
