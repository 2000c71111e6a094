"""Files, messages and errors: exceptions for users, logging, atomic writes, hashes.

`--help` imports this module, so the parts of the standard library that take long to import are imported where they are
used: logging, hashlib, socket, tempfile, difflib.
"""

import errno
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

LONGEST_MESSAGE = 1500  # characters
UNPRINTABLE = ("Cc", "Cs")  # Unicode's categories of control characters and lone surrogates


class UserError(Exception):
    """Bad input or a bad option. The message is one line: what was given, what is expected, how to get it.

    The entry points print it to stderr and exit with status 2; no traceback. A message may quote a damaged file: the
    middle of a long one is left out.
    """

    def __str__(self) -> str:
        message = super().__str__()
        half = LONGEST_MESSAGE // 2
        return message if len(message) <= LONGEST_MESSAGE else f"{message[:half]} … {message[-half:]}"


class RunFailed(RuntimeError):
    """A run that can't continue although its input was valid. The message is one line: what happened, what to do.

    The entry points print it to stderr and exit with status 1; no traceback.
    """


class DataReport(NamedTuple):
    """What `--check_data` finds in a folder.

    Attributes:
        lines: what is there, with counts, and what the data set has in full.
        missing: what the script cannot run without, e.g. "data/mpii/images: no such folder"; empty where it can run.
    """

    lines: tuple[str, ...]
    missing: tuple[str, ...] = ()


def fail(prog: str, message: str, status: int = 2) -> NoReturn:
    """Print one line on stderr and exit."""
    print(f"{prog}: error: {printable(' '.join(message.split()))}", file=sys.stderr, flush=True)
    sys.exit(status)


def printable(message: str, kept: str = "\n\t") -> str:
    """A message with control characters, and bytes of names that are not UTF-8, written as escapes such as \\x1b.

    Names of files are part of messages; none of them may end a line or move a terminal's cursor.

    `kept`: control characters to leave.
    """
    escaped = (
        one if one in kept or unicodedata.category(one) not in UNPRINTABLE else ascii(one)[1:-1] for one in message
    )
    return "".join(escaped)


def logger():
    """The `logging.Logger` of all library code, "human_pose"; silence it with setLevel(logging.ERROR)."""
    import logging

    return logging.getLogger("human_pose")


def warn(message: str) -> None:
    """Log a warning about something skipped or changed; command lines print it on stderr."""
    logger().warning("%s", message)


def inform(message: str) -> None:
    """Log information, e.g. where a result was written; command lines print it on stdout."""
    logger().info("%s", message)


def first_few(items: list[str], separator: str, shown: int = 5) -> str:
    """The first items and the number of remaining ones, for messages; `separator` is "," or ";"."""
    rest = len(items) - shown
    before_and = "" if separator == "," else separator
    return f"{separator} ".join(items[:shown]) + (f"{before_and} and {rest} more" if rest > 0 else "")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """ "1 photo", "2 photos"; `plural` for irregular nouns: counted(2, "person", "people")."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


# ------------------------------------------------------------------------------------------ owners of files
class Owner(NamedTuple):
    """A process, named so that it can later be told whether it still runs.

    Attributes:
        host: host name with the process id namespace, which differs between containers of one name.
        pid: process id.
        start: clock ticks from boot to its start, since ids are used again; 0 if unknown.
    """

    host: str
    pid: int
    start: int

    @classmethod
    def this(cls) -> "Owner":
        return cls(_host(), os.getpid(), (_start_and_state(os.getpid()) or (0, ""))[0])

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """The owner that `str` returned; None for any other text."""
        match = OWNER.fullmatch(text)
        return cls(match["host"], int(match["pid"]), int(match["start"])) if match else None

    def __str__(self) -> str:
        return f"{self.host}-{self.pid}-{self.start}"

    def is_dead(self) -> bool:
        """Whether it certainly has ended; False for a process of another host."""
        if self.host != _host():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False  # runs under another user
        start, state = _start_and_state(self.pid) or (self.start, "")
        return state in ("Z", "X") or start != self.start


OWNER = re.compile(r"(?P<host>[\w.-]+)-(?P<pid>\d{1,10})-(?P<start>\d{1,20})", re.ASCII)
TEMPORARY = re.compile(rf"\..*\.tmp_(?P<owner>{OWNER.pattern})_[^.]*(\.[^.]*)?")


@cache
def _host() -> str:
    import socket

    namespace = ""
    with suppress(OSError):  # Linux only
        namespace = "." + "".join(filter(str.isdigit, os.readlink("/proc/self/ns/pid")))
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:60] + namespace


def _start_and_state(pid: int) -> tuple[int, str] | None:
    """Start time in clock ticks since boot and state letter of a process; None outside Linux and for no process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[19]), fields[0]


# ------------------------------------------------------------------------------------------ atomic writes
_PENDING: ContextVar[dict[Path, Path] | None] = ContextVar("pending", default=None)  # path -> its temporary file


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    On an exception the temporary file is deleted and `path` is unchanged: readers see the old file or the new one,
    never a partial one. The temporary name keeps the suffix, by which some writers select the format.
    Inside `written_together` the renaming waits for its end. Temporary files that dead processes left in the folder
    are deleted.

    Raises RunFailed for a full disk.
    """
    import tempfile

    path, pending = Path(path), _PENDING.get()
    with full_disk_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        prefix = f".{path.stem[:40]}.tmp_{Owner.this()}_"
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            _passed("opened", path)
            yield temporary
            _passed("written", path)
            _flush_to_disk(temporary)
            temporary.chmod(0o666 & ~_umask())
            if pending is None:
                _rename(temporary, path)
            else:
                if path in pending:
                    pending.pop(path).unlink()
                pending[path] = temporary
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def written_together(last: str = "") -> Iterator[None]:
    """Context at whose end all files that `atomic_path` wrote in it are renamed; after an error none is.

    Renaming follows the order of writing, except that files named `last` come last: their presence tells that the
    others are there. A context within another one joins it.
    """
    if _PENDING.get() is not None:
        yield
        return
    pending: dict[Path, Path] = {}
    token = _PENDING.set(pending)
    try:
        yield
        for path in sorted(pending, key=lambda path: path.name == last):
            _rename(pending[path], path)
        for folder in {path.parent for path in pending}:
            _flush_to_disk(folder)
    finally:
        _PENDING.reset(token)
        for temporary in pending.values():
            temporary.unlink(missing_ok=True)


@cache
def sweep(folder: Path) -> None:
    """Delete temporary files that dead processes have left in a folder; once a process for each folder."""
    for entry in os.listdir(folder):
        match = TEMPORARY.fullmatch(entry)
        if match and (owner := Owner.parse(match["owner"])) and owner.is_dead():
            (folder / entry).unlink(missing_ok=True)


def _rename(temporary: Path, path: Path) -> None:
    _passed("renaming", path)
    temporary.replace(path)
    _passed("renamed", path)


def _passed(event: str, path: Path) -> None:
    """Called at every step of a write, which it does not affect. Tests kill the process here."""


FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def full_disk(error: BaseException) -> str | None:
    """What the system says of a full disk, exceeded quota or file size limit; None for other errors.

    Some libraries raise errors of their own, with the system's message as a part.
    """
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return os.strerror(error.errno)
    messages = map(os.strerror, FULL_DISK)
    return next((message for message in messages if message in str(error)), None)


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Context that writes `path`: a full disk becomes a RunFailed that names it."""
    try:
        yield
    except Exception as error:
        if isinstance(error, RunFailed) or not (reason := full_disk(error)):
            raise
        raise RunFailed(
            f"{path} was not written: {reason}; files written before are intact. Free disk space, then repeat the "
            "command, a training with --resume"
        ) from error


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------ reading, names
def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_to_disk(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def suggestion(name: str, known: Sequence[str] | Mapping) -> str:
    """ ", did you mean X?" for the closest known name, or "" without one."""
    import difflib

    undashed = {one.lstrip("-"): one for one in known}  # leading dashes would count as similarity
    close = difflib.get_close_matches(name.lstrip("-"), undashed, n=1, cutoff=0.6)
    return f", did you mean {undashed[close[0]]}?" if close else ""


def output_folder(folder: str | Path) -> Path:
    """`folder` as a path. Raises UserError if it is a file; to be called before the work starts."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir {folder} is a file; give a folder, new or old")
    return folder


def imported_on_first_use(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` (PEP 562) for packages that import their public names lazily; `modules`: name -> module.

    Packages are also imported for `--help` and for reading annotations, which must not import torch.
    """

    def of_module(name: str) -> Any:
        if name in modules:
            return getattr(import_module(modules[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return of_module
