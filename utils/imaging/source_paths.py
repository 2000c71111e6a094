"""Paths of photos and videos, and numbers of cameras. No torch import here: a wrong path is refused before it."""

import difflib
import os
import re
from pathlib import Path

from utils.osutils import UserError


def is_camera(path: str | Path) -> bool:
    """Whether `path` names a camera: a bare number, of up to three digits, that is no existing path."""
    return re.fullmatch("[0-9]{1,3}", str(path)) is not None and not Path(path).exists()


def require_path(path: str | Path, option: str = "--img_dir") -> None:
    """Raise UserError, with a hint to what does exist, where `path` does not."""
    if not Path(path).exists():
        raise UserError(f"{option} {path}: no such file or folder{_nearest(Path(path))}")


def require_source(data_dir: str | Path) -> None:
    """The same for `--data_dir` of photos; a camera's number and MPII's default folder are left to the script."""
    if not is_camera(data_dir) and Path(data_dir).parts[-2:] != ("data", "mpii"):
        require_path(data_dir, "--data_dir")


def _nearest(path: Path) -> str:
    """A hint to the nearest name that does exist, else to what is wrong with the path."""
    parent = path.parent
    if not parent.is_dir():
        existing = next((p for p in parent.parents if p.is_dir()), None)
        return f" (nor the folder {parent}; {existing} exists)" if existing else ""
    names = sorted(name for name in os.listdir(parent) if not name.startswith("."))
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(path.name.lower(), by_lower, n=1)
    if close:
        return f"; did you mean {parent / by_lower[close[0]]}?"
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"; {parent} holds {shown}" if names else f"; {parent} is empty"
