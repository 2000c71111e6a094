"""Keypoint results in COCO's official format, as its evaluation server and tools expect it.

A list of {"image_id", "category_id": 1, "keypoints": [x, y, score] × 17, "score"}: zero-based px of the photo, pixel
centres at integers, like COCO's annotations. (`predictions.json`, keyed by photo name, is in `coco_results`.)

No torch import here.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.files.json_files import read_json
from utils.osutils import UserError, write_text
from utils.predictions.prediction_arrays import require_file
from utils.transform import COCO

PERSON = 1
LARGEST = 2**53  # of ids, and of numbers of any meaning
EXPECTED = "a list of {image_id, category_id: 1, keypoints: [x, y, score] × 17, score}"


def keypoint_results(image_ids: Sequence[int], joints: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Records of N people; people with a non-finite joint are omitted.

    Args:
        image_ids: N COCO image ids.
        joints: (N, 17, 2) zero-based px of the photo, COCO's order.
        scores: (N, 17) joint scores. A person's score is their mean.
    """
    joints, scores = np.asarray(joints, np.float64), np.asarray(scores, np.float64)
    triples = np.concatenate([joints, scores[..., None]], axis=2).reshape(len(joints), 3 * len(COCO))
    whole = np.isfinite(triples).all(axis=1)
    return [
        {"image_id": int(image_ids[row]), "category_id": PERSON, "keypoints": triples[row].tolist(), "score": mean}
        for row, mean in zip(np.flatnonzero(whole).tolist(), scores[whole].mean(axis=1).tolist(), strict=True)
    ]


def save_keypoint_results(path: str | Path, records: Sequence[dict[str, Any]]) -> None:
    """Write the records of `keypoint_results`."""
    write_text(path, json.dumps(list(records), allow_nan=False))


def load_keypoint_results(path: str | Path) -> list[dict[str, Any]]:
    """Read and check a results file; unknown fields are ignored.

    Raises UserError for a missing or truncated file, and for a malformed record, giving its index.
    """
    require_file(path, "a COCO results file")
    records = read_json(path, f"a COCO results file is {EXPECTED}")
    if not isinstance(records, list):
        raise UserError(f"{path}: holds a {type(records).__name__}; a COCO results file is {EXPECTED}")
    for number, record in enumerate(records):
        if fault := _fault(record):
            raise UserError(f"{path}: record {number} (from 0) {fault}; a COCO results file is {EXPECTED}")
    return [{key: record[key] for key in ("image_id", "category_id", "keypoints", "score")} for record in records]


def _fault(record: Any) -> str | None:
    """What is wrong with a record; None if it is valid."""
    if not isinstance(record, dict):
        return f"is a {type(record).__name__}"
    if "image" in record and "image_id" not in record:
        return "has an image name and no image_id (a predictions.json? give person_keypoints_*_results.json)"
    if not isinstance(record.get("image_id"), int) or abs(record["image_id"]) > LARGEST:
        return "has no integer image_id"
    if record.get("category_id") != PERSON:
        return f"has category_id {record.get('category_id')!r}"
    points = record.get("keypoints")
    if not isinstance(points, list) or len(points) != 3 * len(COCO) or not all(map(_is_finite, points)):
        return f"has no {3 * len(COCO)} finite keypoints"
    return None if _is_finite(record.get("score")) else "has no finite score"


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= LARGEST  # NaN fails the comparison
