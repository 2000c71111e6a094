"""Photos: a folder, or one file."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from utils.files.inside import fault_of_file, fault_of_name
from utils.imaging.base_source import ImageSource
from utils.imaging.images import IMAGE_SUFFIXES, ImageError, read_image
from utils.imaging.source_paths import VIDEO_SUFFIXES
from utils.osutils import UserError, counted, first_few, warn


class PhotoSource(ImageSource):
    """A folder of photos, read recursively, or a single photo.

    Names are paths relative to the folder with forward slashes, in natural order ("2.jpg" before "10.jpg"); a single
    photo has its file name.

    Attributes:
        left_out: names of the folder's files without a photo suffix.
    """

    def __init__(self, root: Path, kind: str, folder: Path, names: list[str], left_out: list[str]) -> None:
        super().__init__(root)
        self.kind = kind
        self.left_out = left_out
        self._folder = folder
        self._names = names

    def names(self) -> list[str]:
        return list(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def path(self, name: str) -> Path:
        """The file of an image."""
        return self._folder / name

    def with_names(self, names: list[str]) -> "PhotoSource":
        """The same source restricted to these photos."""
        return PhotoSource(self.root, self.kind, self._folder, names, self.left_out)

    def read(self, name: str) -> np.ndarray | ImageError:
        """One image, (H, W, 3) uint8 RGB, or the ImageError if it can't be read."""
        try:
            return read_image(self.path(name))
        except ImageError as error:
            return error

    def __iter__(self) -> Iterator[tuple[str, np.ndarray | ImageError]]:
        return ((name, self.read(name)) for name in self._names)


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Sort key that puts "im2.jpg" before "im10.jpg"."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part.lower() for index, part in enumerate(parts)], name


def open_folder(folder: Path, option: str) -> PhotoSource:
    files = _usable(list(_walk(folder)), folder)
    names = [name for name in files if name.lower().endswith(IMAGE_SUFFIXES)]
    if names:
        left_out = sorted(set(files) - set(names), key=natural_key)
        return PhotoSource(folder, "folder", folder, sorted(names, key=natural_key), left_out)
    held = f"no image among its {counted(len(files), 'file')}" if files else "the folder is empty"
    videos = sorted((name for name in files if name.lower().endswith(VIDEO_SUFFIXES)), key=natural_key)
    hint = f"; for a video give the file itself, e.g. {folder / videos[0]}" if videos else ""
    raise UserError(f"{option} {folder}: {held}; images end in {listed(IMAGE_SUFFIXES)}{hint}")


def _usable(names: list[str], folder: Path) -> list[str]:
    """The names of regular files that can be written and printed; one warning counts the others."""
    faults = {name: fault for name in names if (fault := fault_of_name(name) or fault_of_file(folder / name))}
    if faults:
        shown = first_few([f"{name!r} {fault}" for name, fault in sorted(faults.items())], ",", shown=3)
        warn(f"{len(faults)} of {counted(len(names), 'file')} of {folder} left out: {shown}")
    return [name for name in names if name not in faults]


def _walk(folder: Path) -> Iterator[str]:
    """Relative names of all files below `folder`, following symbolic links, without hidden files and folders."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link that leads back up, or a second way to the same folder
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        base = Path(parent).relative_to(folder)
        yield from ((base / name).as_posix() for name in files if not name.startswith("."))


def listed(suffixes: tuple[str, ...]) -> str:
    """Suffixes as text."""
    return " ".join(suffixes)
