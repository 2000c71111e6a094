"""Keeps two trainings from writing into the folders of one experiment."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from utils.osutils import Owner, UserError, full_disk_named, warn


def lock_path(folder: Path) -> Path:
    """The lock file of a folder, beside it, since a new run moves the folder aside."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def locked(folders: Sequence[Path], take_over: bool = False) -> Iterator[None]:
    """Context in which no other training uses these folders.

    The lock file tells host and process. The lock of a process that has ended on this host is stale and replaced.

    Args:
        take_over: replace the lock of another host too: a launcher has restarted this job elsewhere.

    Raises UserError if another training has the lock, or may have it, on another host.
    """
    held: list[Path] = []
    made: list[Path] = []  # parents that exist for the lock alone until training writes
    try:
        for folder in {folder.resolve(): folder for folder in folders}.values():
            made += [] if folder.parent.exists() else [folder.parent]
            _acquire(folder, take_over)
            held.append(folder)
        yield
    finally:
        for folder in held:
            _release(folder)
        for parent in made:
            with suppress(OSError):  # not empty
                parent.rmdir()


def require_unlocked(script: str, exp: str, checkpoint_dir: str | Path, evaluate: bool) -> None:
    """Raise UserError if another training uses the experiment's folder, before anything is loaded. Locks nothing."""
    folder = Path(checkpoint_dir, f"{script}_{exp}")
    if not evaluate and lock_path(folder).is_file():
        with open(lock_path(folder), encoding="utf-8") as file:
            _refuse(folder, _owner(file))


def _acquire(folder: Path, take_over: bool) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with full_disk_named(lock_path(folder)), _opened_alone(lock_path(folder)) as file:
        owner = _owner(file)
        if take_over and owner and owner.host != Owner.this().host:  # whose processes cannot be seen from here
            warn(f"{folder}: taking over from process {owner.pid} on {owner.host}, an earlier attempt of this job")
        else:
            _refuse(folder, owner)
        file.seek(0)
        file.truncate()
        try:
            file.write(json.dumps({"owner": str(Owner.this())}))
            file.flush()
        except OSError:
            lock_path(folder).unlink()
            raise


def _release(folder: Path) -> None:
    """Delete the lock file if it is still this process's."""
    try:
        with _opened_alone(lock_path(folder)) as file:
            if _owner(file) == Owner.this():
                lock_path(folder).unlink()
    except OSError as error:
        warn(f"{lock_path(folder)} could not be deleted ({error.strerror}); delete it")


def _refuse(folder: Path, owner: Owner | None) -> None:
    """Raise UserError for an owner that runs, or may run on another host."""
    if owner is None or owner.is_dead():
        return
    host = owner.host.partition(".")[0]
    raise UserError(
        f"{folder} is in use by another training, process {owner.pid} on {host}; give another --exp, or wait. If that "
        f"process no longer exists, delete {lock_path(folder)}"
    )


def _owner(file: TextIO) -> Owner | None:
    """The owner named in a lock file; None in an empty or damaged one, as after a crash of the machine."""
    try:
        return Owner.parse(str(json.load(file)["owner"]))
    except (ValueError, TypeError, KeyError):
        return None


@contextmanager
def _opened_alone(path: Path) -> Iterator[TextIO]:
    """The open lock file, while no other process looks at it or deletes it."""
    while True:
        with open(path, "a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.is_file() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.seek(0)
                yield file
                return
