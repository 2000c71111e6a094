"""Shared parts of evaluations: model names, printed tables, tables as JSON."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.osutils import UserError

CELL_WIDTH = 8


def model_names(paths: Sequence[Path], given: Sequence[str] | None) -> list[str]:
    """The models' names: those given, else the files' stems, with as much of the path as makes them unique.

    Raises UserError if there are not as many names as files, and if a name or file occurs twice.
    """
    if not paths:
        raise UserError("--prediction_files: no file given; expected at least one")
    if given is None:
        depth = max(len(path.parts) for path in paths)
        candidates = [[path.stem for path in paths], [path.name for path in paths]]
        candidates += [["/".join(path.parts[-level:]) for path in paths] for level in range(2, depth + 1)]
        unique = next((names for names in candidates if len(set(names)) == len(names)), None)
        if unique is None:
            raise UserError(f"--prediction_files: {_most_common(map(str, paths))} is given twice")
        return unique
    if len(given) != len(paths):
        raise UserError(f"--model_names: {len(given)} names for {len(paths)} --prediction_files; give one per file")
    if len(set(given)) != len(given):
        raise UserError(f"--model_names: {_most_common(given)!r} is given twice; model names must be unique")
    return list(given)


def _most_common(items: Iterable[str]) -> str:
    return Counter(items).most_common(1)[0][0]


def format_number(value: float) -> str:
    """Two decimals; '-' for NaN, the mean over zero values."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of texts; rows are as long as the header."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def format_rows(
    corner: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[float]]], width: int = 0
) -> list[str]:
    """Format a table: a line of column titles, then one line per row.

    Args:
        corner: title of the column of row names.
        columns: titles of the others.
        rows: name, and one number per column.
        width: minimum width of the column of row names, to align several tables.
    """
    rows = list(rows)
    width = max([width, len(corner), *(len(name) for name, _ in rows)])
    widths = [max(CELL_WIDTH, len(column)) for column in columns]
    lines = [[corner.ljust(width), *(column.rjust(cell) for column, cell in zip(columns, widths, strict=True))]]
    for name, values in rows:
        cells = [format_number(value).rjust(cell) for value, cell in zip(values, widths, strict=True)]
        lines.append([name.ljust(width), *cells])
    return ["  ".join(line) for line in lines]


def tables_as_json(tables: Mapping[str, Any]) -> str:
    """Nested dicts of plain values as JSON, with NaN as null."""
    return json.dumps(_without_nan(tables), indent=2, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def print_averages(averages: Mapping[str, float]) -> None:
    """Print the averages of a validation as tab-separated name and value."""
    for name, value in averages.items():
        print(f"{name}\t{value:.6g}")
