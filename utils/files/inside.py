"""Names that become paths inside a folder: photos that annotations name, and pictures in an output folder.

Names come from prediction files, annotation files and file systems, so any may be hostile. No torch import here.
"""

import os
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from utils.osutils import UserError, first_few, warn


def fault_of_name(name: str) -> str | None:
    """Why `name`, a relative path with forward slashes, can't name a file inside a folder; None where it can."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "has control characters"
    if name.startswith("/"):
        return "is an absolute path"
    parts = Path(name).parts
    if ".." in parts:
        return "leads out of the folder"
    return None if parts else "is empty"


def fault_of_file(path: str | Path) -> str | None:
    """Why a file, or what a link leads to, can't be read as one; None where it can, or is not there.

    Opening a pipe waits for somebody to write into it, and a device may have no end.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    kinds = {stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}
    return next((f"is {kind}, not a regular file" for is_kind, kind in kinds.items() if is_kind(mode)), None)


def inside(folder: str | Path, name: str) -> Path:
    """`folder / name`, for a file to be written: every output whose name comes from data gets its path here.

    Raises UserError where the name is absolute, has "..", control characters or bytes that are not UTF-8, or where a
    link in the folder leads out of it.
    """
    path, fault = Path(folder, name), fault_of_name(name)
    if fault is None and not path.parent.resolve().is_relative_to(Path(folder).resolve()):
        fault = "leads out of the folder through a link"
    if fault:
        raise UserError(f"{name!r} {fault}, so nothing is written there; expected a name inside {folder}")
    return path


def safe_names(names: Sequence[str], source: Path) -> list[str]:
    """The photo names of an annotation file, `source`, fit to be joined to the image folder.

    A name that `fault_of_name` refuses is never opened: it comes percent-encoded, as one that is not there, so that its
    photo counts as missing. One warning counts them. (Links inside the image folder may lead anywhere.)
    """
    faults = {name: fault for name in set(names) if (fault := fault_of_name(name))}
    if faults:
        count = sum(name in faults for name in names)
        shown = first_few([f"{name!r} {faults[name]}" for name in sorted(faults)], ",", shown=3)
        warn(f"{source}: {count} of {len(names)} photo names refused, their photos are not read: {shown}")
    return [quote(f"refused {name}", safe="", errors="replace") if name in faults else name for name in names]
