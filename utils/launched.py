"""A process that a launcher has started among others: it joins them, keeps quiet unless it is rank 0, and ends well."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import NoReturn

import utils.distributed_utils as distributed
from utils.osutils import UserError

SECONDS_FOR_RANK_0 = 2.0  # to say what all ranks have found wrong; the launcher then ends the others


@contextmanager
def joined(use_horovod: bool, device: str, alone: str | None = None) -> Iterator[None]:
    """Within the block this process is one of several; from rank 0 alone comes what is printed.

    Args:
        use_horovod, device: see `distributed_utils.init`.
        alone: the name of a script that one process runs, which is refused in several.

    Raises UserError as `init` does. Where another process has ended, this one says so in a line and ends with status 1.
    """
    if distributed.is_launched():  # a program that joined before it called an entry point
        yield
        return
    distributed.init(use_horovod, device)
    former = signal.signal(signal.SIGTERM, _ended_by_launcher)
    try:
        with ExitStack() as stack:
            if not distributed.is_main():
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            if alone and distributed.world_size() > 1:
                raise UserError(f"{alone} runs in one process; leave torchrun or horovodrun out")
            yield
        distributed.shutdown()
    except (UserError, OSError):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not distributed.is_main():
            time.sleep(SECONDS_FOR_RANK_0)
        raise
    except Exception as error:
        if (line := distributed.lost_process(error)) is None:
            raise
        _say(line)
        sys.exit(1)
    finally:
        signal.signal(signal.SIGTERM, former)


def _ended_by_launcher(*_) -> NoReturn:
    """The launcher ends all processes when one has died, or when it is ended itself."""
    _say(
        f"rank {distributed.rank()}: ended by the launcher, since another process of this job has ended or the job was "
        "called off; the last checkpoint is whole, go on with --resume"
    )
    sys.exit(128 + signal.SIGTERM)


def _say(line: str) -> None:
    """One line on stderr, of one rank or two."""
    if distributed.rank() < 2:  # the other of them may be the one that has died
        print(line, file=sys.__stderr__, flush=True)
