"""A JSON file of person boxes, as `--person_box FILE` takes it."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from stacked_hourglass.annotations.json_entries import LARGEST_PX
from utils.files.json_files import read_json
from utils.osutils import UserError

BOX_FORMS = (
    "accepted are {image name: [[x, y, w, h], ...]} and a list of {image | file_name | image_id, bbox: [x, y, w, h], "
    "score?, category_id?}, with x, y the top-left corner in px"
)


def read_box_file(path: Path) -> dict[str | int, tuple[np.ndarray, np.ndarray]]:
    """Boxes of a JSON file: image name or number -> edges (P, 4) zero-based px, scores (P,), both float32.

    Raises UserError, naming the entry, for what is not as `BOX_FORMS`, and for a file without boxes.
    """
    content = read_json(path, BOX_FORMS, "--person_box ")
    if isinstance(content, dict):
        entries = _named_entries(content, path)
    elif isinstance(content, list):
        entries = _listed_entries(content, path)
    else:
        raise UserError(f"--person_box {path}: holds a {type(content).__name__}; {BOX_FORMS}")
    found: dict[str | int, list] = defaultdict(list)
    for key, where, box, score in entries:
        found[key].append(_checked(box, score, f"--person_box {path}: {where}"))
    if not found:
        raise UserError(f"--person_box {path}: holds no person box; {BOX_FORMS}")
    return {key: _edges(np.array(rows, dtype=np.float64)) for key, rows in found.items()}


def _named_entries(content: dict, path: Path) -> Iterable[tuple]:
    """(key, where, box, score) of {image name: [[x, y, w, h], ...]}; a bare [x, y, w, h] is one box."""
    for name, boxes in content.items():
        if not isinstance(boxes, list):
            raise UserError(f"--person_box {path}: {name!r} holds a {type(boxes).__name__}; {BOX_FORMS}")
        bare = boxes and not isinstance(boxes[0], list)
        for index, box in enumerate([boxes] if bare else boxes):
            yield name, f"box {index} of {name!r}", box, 1.0


def _listed_entries(content: list, path: Path) -> Iterable[tuple]:
    """(key, where, box, score) of the people in a list like COCO's detection results."""
    for index, entry in enumerate(content):
        keys = ("image", "file_name", "image_id")
        key = next((entry[key] for key in keys if key in entry), None) if isinstance(entry, dict) else None
        if not isinstance(key, str | int) or isinstance(key, bool) or "bbox" not in entry:
            raise UserError(f"--person_box {path}: entry {index} lacks its image or its bbox; {BOX_FORMS}")
        if entry.get("category_id", 1) == 1:
            yield key, f"entry {index} ({key!r})", entry["bbox"], entry.get("score", 1.0)


def _checked(box: Any, score: Any, where: str) -> list[float]:
    """[x, y, w, h, score], within ± `LARGEST_PX`, w and h positive."""
    row = [*box, score] if isinstance(box, list) else []
    numeric = len(row) == 5 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in row)
    if not numeric or not all(abs(v) <= LARGEST_PX for v in row) or min(row[2:4]) <= 0:  # NaN fails the comparison
        raise UserError(
            f"{where}: box {str(box)[:80]}, score {score}; a box is [x, y, w, h], finite, with w and h above 0"
        )
    return row


def _edges(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 5) x, y, w, h, score in COCO's frame to edges (P, 4) and scores (P,), best first."""
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1) - 0.5
    return boxes.astype(np.float32), rows[:, 4].astype(np.float32)
