"""Arrays of .npz and HDF5 files: their declared shapes and types are looked at before memory is taken for them."""

import math
import os
import tokenize
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from utils.files.sizes import NUMBER, require_honest

HDF5_ERRORS = (OSError, KeyError, TypeError, ValueError, RuntimeError)  # that h5py raises on damaged bytes
HEADER_ERRORS = (SyntaxError, tokenize.TokenError, TypeError, RecursionError, MemoryError)  # of Python's own parser
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: str | Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an .npz by name: those of `names` that it has, or all.

    Raises OSError, ValueError, KeyError, EOFError, zlib.error, BadZipFile and NotImplementedError for a file that is
    damaged, holds objects, or declares more than it can hold.
    """
    with zipfile.ZipFile(path) as archive:
        held = npz_members(archive)
        wanted = held if names is None else [name for name in names if name in held]
        require_honest(sum(_declared(archive, name) for name in wanted), path)
        return {name: _read_member(archive, name, path) for name in wanted}


def npz_members(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist()]


def read_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, Fortran order, type) of an array in NumPy's format; `stream` is then at its data.

    Raises ValueError for a damaged one: NumPy parses it as Python.
    """
    version = np.lib.format.read_magic(stream)
    if version not in HEADER_READERS:
        raise ValueError(f"unknown .npy version {version}")
    try:
        return HEADER_READERS[version](stream)
    except HEADER_ERRORS as error:
        raise ValueError(f"the header of an array is damaged ({error})") from None


def read_values(stream: BinaryIO, header: tuple, path: str | Path) -> np.ndarray:
    """The array that follows its header, as a copy of its own."""
    shape, fortran_order, dtype = header
    if dtype.hasobject:
        raise ValueError("it holds objects, not numbers or strings")
    if dtype.itemsize == 0:
        raise ValueError(f"its type, {dtype}, has no size")
    count = _count(shape)
    require_honest(count * max(dtype.itemsize, NUMBER), path)
    data = stream.read(count * dtype.itemsize)
    values = np.frombuffer(bytearray(data), dtype, count=count)
    return values.reshape(shape, order="F" if fortran_order else "C")


def read_dataset(group: h5py.Group, name: str, most: int | None = None) -> np.ndarray:
    """A numeric or string dataset of an HDF5 file.

    Args:
        most: more elements than this are refused.

    Raises KeyError where there is none of that name, TypeError where it is a group, ValueError where it declares more
    than the file can hold, and others of `HDF5_ERRORS` for damaged bytes.
    """
    dataset = require_dataset(group, name)
    if most is not None and dataset.size > most:
        raise ValueError(f"{name} has {dataset.size} elements, expected at most {most}")
    count = max(dataset.size, math.prod(dataset.chunks or ()))  # to read one element is to unfold its chunk
    # `group.file.filename` takes as long as reading a small dataset.
    require_honest(count * max(dataset.dtype.itemsize, NUMBER), os.fsdecode(h5py.h5f.get_name(group.id)))
    return np.asarray(dataset[()])


def member_names(group: h5py.Group) -> list[str]:
    """The names in a group; h5py gives those that are not UTF-8 as bytes."""
    return [name if isinstance(name, str) else name.decode(errors="backslashreplace") for name in group]


def require_dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise TypeError(f"{name} is no dataset with values")
    return dataset


def numeric_dataset(group: h5py.Group, name: str, dtype: Any = np.float64, most: int | None = None) -> np.ndarray:
    """`read_dataset` as numbers of a type; TypeError for anything but numbers."""
    values = read_dataset(group, name, most)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} holds {values.dtype}, not numbers")
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows becomes infinite
        return values.astype(dtype)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        if length < 0:
            raise ValueError(f"an array of shape {shape}")
        count *= length
    return count


def _declared(archive: zipfile.ZipFile, name: str) -> int:
    """Bytes that a member declares to unfold to."""
    with archive.open(f"{name}.npy") as stream:
        shape, _, dtype = read_header(stream)
    return _count(shape) * max(dtype.itemsize, NUMBER)


def _read_member(archive: zipfile.ZipFile, name: str, path: str | Path) -> np.ndarray:
    with archive.open(f"{name}.npy") as stream:
        return read_values(stream, read_header(stream), path)
