"""How much a file may unfold to: what it declares is compared with what it holds, before memory is taken for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

ALWAYS = 64 << 20  # bytes; below it nobody asks
ARRAY_FACTOR = 50  # deflate makes arrays of poses 1.1 to 8 times smaller; a bomb is up to 1000 times
NUMBER = 8  # bytes counted for each number of an array, at least: readers compute in float64
TEXT_FACTOR = 20  # annotations as JSON become 4 to 9 times smaller
MAX_PIXELS = 100_000_000  # of a photo or video frame
_MAX_PIXELS: ContextVar[int] = ContextVar("max_pixels", default=MAX_PIXELS)


class TooLarge(ValueError):
    """A file declares more than it can hold; one line says how much."""


def require_honest(declared: int, path: str | Path, factor: int = ARRAY_FACTOR) -> None:
    """Raise TooLarge where `declared` bytes of content are more than `factor` times the file's size, and `ALWAYS`."""
    held = os.path.getsize(path)
    if declared > max(ALWAYS, factor * held):
        raise TooLarge(f"declares {declared / 2**20:,.0f} MiB of content in a file of {held / 2**20:,.1f} MiB")


def require_stored(path: str | Path) -> None:
    """Raise TooLarge for a zip file that declares more than it holds; torch.save compresses nothing. Others pass.

    Raises BadZipFile, ValueError and NotImplementedError for a damaged one.
    """
    import zipfile  # noqa: PLC0415 - slow, and --help imports this module

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            declared, held = sum(member.file_size for member in archive.infolist()), os.path.getsize(path)
        if declared > held:
            raise TooLarge(f"declares {declared:,} bytes of content in a file of {held:,} bytes")


@contextmanager
def pixels_limited(most: int) -> Iterator[None]:
    """Context in which photos and video frames of more pixels are not decoded, here and in workers started in it.

    A PNG of 170 kB can declare 32,766 × 32,766 px.
    """
    token = _MAX_PIXELS.set(most)
    try:
        yield
    finally:
        _MAX_PIXELS.reset(token)


def limit_pixels(most: int) -> None:
    """`pixels_limited` for the rest of a worker process."""
    _MAX_PIXELS.set(most)


def max_pixels() -> int:
    """The most pixels of a photo or video frame that is decoded."""
    return _MAX_PIXELS.get()
