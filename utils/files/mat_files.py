"""Reader of MATLAB's files of level 5 (what `save -v6` and `-v7` write), on bytes that may be damaged.

SciPy's reader trusts the sizes that a file declares: a flipped bit makes it read outside its memory, and the process
dies. Here every size is compared with what is there. Source: MathWorks, "MAT-File Format", R2023a, chapter 1.

Values: numeric arrays as in the file (logical ones uint8), texts as str (or arrays of str, a row each), cells as arrays
of objects, structs as `SimpleNamespace` or arrays of them. Sparse arrays and function handles are None.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from utils.files.sizes import require_honest

HEADER = 128  # bytes
ELEMENT_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXT_TYPES = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, OBJECT, CHAR = 1, 2, 3, 4
NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
COMPLEX = 0x0800  # a flag of the array
DEEPEST, MOST_DIMENSIONS = 32, 16
VALUE = 128  # bytes that an object in a cell or struct takes in memory, at least


class MatError(ValueError):
    """Bytes that are no MATLAB file of level 5; one line says why."""


class _Element(NamedTuple):
    kind: int
    data: memoryview


def read_mat(path: str | Path, names: Collection[str] | None = None) -> dict[str, Any]:
    """The variables of a MATLAB file by name: those of `names` that it has, or all.

    Raises OSError where it can't be opened, MatError where it is damaged or of another kind, and TooLarge where it
    unfolds to far more than it holds.
    """
    data = memoryview(Path(path).read_bytes())
    reader = _Reader(path, _byte_order(data))
    variables = {}
    for element in reader.variables(data[HEADER:]):
        name, value = reader.matrix(element.data, names)
        if names is None or name in names:
            variables[name] = value
    return variables


def _byte_order(data: memoryview) -> str:
    text = bytes(data[:HEADER])
    if text.startswith(b"MATLAB 7.3") or text.startswith(b"\x89HDF"):
        raise MatError("MATLAB 7.3, which is HDF5; save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(text[126:128])
    if order is None:
        raise MatError("no MATLAB file of level 5 (save -v7)")
    return order


class _Reader:
    """Reads elements of one byte order; `path` is the file, whose size bounds what it may unfold to."""

    def __init__(self, path: str | Path, order: str) -> None:
        self._path, self._order, self._total = path, order, 0

    def variables(self, data: memoryview) -> Iterator[_Element]:
        """The arrays at the top of a file, compressed or not."""
        for element in self.elements(data, padded=False):
            inner = self.elements(self.unzipped(element.data)) if element.kind == COMPRESSED else iter([element])
            yield from (one for one in islice(inner, 1) if one.kind == MATRIX)

    def elements(self, data: memoryview, padded: bool = True) -> Iterator[_Element]:
        """The elements that follow one another. Unless `padded`, compressed ones are not: at the top of a file."""
        place = 0
        while place < len(data):
            if place + 8 > len(data):
                raise MatError("an element ends early")
            kind, size = struct.unpack_from(f"{self._order}II", data, place)
            if kind >> 16:  # a small element: size and type share the first four bytes, data are the next
                start, size, kind, step = place + 4, kind >> 16, kind & 0xFFFF, 8
                if size > 4:
                    raise MatError(f"a small element of {size} bytes")
            else:
                start = place + 8
                step = 8 + (size if kind == COMPRESSED and not padded else -(-size // 8) * 8)
            if start + size > len(data):
                raise MatError(f"an element declares {size} bytes where {len(data) - start} are left")
            yield _Element(kind, data[start : start + size])
            place += step

    def unzipped(self, data: memoryview) -> memoryview:
        decoder, parts = zlib.decompressobj(), []
        try:
            while data and not decoder.eof:
                parts.append(decoder.decompress(data, 1 << 20))
                data = decoder.unconsumed_tail
                self._count(len(parts[-1]))
        except zlib.error as error:
            raise MatError(f"compressed bytes are damaged ({error})") from None
        return memoryview(b"".join(parts))

    def matrix(self, data: memoryview, names: Collection[str] | None = None, depth: int = 0) -> tuple[str, Any]:
        """(name, value) of an array; None as the value of one whose name is not among `names`."""
        if not len(data):
            return "", np.empty((0, 0))
        if depth > DEEPEST:
            raise MatError("nested too deeply")
        parts = self.elements(data)
        flags, _ = self._whole_numbers(_next(parts), 2)
        shape = tuple(self._whole_numbers(_next(parts)))
        name = bytes(_next(parts).data).decode("latin-1")
        if names is not None and name not in names:
            return name, None
        if not 2 <= len(shape) <= MOST_DIMENSIONS or min(shape) < 0:
            raise MatError(f"an array of shape {shape}")
        kind = flags & 0xFF
        if kind in NUMERIC:
            return name, self._array(parts, shape, NUMERIC[kind], bool(flags & COMPLEX))
        if kind == CHAR:
            return name, _text(_next(parts), shape, self._order)
        if kind == CELL:
            return name, _shaped(self._values(parts, math.prod(shape), len(data), depth), shape)
        if kind in (STRUCT, OBJECT):
            return name, self._struct(parts, shape, len(data), depth, kind == OBJECT)
        return name, None

    def _array(self, parts: Iterator[_Element], shape: tuple[int, ...], dtype: str, is_complex: bool) -> np.ndarray:
        count = math.prod(shape)
        self._count(count * np.dtype(dtype).itemsize)
        values = self._numbers(_next(parts), count)
        with np.errstate(invalid="ignore", over="ignore"):
            values = values.astype(dtype)
            if is_complex:
                values = values + 1j * self._numbers(_next(parts), count)
        return values.reshape(shape, order="F")

    def _struct(self, parts: Iterator[_Element], shape: tuple[int, ...], size: int, depth: int, named: bool) -> Any:
        if named:
            _next(parts)  # the class's name
        [length] = self._whole_numbers(_next(parts), 1)
        text = bytes(_next(parts).data)
        if not 0 < length <= 64 or len(text) % length:
            raise MatError(f"field names of {length} bytes in {len(text)}")
        fields = [text[i : i + length].split(b"\0")[0].decode("latin-1") for i in range(0, len(text), length)]
        count = math.prod(shape)
        self._count(count * VALUE)  # without fields they take no bytes of the file
        values = self._values(parts, count * len(fields), size, depth)
        rows = [values[i * len(fields) : (i + 1) * len(fields)] for i in range(count)]
        structs = [SimpleNamespace(**dict(zip(fields, row, strict=True))) for row in rows]
        return structs[0] if shape == (1, 1) else _shaped(structs, shape)

    def _values(self, parts: Iterator[_Element], count: int, size: int, depth: int) -> list[Any]:
        """The values of the arrays in a cell or struct of `size` bytes."""
        if count > size // 8:  # each takes 8 bytes at least
            raise MatError(f"{count} arrays in {size} bytes")
        self._count(count * VALUE)
        values = []
        for _ in range(count):
            element = _next(parts)
            if element.kind != MATRIX:
                raise MatError(f"an element of type {element.kind} where an array is expected")
            values.append(self.matrix(element.data, depth=depth + 1)[1])
        return values

    def _numbers(self, element: _Element, count: int | None = None) -> np.ndarray:
        """The numbers of an element, `count` of them if given."""
        code = ELEMENT_TYPES.get(element.kind)
        if code is None:
            raise MatError(f"an element of type {element.kind} where numbers are expected")
        dtype = np.dtype(code).newbyteorder(self._order)
        if len(element.data) % dtype.itemsize or (count is not None and len(element.data) != count * dtype.itemsize):
            raise MatError(f"{len(element.data)} bytes for {'some' if count is None else count} numbers of {dtype}")
        return np.frombuffer(element.data, dtype)

    def _whole_numbers(self, element: _Element, count: int | None = None) -> list[int]:
        """`_numbers` that say how to read the rest."""
        values = self._numbers(element, count)
        if values.dtype.kind == "f":
            raise MatError(f"{values.dtype} where whole numbers are expected")
        return values.tolist()

    def _count(self, more: int) -> None:
        self._total += more
        require_honest(self._total, self._path)


def _next(parts: Iterator[_Element]) -> _Element:
    element = next(parts, None)
    if element is None:
        raise MatError("an array ends early")
    return element


def _text(element: _Element, shape: tuple[int, ...], order: str) -> str | np.ndarray:
    """Characters, which are stored column by column; a str for one row."""
    encoding = TEXT_TYPES.get(element.kind)
    if encoding is None:
        raise MatError(f"an element of type {element.kind} where characters are expected")
    suffix = {"<": "-le", ">": "-be"}[order] if encoding in ("utf-16", "utf-32") else ""
    letters = bytes(element.data).decode(encoding + suffix, errors="replace")
    if shape[0] <= 1 or len(letters) != math.prod(shape):
        return letters
    rows = np.array(list(letters)).reshape(shape[0], -1, order="F")
    return np.array(["".join(row) for row in rows.tolist()])


def _shaped(values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):  # one by one: a list of equal arrays would become one array
        array[index] = value
    return array.reshape(shape, order="F")
