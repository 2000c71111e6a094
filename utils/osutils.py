"""Files, messages and errors: exceptions for users, logging, atomic writes, hashes."""

import difflib
import hashlib
import logging
import os
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

UNPRINTABLE = ("Cc", "Cs")  # Unicode's categories of control characters and lone surrogates
LOGGER = logging.getLogger("human_pose")  # for all library code; silence it with setLevel(logging.ERROR)


class UserError(Exception):
    """Bad input or a bad option. The message is one line: what was given, what is expected, how to get it.

    The entry points print it to stderr and exit with status 2; no traceback.
    """


class RunFailed(RuntimeError):
    """A run that can't continue although its input was valid. The message is one line: what happened, what to do.

    The entry points print it to stderr and exit with status 1; no traceback.
    """


@dataclass(frozen=True)
class DataReport:
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


def printable(message: str) -> str:
    """A message with control characters, and bytes of names that are not UTF-8, written as escapes such as \\x1b.

    Names of files are part of messages; none of them may end a line or move a terminal's cursor.
    """
    escaped = (
        one if one in "\n\t" or unicodedata.category(one) not in UNPRINTABLE else ascii(one)[1:-1] for one in message
    )
    return "".join(escaped)


def warn(message: str) -> None:
    """Log a warning about something skipped or changed; command lines print it on stderr."""
    LOGGER.warning("%s", message)


def inform(message: str) -> None:
    """Log information, e.g. where a result was written; command lines print it on stdout."""
    LOGGER.info("%s", message)


def first_few(items: list[str], separator: str, shown: int = 5) -> str:
    """The first items and the number of remaining ones, for messages; `separator` is "," or ";"."""
    rest = len(items) - shown
    before_and = "" if separator == "," else separator
    return f"{separator} ".join(items[:shown]) + (f"{before_and} and {rest} more" if rest > 0 else "")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """ "1 photo", "2 photos"; `plural` for irregular nouns: counted(2, "person", "people")."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    On an exception the temporary file is deleted and `path` is unchanged: readers see the old file or the new one,
    never a partial one. The temporary name keeps the suffix, by which some writers select the format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_to_disk(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def suggestion(name: str, known: Sequence[str] | Mapping) -> str:
    """ ", did you mean X?" for the closest known name, or "" without one."""
    undashed = {one.lstrip("-"): one for one in known}  # leading dashes would count as similarity
    close = difflib.get_close_matches(name.lstrip("-"), undashed, n=1, cutoff=0.6)
    return f", did you mean {undashed[close[0]]}?" if close else ""


def require_folder(folder: str | Path) -> Path:
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
