"""Reads a training's `log.txt` and the `options.json` beside it. No torch import here."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.files.json_files import as_mapping, read_json
from utils.files.schema import by_name, text
from utils.osutils import UserError, warn

LOG_FILE, OPTIONS_FILE = "log.txt", "options.json"
BETTER = "better"  # key in options.json: metric -> "higher" or "lower"
UNITS = "units"  # key in options.json: metric -> unit
PERCENT = "%"
MILLIMETRES = "mm"
# Older versions wrote these as fractions, without units.
ONCE_SHARES = re.compile(r"val/(PCKh?@[\d.]+|visibility_accuracy)")


def is_part(column: str) -> bool:
    """Whether a column is part of another metric: "val/MPJPE/Walking", one action of "val/MPJPE"."""
    return column.count("/") > 1


def read_better(log: Path) -> dict[str, str]:
    """Metric -> "higher" or "lower", whichever is better, from the `options.json` beside a log; {} in older ones."""
    return _notes(log, BETTER)


def read_units(log: Path) -> dict[str, str]:
    """Metric -> unit, e.g. "%", from the `options.json` beside a log; {} in older ones."""
    return _notes(log, UNITS)


def _notes(log: Path, name: str) -> dict[str, str]:
    return notes if by_name(text()).right(notes := read_options(log.parent).get(name)) else {}


def read_options(folder: Path) -> Mapping[str, Any]:
    """The `options.json` of a folder; {} where there is none, and, with a warning, where it is damaged."""
    path = folder / OPTIONS_FILE
    if not path.is_file():
        return {}
    try:
        return as_mapping(read_json(path, "it is not used"))
    except UserError as error:
        warn(str(error))
        return {}


def shares_in(columns: Sequence[str], rows: Sequence[Mapping[str, float]], units: Mapping[str, str]) -> list[str]:
    """Columns of a log that hold fractions: rates without a unit and without a value above 1."""
    rates = [column for column in columns if (match := ONCE_SHARES.fullmatch(column)) and match[1] not in units]
    return [column for column in rates if not any(row[column] > 1 for row in rows)]


def rows_in_percent(rows: Sequence[Mapping[str, float]], shares: Sequence[str]) -> list[dict[str, float]]:
    """The rows of a log with the columns `shares` multiplied by 100."""
    return [{name: 100 * value if name in shares else value for name, value in row.items()} for row in rows]


def read_log(path: Path) -> tuple[list[str], list[dict[str, float]]]:
    """Columns and rows of a `log.txt`. Raises UserError that names a malformed line."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    columns = lines[0].split("\t") if lines else []
    if "epoch" not in columns:
        raise UserError(f"{path}: not a training log; line 1 should be tab-separated names with 'epoch' among them")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            values = [float(text) for text in line.split("\t")]
        except ValueError:
            raise UserError(f"{path}: line {number} has a field that is not a number") from None
        if len(values) != len(columns):
            raise UserError(f"{path}: line {number} has {len(values)} fields, line 1 names {len(columns)}")
        rows.append(dict(zip(columns, values, strict=True)))
    return columns, rows
