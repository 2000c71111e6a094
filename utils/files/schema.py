"""What a file's content must be, in words and as a check: one schema for each kind of file, used by all its readers.

    CAMERA = {"f": numbers(2, low=0), "name": text()}
    require(content, CAMERA, path)        # UserError: "path: f is a str; expected 2 finite numbers of at least 0"

A `Kind` looks at no more than it needs and never follows what it doesn't know, so that shared or nested objects cost
nothing. Tensors are known by their attributes: no torch import here.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.osutils import UserError

LONGEST = 10_000  # numbers, strings or keys outside arrays


@dataclass(frozen=True)
class Kind:
    """What a value may be.

    Attributes:
        expected: in words, after "expected".
        right: whether a value is so; it may raise nothing.
        required: whether the value must be there.
    """

    expected: str
    right: Callable[[Any], bool]
    required: bool = False

    def __or__(self, other: "Kind") -> "Kind":
        """Either of the two."""
        return Kind(f"{self.expected} or {other.expected}", lambda value: self.right(value) or other.right(value))


Schema = Mapping[str, Kind]


def require(content: Mapping[str, Any], schema: Schema, where: str | Path) -> None:
    """Raise UserError, naming `where` and the entry, for the first entry that is not of its kind, or is missing.

    Entries that the schema does not name pass.
    """
    for name, kind in schema.items():
        if name not in content:
            if kind.required:
                raise UserError(f"{where}: lacks {name}; expected {kind.expected}")
        elif not kind.right(content[name]):
            raise UserError(f"{where}: {name} is {described(content[name])}; expected {kind.expected}")


def described(value: Any) -> str:
    """A value for messages: itself if it is short, else its type and shape or length."""
    if isinstance(value, bool | int | float | str | type(None)):
        # An integer of thousands of digits has no decimal form that Python would give.
        return repr(value)[:60] if not isinstance(value, int) or value.bit_length() < 200 else "a huge whole number"
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{value.dtype} of shape {' × '.join(map(str, shape)) or 'scalar'}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, Collection) else "")


# ------------------------------------------------------------------------------------------ kinds
def required(kind: Kind) -> Kind:
    return Kind(kind.expected, kind.right, required=True)


def number(low: float = -1e30, high: float = 1e30) -> Kind:
    """A finite number of Python, within bounds."""
    return Kind(f"a number from {low:g} to {high:g}", lambda value: _is_number(value, low, high))


def whole(low: int = 0, high: int = 10**9) -> Kind:
    right = lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high  # noqa: E731
    return Kind(f"a whole number from {low:,} to {high:,}", right)


def numbers(*shape: int, low: float = -1e30, high: float = 1e30) -> Kind:
    """Nested lists or tuples of finite numbers, of this shape."""
    sizes = " × ".join(map(str, shape))
    return Kind(f"{sizes} numbers from {low:g} to {high:g}", lambda value: _are_numbers(value, shape, low, high))


def text(*choices: str) -> Kind:
    """A string, one of `choices` if there are any."""
    expected = f"one of {', '.join(choices)}" if choices else "a text"
    return Kind(expected, lambda value: isinstance(value, str) and (not choices or value in choices))


def flag() -> Kind:
    return Kind("True or False", lambda value: isinstance(value, bool))


def nothing() -> Kind:
    return Kind("None", lambda value: value is None)


def several(kind: Kind, most: int = LONGEST) -> Kind:
    """A list or tuple whose items are all of a kind."""
    right = lambda value: isinstance(value, list | tuple) and len(value) <= most and all(map(kind.right, value))  # noqa: E731
    return Kind(f"a list, each {kind.expected}", right)


def entries(schema: Schema) -> Kind:
    """A mapping whose entries are of their kinds."""

    def right(value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            kind.right(value[name]) if name in value else not kind.required for name, kind in schema.items()
        )

    return Kind(f"a dict of {', '.join(schema)}, as train.py writes them", right)


def by_name(kind: Kind, most: int = LONGEST) -> Kind:
    """A mapping from strings to values that are all of a kind."""

    def right(value: Any) -> bool:
        return (
            isinstance(value, Mapping)
            and len(value) <= most
            and all(isinstance(name, str) and kind.right(one) for name, one in value.items())
        )

    return Kind("a dict of plain values by name", right)


def tensor(*shape: int | None, kinds: str = "fiu") -> Kind:
    """A tensor that holds its own data, of this shape; None is any length. `kinds`: of f floats, i and u integers."""
    sizes = " × ".join("any" if size is None else str(size) for size in shape)

    def right(value: Any) -> bool:
        return (
            is_tensor(value)
            and value.ndim == len(shape)
            and all(want is None or want == have for want, have in zip(shape, value.shape, strict=True))
            and ("f" in kinds or not value.is_floating_point())
            and holds_its_data(value)
        )

    return Kind(f"a tensor of shape {sizes or 'scalar'}", right)


def is_tensor(value: Any) -> bool:
    """Whether a value is a real-valued torch tensor."""
    return hasattr(value, "untyped_storage") and not value.is_complex() and not value.is_sparse


def holds_its_data(value: Any) -> bool:
    """Whether a tensor's storage has all of its elements: a file of 1 kB can declare a view of one as 10⁹ of them."""
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def _is_number(value: Any, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and low <= value <= high if isinstance(value, float) else low <= value <= high


def _are_numbers(value: Any, shape: tuple[int, ...], low: float, high: float) -> bool:
    if not shape:
        return _is_number(value, low, high)
    if not isinstance(value, list | tuple) or len(value) != shape[0]:
        return False
    return all(_are_numbers(one, shape[1:], low, high) for one in value)


def finite_array(values: Any, shape: tuple[int, ...], most: float = 1e30) -> np.ndarray | None:
    """Numbers in nested lists as float64 of that shape; None where they are anything else, or not within ± `most`."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    return array if array.shape == shape and (abs(array) <= most).all() else None  # NaN fails the comparison
