"""Damaged files, each read in a child process: a reader's outcome is success or the project's own error, or a fault.

A reader may take bounded time and memory. A child that dies or hangs is replaced: its case is a fault, and the others
still run.
"""

import faulthandler
import logging
import multiprocessing
import os
import random
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from utils.osutils import UserError

MOST_SECONDS, MOST_MEMORY = 5.0, 1 << 30  # limits of one case: CPU time; bytes beyond what the process had
MOST_MESSAGE = 2000  # characters: nobody reads more
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
    """

    kind: str
    message: str = ""
    seconds: float = 0.0
    memory: int = 0


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


class Child:
    """A forked process that reads the files of a format; it has imported all that this process has.

    After a fault, the next file is read by a new one: the old one may be dead, hang or hold memory.

    Attributes:
        data: bytes of the undamaged file.
    """

    def __init__(self, form: Format):
        self._form = form
        self._start()

    def run(self, content: bytes) -> Result:
        """The result of a damaged file."""
        if not self._process:
            self._start()
        self._pipe.send_bytes(content)
        result = self._receive()
        if result.kind == "fault":
            self.close()
        return result

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._folder.cleanup()
            self._process = None

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self) -> None:
        # Making a network imports it, which takes seconds: here it is imported once, for all children.
        import_module("torch._dynamo")
        context = multiprocessing.get_context("fork")
        self._folder = tempfile.TemporaryDirectory()
        self._pipe, theirs = context.Pipe()
        arguments = (self._form, Path(self._folder.name), theirs, self._pipe)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        undamaged = self._receive()
        if undamaged.kind == "fault":
            self.close()
            raise RuntimeError(f"the undamaged file can't be read: {undamaged.message}")
        self.data = self._pipe.recv_bytes()

    def _receive(self) -> Result:
        if _hangs(self._process.pid, self._pipe):
            return Result("fault", "hangs")
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join(10)
            return Result("fault", f"the process died ({self._process.exitcode})")


def _serve(form: Format, folder: Path, pipe: Any, parents_end: Any) -> None:
    """The child: sends that it has read the undamaged file, and its bytes, then a result for each content it gets."""
    parents_end.close()  # or the pipe would not end with the parent
    faulthandler.disable()  # no traceback of a signal, no core dump, no warnings of the project
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.getLogger("human_pose").setLevel(logging.CRITICAL)
    path = form.make(folder)
    data = path.read_bytes()
    form.read(path)
    pipe.send(Result("read"))
    pipe.send_bytes(data)
    with suppress(EOFError):
        while True:
            pipe.send(_attempt(form, path, pipe.recv_bytes()))


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
        elif len(message) > MOST_MESSAGE:
            kind, message = "fault", f"a message of {len(message)} characters"
    except Exception as error:
        message = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    seconds = time.process_time() - start
    if taken > MOST_MEMORY + 50 * len(content):
        kind, message = "fault", f"{taken / 2**20:.0f} MiB taken"
    elif seconds > MOST_SECONDS:
        kind, message = "fault", f"more than {MOST_SECONDS:.0f} s"
    return Result(kind, message, seconds, taken)


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
