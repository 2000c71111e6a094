"""Reads annotated people from a JSON list with one object per person; errors name the entry."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.files.json_files import read_json
from utils.files.schema import finite_array
from utils.osutils import UserError

LARGEST_PX = 1e6  # px. float32 has no fractions of a pixel beyond, and no photo is so large


def read_entries(path: Path) -> list[dict[str, Any]]:
    """The non-empty list of people in a JSON file (optionally gzipped, optionally under the key "root").

    Raises UserError for anything else.
    """
    entries = read_json(path, "is the download complete?")
    if isinstance(entries, dict):
        entries = entries.get("root")
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: expected a list of annotated people, one JSON object each, and at least one")
    require([isinstance(entry, dict) for entry in entries], path, "is not a JSON object; expected one per person")
    return entries


def require(right: Sequence[bool] | np.ndarray, path: Path, fault: str) -> None:
    """Raise UserError with the index of the first invalid entry."""
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
    """(N, *shape) float64, finite and within ± `LARGEST_PX`. Raises UserError naming the first entry that is not."""
    values = _values(entries, key, path)
    array = finite_array(values, (len(values), *shape), LARGEST_PX)
    if array is None:
        expected = f"{' × '.join(map(str, shape))} finite numbers" if shape else "one finite number"
        right = [finite_array(value, shape, LARGEST_PX) is not None for value in values]
        require(right, path, f"{key} is not {expected} (within ± {LARGEST_PX:g})")
    return array
