"""Checks paths of photos, videos and prediction files, and camera numbers.

No torch import here, so that a wrong path is refused before torch is imported.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from utils.files.inside import fault_of_file
from utils.osutils import UserError

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".gif", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv")


def is_camera(path: str | Path) -> bool:
    """Whether `path` is a camera index: a number of up to three digits that is no existing path."""
    return re.fullmatch("[0-9]{1,3}", str(path)) is not None and not Path(path).exists()


def is_video(path: str | Path) -> bool:
    """Whether `path` is a video file by its suffix."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES and not Path(path).is_dir()


def require_path(path: str | Path, option: str = "--img_dir") -> None:
    """Raise UserError, with a hint to what exists, if `path` does not."""
    if not Path(path).exists():
        raise UserError(f"{option} {path}: no such file or folder{_nearest(Path(path))}")


def require_files(paths: str | Path | Sequence[str | Path] | None, option: str) -> None:
    """Raise UserError, with a hint to what exists, if one of `paths` is not a file. None is allowed."""
    for path in map(Path, paths if isinstance(paths, list | tuple) else [paths] if paths else []):
        if path.is_dir():
            raise UserError(f"{option} {path}: is a folder; give a file{_files_in(path)}")
        if not path.exists():
            raise UserError(f"{option} {path}: no such file{_nearest(path)}")
        if fault := fault_of_file(path):
            raise UserError(f"{option} {path}: {fault}; give a file{_files_in(path.parent)}")


def require_source(data_dir: str | Path) -> None:
    """`require_path` for the `--data_dir` of photos; a camera index is left to the script."""
    if not is_camera(data_dir):
        require_path(data_dir, "--data_dir")


def require_frames(smooth: str, data_dir: str | Path) -> None:
    """Raise UserError for `--smooth` on anything but a video or a camera."""
    if smooth != "none" and not (is_camera(data_dir) or is_video(data_dir)):
        raise UserError(f"--smooth {smooth}: only for a video or a camera; {data_dir} holds photos")


def _files_in(folder: Path) -> str:
    found = sorted(path.name for path in folder.glob("*pose*.pt"))
    return f": it holds {', '.join(found[:5])}" if found else ""


def _nearest(path: Path) -> str:
    """A hint to the closest existing name, else to what is wrong with the path."""
    import difflib  # noqa: PLC0415 - slow, and --help imports this module

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
    folder = "the current folder" if parent == Path() else parent
    return f"; {folder} holds {shown}" if names else f"; {folder} is empty"
