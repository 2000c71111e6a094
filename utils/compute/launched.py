"""A process that a launcher has started among others: it joins them, keeps quiet unless it is rank 0, and ends well."""

import os
import signal
import sys
import time
import traceback
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import NoReturn

from utils.compute.distributed import ALONE, Processes, join
from utils.osutils import RunFailed, UserError, fail

SECONDS_FOR_RANK_0 = 2.0  # to say what all ranks have found wrong; the launcher then ends the others


@contextmanager
def joined(
    name: str, use_horovod: bool, device: str = "auto", several: bool = True, show_traceback: bool = False
) -> Iterator[Processes]:
    """Within the block this process is one of several, which it gives; from rank 0 alone comes what is printed.

    Whoever leaves the block by an exception leaves the process, with the status and the line that
    `utils.command_line.cli.main` would give: the others may wait for it, and closing what it shares with them
    could wait for them.

    Args:
        name: of the program, for errors.
        use_horovod, device: see `distributed.join`.
        several: whether the program may run in several processes at all.
        show_traceback: of an error that is the user's.

    Raises UserError as `join` does.
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
                raise UserError("runs in one process; leave torchrun or horovodrun out")
            yield processes
        processes.close()
    except BaseException as problem:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if show_traceback:
            traceback.print_exception(problem)
        _leave(name, problem, processes)
    signal.signal(signal.SIGTERM, former)


def processes_of(options: Namespace) -> Processes:
    """Those that the command line has joined, for doors; this one alone where it has joined none."""
    return getattr(options, "processes", ALONE)


def _leave(name: str, problem: BaseException, processes: Processes) -> NoReturn:
    """End the process at once, after the line that the user needs."""
    status = 1
    if isinstance(problem, SystemExit):
        status = problem.code if isinstance(problem.code, int) else int(problem.code is not None)
    elif isinstance(problem, KeyboardInterrupt):
        status = 130
    elif isinstance(problem, BrokenPipeError):  # the reader of our output (head, less) has gone
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
    """The launcher ends all processes when one has died, or when it is ended itself."""
    _say(
        f"rank {processes.rank}: ended by the launcher, since another process of this job has ended or the job was "
        "called off; the last checkpoint is whole, go on with --resume",
        processes,
    )
    sys.exit(128 + signal.SIGTERM)


def _say(line: str, processes: Processes) -> None:
    """One line on stderr, of one rank or two."""
    if processes.rank < 2:  # the other of them may be the one that has died
        print(line, file=sys.__stderr__, flush=True)
