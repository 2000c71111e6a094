"""Annotated people in a JSON file, a list with one object per person: reading, and checks that name the entry."""

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.osutils import UserError


def read_entries(path: Path) -> list[dict[str, Any]]:
    """The non-empty list of people in a JSON file (perhaps gzipped, perhaps under the key "root").

    Raises UserError for anything else.
    """
    try:
        data = path.read_bytes()
        entries = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise UserError(f"{path}: not a readable JSON file ({error}); is the download complete?") from None
    if isinstance(entries, dict):
        entries = entries.get("root")
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: expected a list of annotated people, one JSON object each, and at least one")
    require([isinstance(entry, dict) for entry in entries], path, "is no JSON object; expected one per person")
    return entries


def require(right: Sequence[bool] | np.ndarray, path: Path, fault: str) -> None:
    """Raises UserError with the number of the first entry that is not right."""
    if not np.all(right):
        raise UserError(f"{path}: entry {int(np.argmin(right))} (from 0): {fault}")


def _values(entries: list[dict[str, Any]], key: str, path: Path) -> list[Any]:
    require([key in entry for entry in entries], path, f"{key} is missing")
    return [entry[key] for entry in entries]


def strings(entries: list[dict[str, Any]], key: str, path: Path) -> list[str]:
    values = _values(entries, key, path)
    require([isinstance(value, str) and value != "" for value in values], path, f"{key} is no image name")
    return values


def numbers(entries: list[dict[str, Any]], key: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """(N, *shape) float64, finite. Raises UserError naming the first entry that is not."""
    values = _values(entries, key, path)
    array = _as_array(values, (len(values), *shape))
    if array is None:
        expected = f"{' × '.join(map(str, shape))} finite numbers" if shape else "one finite number"
        require([_as_array(value, shape) is not None for value in values], path, f"{key} is not {expected}")
    return array


def _as_array(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """`value` as float64 of that shape; None where it is anything else or not finite."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return array if array.shape == shape and np.isfinite(array).all() else None
