"""Damaged files, each read in a child process: a reader's outcome is success or the project's own error, or a fault.

A reader may take bounded time and memory. A child that dies or hangs is replaced: its case is a fault, and the others
still run.
"""

import logging
import multiprocessing
import os
import random
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from utils.osutils import UserError

MOST_SECONDS, MOST_MEMORY = 5.0, 1 << 30  # limits of one case: CPU time; bytes beyond what the process had
HANGS = 12 * MOST_SECONDS  # s, by the clock without computing or of CPU time

Make = Callable[[Path], Path]
Read = Callable[[Path], Any]
Change = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        make: writes the whole file into an empty folder, with what its readers need beside it, and gives its path.
        read: reads it, as the entry points do.
        change: a mutation that keeps the file well-formed; None where only bytes are changed.
    """

    make: Make
    read: Read
    change: Change | None = None


class Result(NamedTuple):
    """What became of one case.

    Attributes:
        kind: "read", "refused" (by the project's own error) or "fault".
        message: of the refusal or the fault.
        seconds: CPU time.
        memory: bytes taken beyond what the process had.
        ended: the child is of no more use, it died or hangs.
    """

    kind: str
    message: str = ""
    seconds: float = 0.0
    memory: int = 0
    ended: bool = False


@dataclass
class Outcome:
    """The cases of one format: how many were read or refused, the faults, and the longest time and largest memory."""

    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    memory: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, case: object, result: Result) -> None:
        """Count a result; `case` names it where it is a fault."""
        self.seconds, self.memory = max(self.seconds, result.seconds), max(self.memory, result.memory)
        self.read += result.kind == "read"
        self.refused += result.kind == "refused"
        if result.kind == "fault":
            self.faults.append(f"{case}: {result.message}")


def run_cases(form: Format, content: Callable[[bytes, int], bytes], count: int) -> Iterator[Result]:
    """The results of `count` cases of a format, in order.

    They run one after another in a forked child, which has imported all that this process has.

    `content`: (bytes of the undamaged file, number of the case) -> bytes of the case's file.
    """
    number = 0
    while number < count:
        with _child(_serve, form, content, range(number, count)) as receive:
            undamaged = receive()
            if undamaged.kind != "read":
                raise RuntimeError(f"the undamaged file can't be read: {undamaged.message}")
            ended = False
            while number < count and not ended:
                result = receive()
                yield result
                number, ended = number + 1, result.ended


def _serve(form: Format, content: Callable[[bytes, int], bytes], numbers: range, pipe: Any) -> None:
    """Child process: sends the result of the undamaged file, then that of each case."""
    logging.getLogger("human_pose").setLevel(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        path = form.make(Path(folder))
        data = path.read_bytes()
        form.read(path)
        pipe.send(Result("read"))
        for number in numbers:
            pipe.send(_attempt(form, path, content(data, number)))


def _attempt(form: Format, path: Path, content: bytes) -> Result:
    """The result of one damaged file, written to `path`."""
    path.write_bytes(content)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    kind, message = "fault", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            form.read(path)
        kind = "read"
    except UserError as error:
        kind, message = "refused", str(error)
        if "\n" in message:
            kind, message = "fault", f"a message of several lines: {message}"
    except Exception as error:
        message = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    seconds = time.process_time() - start
    if taken > MOST_MEMORY + 50 * len(content):
        kind, message = "fault", f"{taken / 2**20:.0f} MiB taken"
    elif seconds > MOST_SECONDS:
        kind, message = "fault", f"more than {MOST_SECONDS:.0f} s"
    return Result(kind, message, seconds, taken)


@contextmanager
def _child(target: Callable[..., None], *args: Any) -> Iterator[Callable[[], Result]]:
    """A forked process that runs `target(*args, pipe)`; gives a function that waits for its next result."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*args, theirs), daemon=True)
    process.start()
    theirs.close()

    def receive() -> Result:
        if _hangs(process.pid, ours):
            return Result("fault", "hangs", ended=True)
        try:
            return ours.recv()
        except EOFError:
            process.join(10)
            return Result("fault", f"the process died ({process.exitcode})", ended=True)

    try:
        yield receive
    finally:
        process.kill()
        process.join()
        ours.close()


def _hangs(child: int, pipe: Any) -> bool:
    """Wait for a child's next message; True if the child sleeps, or computes for too long, instead of sending it.

    On a busy machine a child may get hardly any CPU time, so the clock alone says little.
    """
    before = None
    while not pipe.poll(HANGS):
        try:
            state, *fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return False  # dead: the pipe says so
        seconds = (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")  # user and system time
        before = seconds if before is None else before
        if state not in "RD" or seconds - before > HANGS:
            return True
    return False
