"""Reads pickled arrays of public .npz files without running code from the file.

The public Human3.6M and HumanEva-I files hold dicts of arrays, which NumPy saved as a pickle, and `allow_pickle=True`
would run any code that the pickle names. Here the few permitted names map to small stand-ins, from which the arrays are
built afterwards. NumPy's own `ndarray` and `dtype` are not used: their `__setstate__` trusts its input, and a forged
dtype turns bytes of the file into pointers.
"""

import io
import pickle
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from utils.files.arrays_in_files import npz_members, read_header, read_values
from utils.files.sizes import ALWAYS, ARRAY_FACTOR, require_honest
from utils.osutils import UserError

PLAIN_TYPE = re.compile(r"[biuf][1248]|[SU]\d{1,6}")
MOST_STEPS = 500_000  # of a pickle; the public files take some thousands, each step makes one object at most
MEMO_WRITERS = ("PUT", "BINPUT", "LONG_BINPUT")
PLAIN_VALUES = (str, bytes, int, float, bool, type(None))


def read_object_npz(path: str | Path, key: str) -> Any:
    """Read member `key` of an .npz file: an array, or dicts, lists and tuples of arrays, numbers and strings.

    Arrays are read-only views of the file's bytes; object arrays become lists.

    Raises UserError if the file cannot be read, lacks the member (its members are listed), or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = npz_members(archive)
            if key not in members:
                raise UserError(f"{path}: no {key}; it has {', '.join(members) or 'nothing'}")
            with archive.open(f"{key}.npy") as stream:
                return _read_member(stream, path)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: {key} is not plain data: {error}") from None
    except UserError:
        raise
    except Exception as error:  # zipfile, NumPy and pickle raise many types for a damaged file
        raise UserError(f"{path}: {key} cannot be read, the file is damaged or not an .npz ({error})") from None


def _read_member(stream: BinaryIO, path: Path) -> Any:
    header = read_header(stream)
    if not header[2].hasobject:
        return read_values(stream, header, path)
    # Read at once: reading a zip member in pieces is slow.
    content = stream.read(max(ALWAYS, ARRAY_FACTOR * path.stat().st_size) + 1)
    require_honest(len(content), path)
    _require_few_steps(content)
    return _Plain()(_PlainUnpickler(io.BytesIO(content)).load())


def _require_few_steps(content: bytes) -> None:
    """Raise UnpicklingError for a pickle of very many objects, or one that declares a memo larger than itself.

    Python would allocate either: an empty list takes one byte of the pickle and 64 of memory.
    """
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name in MEMO_WRITERS and argument > number:
            raise pickle.UnpicklingError(f"its memo goes to {argument} after {number} steps")
        if number > MOST_STEPS:
            raise pickle.UnpicklingError(f"it has more than {MOST_STEPS:,} steps")


class _StandIn:
    """Replaces a permitted class of the pickle; stores the state it is given without acting on it."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_StandIn):
    def plain(self, plain: "_Plain") -> Any:
        """State: version, shape, dtype, Fortran order, and bytes, or a list where the array holds objects."""
        _, shape, dtype, fortran_order, data = self.state
        order = "F" if fortran_order else "C"
        if isinstance(data, list):
            items = np.empty(len(data), dtype=object)
            for i, item in enumerate(data):  # one by one: NumPy would merge a list of equal shapes into one array
                items[i] = plain(item)
            return items.reshape(shape, order=order).tolist()
        return np.frombuffer(data, dtype.as_dtype()).reshape(shape, order=order)


class _Type(_StandIn):
    def as_dtype(self) -> np.dtype:
        """Arguments: the type's code, e.g. f4; the state's second value is the byte order."""
        code = self.arguments[0]
        if not isinstance(code, str) or not PLAIN_TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of type {code!r}")
        byte_order = self.state[1] if self.state else "="
        return np.dtype(code) if byte_order == "|" else np.dtype(code).newbyteorder(byte_order)


class _Reconstruct(_StandIn):
    """`_reconstruct(ndarray, …)` creates an empty array; its state follows."""

    def __new__(cls, *_: Any) -> _Array:
        return _Array()


class _Scalar(_StandIn):
    def plain(self, _: "_Plain") -> Any:
        """A NumPy number. Arguments: dtype and bytes."""
        dtype, data = self.arguments
        return np.frombuffer(data, dtype.as_dtype())[0].item()


class _Encode(_StandIn):
    """Bytes in old pickles: text with the encoding "latin1"."""

    def __new__(cls, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
        return text.encode("latin1")


PERMITTED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _Encode,
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")
        for name, stand_in in (("_reconstruct", _Reconstruct), ("scalar", _Scalar))
    },
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in PERMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array, number, string or dict")
        return PERMITTED[module, name]

    def persistent_load(self, identifier: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to objects outside the file")


class _Plain:
    """Turns stand-ins into arrays and numbers, each object once: a pickle of 1 kB can name one list 2⁴⁰ times."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._open: set[int] = set()

    def __call__(self, value: Any) -> Any:
        if type(value) in PLAIN_VALUES:
            return value
        key = id(value)  # of an object that the unpickled content keeps alive
        if key in self._open:
            raise pickle.UnpicklingError("it holds an object that holds itself")
        if key not in self._made:
            self._open.add(key)
            self._made[key] = self._of(value)
            self._open.remove(key)
        return self._made[key]

    def _of(self, value: Any) -> Any:
        if isinstance(value, (_Array, _Scalar)):
            return value.plain(self)
        if isinstance(value, dict):
            return {self(key): self(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self(item) for item in value)
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
