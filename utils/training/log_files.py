"""What a training left to be read: `log.txt`, and `options.json` beside it. No torch import here."""

import json
from pathlib import Path

from utils.osutils import UserError

OPTIONS_FILE = "options.json"
BETTER = "better"  # where it says of metrics whether "higher" or "lower" is better


def is_part(column: str) -> bool:
    """Whether a column is a part of another's number: "val/MPJPE/Walking", an action's share, of "val/MPJPE"."""
    return column.count("/") > 1


def read_better(log: Path) -> dict[str, str]:
    """Metric -> whether "higher" or "lower" is better, from the `options.json` beside a log; {} in older ones."""
    try:
        better = json.loads((log.parent / OPTIONS_FILE).read_text(encoding="utf-8")).get(BETTER, {})
    except (OSError, ValueError, AttributeError):
        return {}
    return better if isinstance(better, dict) else {}


def read_log(path: Path) -> tuple[list[str], list[dict[str, float]]]:
    """Columns and rows of a `log.txt`. UserError names the line that is not as the loop writes them."""
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
