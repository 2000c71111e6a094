"""Writes files of torch.save."""

import io
from pathlib import Path
from typing import Any

import torch

from utils.osutils import atomic_path


def saved_bytes(content: Any) -> memoryview:
    """The bytes of a file of torch.save.

    torch.save itself turns a full disk into a RuntimeError that names a line of its C++ source; bytes are written with
    an ordinary OSError.
    """
    file = io.BytesIO()
    torch.save(content, file)
    return file.getbuffer()


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def save_torch(path: str | Path, content: Any) -> None:
    """torch.save, atomically."""
    write_bytes(path, saved_bytes(content))
