"""Pickled arrays of public .npz files, read without running anything that the file brings along.

The public Human3.6M and HumanEva-I files hold dicts of arrays, saved by NumPy as a pickle, and `allow_pickle=True` runs
whatever code a pickle names. Here the pickle's few permitted names lead to small stand-ins, from which the arrays are
built afterwards. NumPy's own `ndarray` and `dtype` are not among them: their `__setstate__` trusts what it is given,
and a forged dtype turns bytes of the file into pointers.
"""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from utils.osutils import UserError

PLAIN_TYPE = re.compile(r"[biuf][1248]|[SU]\d{1,6}")
PLAIN_VALUES = (str, bytes, int, float, bool, type(None))


def read_object_npz(path: str | Path, key: str) -> Any:
    """The member `key` of an .npz file: an array, or dicts, lists and tuples of arrays, numbers and strings.

    Arrays are views of the file's bytes and cannot be written to; arrays of objects become lists.

    Raises UserError for a file that cannot be read, lacks the member (it says which there are), or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name.removesuffix(".npy") for name in archive.namelist()]
            if key not in members:
                raise UserError(f"{path}: no {key} in it; it has {', '.join(members) or 'nothing'}")
            with archive.open(f"{key}.npy") as stream:
                return _read_member(stream)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: {key} is not plain data: {error}") from None
    except UserError:
        raise
    except Exception as error:  # zipfile, NumPy and pickle raise many types for a damaged file
        raise UserError(f"{path}: {key} cannot be read, the file is damaged or no .npz ({error})") from None


def _read_member(stream: Any) -> Any:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"unknown .npy version {version}")
    shape, fortran_order, dtype = readers[version](stream)
    if dtype.hasobject:
        return _plain(_PlainUnpickler(stream).load())
    # Read whole: a zip member is a slow thing to read in pieces.
    values = np.frombuffer(stream.read(), dtype)
    return values.reshape(shape, order="F" if fortran_order else "C")


class _StandIn:
    """What a permitted name of the pickle leads to; it keeps the state it is given and acts on none of it."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_StandIn):
    def plain(self) -> Any:
        """State: version, shape, dtype, Fortran order, and bytes, or a list where the array holds objects."""
        _, shape, dtype, fortran_order, data = self.state
        order = "F" if fortran_order else "C"
        if isinstance(data, list):
            items = np.empty(len(data), dtype=object)
            for i, item in enumerate(data):  # one by one: a list of equal arrays would become one array
                items[i] = _plain(item)
            return items.reshape(shape, order=order).tolist()
        return np.frombuffer(data, dtype.plain()).reshape(shape, order=order)


class _Type(_StandIn):
    def plain(self) -> np.dtype:
        """Arguments: the type's code, such as f4; the state's second value is the byte order."""
        code = self.arguments[0]
        if not isinstance(code, str) or not PLAIN_TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of type {code!r}")
        byte_order = self.state[1] if self.state else "="
        return np.dtype(code) if byte_order == "|" else np.dtype(code).newbyteorder(byte_order)


class _Reconstruct(_StandIn):
    """`_reconstruct(ndarray, …)` makes an empty array, whose state follows."""

    def __new__(cls, *_: Any) -> _Array:
        return _Array()


class _Scalar(_StandIn):
    def plain(self) -> Any:
        """A NumPy number. Arguments: dtype and bytes."""
        dtype, data = self.arguments
        return np.frombuffer(data, dtype.plain())[0].item()


class _Encode(_StandIn):
    """How old pickles write bytes: text and "latin1"."""

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


def _plain(value: Any) -> Any:
    """The value with its stand-ins turned into arrays and numbers."""
    if isinstance(value, (_Array, _Scalar)):
        return value.plain()
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if type(value) in PLAIN_VALUES:
        return value
    raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
