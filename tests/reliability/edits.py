"""Edits of a file as plain data that fits JSON: lists that hypothesis shrinks, and that a corpus keeps as text.

    ["set", offset, hex]                    other bytes from an offset on; the file gets no longer
    ["insert", offset, hex]                 bytes before an offset
    ["delete", offset, length]
    ["cut", offset]                         the file ends there
    ["repeat", offset, length, times]       a part comes `times` times more
    ["value", path, value]                  another value inside a file with a structure, which stays well-formed;
                                            path: the keys and numbers that lead to it
    ["value", path, {"array": [dtype, shape, fill]}]      an array, in files that hold arrays
    ["remove", path]                        a value less

Edits of values come first, then those of bytes, each in its order. An edit that finds nothing changes nothing, so any
edits can be taken out of a list.
"""

import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import torch
from cases import Change
from mutations import change_gzip, change_hdf5, change_json, change_npz, change_torch

Edit = list[Any]
OF_VALUES = ("value", "remove")
MOST_ITEMS = 3  # of a list whose values are edited: its first


@dataclass(frozen=True)
class Structure:
    """How a kind of file is read and written as nested dicts and lists.

    Attributes:
        load: the content of a file's bytes.
        dump: the reverse.
        plain: values may be those of JSON, at any level.
        dtypes: of arrays that may stand in place of a value.
    """

    load: Callable[[bytes], Any]
    dump: Callable[[Any], bytes]
    plain: bool = True
    dtypes: tuple[str, ...] = ()


def _load_npz(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=True) as file:
        return dict(file)


def _dump_npz(content: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    return buffer.getvalue()


def _load_hdf5(data: bytes) -> dict[str, Any]:
    content: dict[str, Any] = {}
    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(lambda name, item: content.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return content


def _dump_hdf5(content: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, values in content.items():
            file[name] = values
    return buffer.getvalue()


def _load_torch(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True)


def _dump_torch(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


JSON = Structure(json.loads, lambda content: json.dumps(content).encode())
GZIP = Structure(
    lambda data: json.loads(gzip.decompress(data)),
    lambda content: gzip.compress(json.dumps(content).encode(), 1, mtime=0),
)
NUMBERS = ("f8", "f4", "i8", "u1", "?", "c16")
NPZ = Structure(_load_npz, _dump_npz, plain=False, dtypes=(*NUMBERS, "U2", "M8[s]"))
HDF5 = Structure(_load_hdf5, _dump_hdf5, plain=False, dtypes=(*NUMBERS, "S2"))
TORCH = Structure(_load_torch, _dump_torch, dtypes=(*NUMBERS, "f2"))

OF_CHANGES: dict[Change | None, Structure] = {
    change_json: JSON, change_gzip: GZIP, change_npz: NPZ, change_hdf5: HDF5, change_torch: TORCH,
}  # fmt: skip


def values_of(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[list[str | int], Any]]:
    """(path, value) of nested dicts and lists, of the whole first; of long lists the first values."""
    yield list(path), content
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from values_of(value, (*path, key))
    elif isinstance(content, list):
        for number, value in enumerate(content[:MOST_ITEMS]):
            yield from values_of(value, (*path, number))


def apply(data: bytes, edits: list[Edit], structure: Structure | None = None) -> bytes:
    """The bytes of a file after edits; edits of values need the file's structure."""
    values = [edit for edit in edits if edit[0] in OF_VALUES]
    if values and structure:
        content = structure.load(data)
        for edit in values:
            content = _with_value(content, edit, structure)
        data = structure.dump(content)
    changed = bytearray(data)
    for edit in edits:
        if edit[0] not in OF_VALUES:
            _edit_bytes(changed, edit)
    return bytes(changed)


def _edit_bytes(data: bytearray, edit: Edit) -> None:
    match edit:
        case ["set", offset, text]:
            new = bytes.fromhex(text)[: max(len(data) - offset, 0)]
            data[offset : offset + len(new)] = new
        case ["insert", offset, text]:
            data[offset:offset] = bytes.fromhex(text)
        case ["delete", offset, length]:
            del data[offset : offset + length]
        case ["cut", offset]:
            del data[offset:]
        case ["repeat", offset, length, times]:
            data[offset:offset] = data[offset : offset + length] * times
        case _:
            raise ValueError(f"no such edit: {edit}")


def _with_value(content: Any, edit: Edit, structure: Structure) -> Any:
    """Changes dicts and lists of the content in place; the whole content may be another afterwards."""
    kind, path, *rest = edit
    if not path:
        return _new_value(rest[0], structure) if kind == "value" else content
    *outer, last = path
    holder = content
    for key in outer:
        if not _holds(holder, key):
            return content
        holder = holder[key]
    if not _holds(holder, last):
        return content
    if kind == "remove":
        del holder[last]
    else:
        holder[last] = _new_value(rest[0], structure)
    return content


def _holds(holder: Any, key: str | int) -> bool:
    if isinstance(holder, list):
        return isinstance(key, int) and key < len(holder)
    return isinstance(holder, dict) and key in holder


def _new_value(value: Any, structure: Structure) -> Any:
    """A value of JSON as it is, or an array; torch's files hold tensors."""
    if not structure.dtypes or not isinstance(value, dict) or "array" not in value:
        return value
    dtype, shape, fill = value["array"]
    with np.errstate(all="ignore"):  # integers of NaN, float32 of 1e300: what comes of them doesn't matter
        array = np.full(shape, fill).astype(dtype)
    return torch.from_numpy(array) if structure is TORCH else array
