"""Loaders whose worker processes read photos: how they start, the files they keep open, and the end of one."""

import multiprocessing
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch._C import _error_if_any_worker_fails
from torch.utils.data import DataLoader

from utils.files.sizes import limit_pixels, max_pixels
from utils.osutils import RunFailed, UserError

FILES_OF_ITSELF, FILES_OF_A_WORKER = 64, 32  # pipes, and a file for each tensor of its next minibatches
SHARED_MEMORY = "/dev/shm, where minibatches wait: give --workers 0, or make it larger (docker run --shm-size)"
AFTER = "; a training continues with --resume"
SECONDS_TO_DIE = 1.0  # between the end of a worker's connections and its own
NO_SHARED_MEMORY = "shared memory(shm)"  # in PyTorch's messages; so is the next
ENDED = re.compile(
    r"DataLoader worker \(pid\(?s?\)? [0-9, ]+\) (is killed by signal: (?P<signal>[^.]+)|exited unexpectedly)"
)


class WorkerLost(RunFailed):
    """A worker process has ended, e.g. because the memory was full."""


class Wait:
    """How long the main thread has been waiting for a minibatch of workers: the context spans such a wait."""

    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """0 while it does not wait."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._since = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        if threading.current_thread() is threading.main_thread():
            self._since = None


WAIT = Wait()


class WorkerLoader(DataLoader):
    """A DataLoader that raises WorkerLost when a minibatch is asked for and a worker has ended.

    PyTorch's own raises RuntimeError, from the handler of SIGCHLD, anywhere in the program. A worker that is blocked,
    e.g. by a network drive that does not answer, never holds up the end of the program: PyTorch gives it 5 s, and it
    is killed; at once if the wait for a minibatch is interrupted.
    """

    def __init__(self, *args: Any, num_workers: int = 0, **kwargs: Any) -> None:
        """Raises UserError if the limit of open files is too low for the workers."""
        require_open_files(num_workers)
        start = partial(start_worker, max_pixels=max_pixels()) if num_workers else None
        super().__init__(*args, num_workers=num_workers, worker_init_fn=start, **kwargs)

    def __iter__(self) -> Iterator[Any]:
        if not self.num_workers:
            yield from super().__iter__()
            return
        end = object()
        with _handlers_kept():
            batches = super().__iter__()
        for worker in batches._workers:  # PyTorch and multiprocessing terminate what is left, and wait for its end
            worker._popen.terminate = worker._popen.kill
        while True:
            try:
                with _handlers_kept(_raise_for_ended), WAIT:
                    _raise_for_ended()  # of those that ended before
                    batch = next(batches, end)
            except (KeyboardInterrupt, SystemExit):
                _kill(batches._workers)
                raise
            except (RuntimeError, OSError, EOFError) as error:
                if NO_SHARED_MEMORY in str(error):
                    _kill(batches._workers)  # which wait for room, also when they should end
                    raise WorkerLost(f"a worker process found no room in {SHARED_MEMORY}{AFTER}") from None
                ended = ENDED.search(f"{error.__cause__} {error}")
                dead = [] if ended else _dead(getattr(batches, "_workers", ()), error)
                if not ended and not dead:
                    raise
                raise WorkerLost(_said(ended["signal"] if ended else dead[0])) from None
            if batch is end:
                return
            yield batch


@contextmanager
def _handlers_kept(meanwhile: Any = None) -> Iterator[None]:
    """Context after which SIGCHLD has the handler that it had before; in it, `meanwhile` if given.

    The handler interrupts a wait for the rest of a minibatch that a killed worker has written half. Only the main
    thread may set one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGCHLD)
    if meanwhile:
        signal.signal(signal.SIGCHLD, meanwhile)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if former is None else former)


def _kill(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        worker.kill()


def _raise_for_ended(*_: Any) -> None:
    """Raise RuntimeError, with a message that `ENDED` matches, if a worker of any loader has ended by an error."""
    _error_if_any_worker_fails()


def _dead(workers: Sequence[BaseProcess], error: Exception) -> list[str | None]:
    """The signals that ended workers, None without one, after the error of a connection to them; else none."""
    if not isinstance(error, ConnectionError | EOFError | FileNotFoundError):
        return []
    for worker in workers:
        worker.join(SECONDS_TO_DIE / len(workers))
    statuses = [worker.exitcode for worker in workers if worker.exitcode]
    return [signal.strsignal(-status) if status < 0 else None for status in statuses]


def _said(name: str | None) -> str:
    how = f"was killed (signal: {name})" if name else "has ended"
    perhaps = {"Killed": "memory was full: give fewer --workers", "Bus error": f"there was no room in {SHARED_MEMORY}"}
    return f"a worker process that reads photos {how}{f'; perhaps {perhaps[name]}' if name in perhaps else ''}{AFTER}"


def start_worker(_: int, max_pixels: int) -> None:
    """Ctrl-C and SIGTERM are the main process's business: it ends the workers when it has written its checkpoint."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    limit_pixels(max_pixels)


def _end_with_parent() -> None:
    """End this worker when its parent has died. PyTorch's worker looks for that between two samples only."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def require_open_files(workers: int) -> None:
    """Raise the limit of open files to what workers need. Raises UserError if it may not be: they would wait forever.

    A tensor from a worker is a file that both processes keep open.
    """
    needed = FILES_OF_ITSELF + FILES_OF_A_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not workers or soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UserError(
            f"--workers {workers}: needs {needed} open files, and the limit is {hard}; give --workers 0, or raise the "
            f"limit with ulimit -n {needed}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
