"""`predictions.json`: poses by image as a list of people, in the style of COCO keypoint results.

Pixel coordinates are zero-based both on file and in memory, pixel centres at integers. No torch import here.
"""

import json
import math
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.files.json_files import read_json
from utils.osutils import UserError, write_text
from utils.predictions.prediction_arrays import Values, as_array, require_file
from utils.predictions.tracks import brief_tracks


class CocoResults(NamedTuple):
    """Content of a `predictions.json`, by image name; row k of an array is person k. float64.

    Attributes:
        keypoints: (people, J, 2), zero-based px.
        scores: (people, J).
        keypoints_3d: (people, J3, 3), mm, camera coordinates; only for images with 3D poses.
    """

    keypoints: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]
    keypoints_3d: dict[str, np.ndarray]


def save_coco_results(
    path: str | Path,
    keypoints: Mapping[str, Values],
    scores: Mapping[str, Values] | None = None,
    keypoints_3d: Mapping[str, Values] | None = None,
    tracks: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Write a list with one record per person, in the style of COCO keypoint results.

    A record: `image`, `person` (index within the image), `category_id` 1, `keypoints` flat [x, y, score] × J,
    `score` (mean over the joints), and `keypoints_3d` flat [x, y, z] × J3 and `track` if given, with `brief` true for
    `brief_tracks`. Non-finite numbers are written as null. An image without people has no record.

    Args:
        path: the `.json` file. All poses may be arrays or tensors.
        keypoints: image name -> (people, J, 2), zero-based px of the original image.
        scores: image name -> (people, J); None for 1 everywhere.
        keypoints_3d: image name -> (people, J3, 3), mm, camera coordinates; images may be missing.
        tracks: image name -> (people,) track numbers of a video, as drawn in its pictures; images may be missing.

    Raises ValueError if shapes disagree.
    """
    records, brief = [], brief_tracks((tracks or {}).values())
    for name, values in keypoints.items():
        points = as_array(values)
        certainty = np.ones(points.shape[:2]) if scores is None else as_array(scores[name])
        poses_3d = None if keypoints_3d is None or name not in keypoints_3d else as_array(keypoints_3d[name])
        if points.ndim != 3 or points.shape[2] != 2 or certainty.shape != points.shape[:2]:
            raise ValueError(f"{name!r}: keypoints {points.shape} and scores {certainty.shape}")
        if poses_3d is not None and (poses_3d.ndim != 3 or poses_3d.shape[2] != 3 or len(poses_3d) != len(points)):
            raise ValueError(f"{name!r}: keypoints_3d {poses_3d.shape} for {len(points)} people")
        numbers = (tracks or {}).get(name)
        if numbers is not None and len(numbers) != len(points):
            raise ValueError(f"{name!r}: {len(numbers)} tracks for {len(points)} people")
        records += _records(name, points, certainty, poses_3d, numbers, brief)
    lines = ",\n".join(json.dumps(record, allow_nan=False) for record in records)
    write_text(path, f"[\n{lines}\n]\n")


def _records(
    name: str,
    points: np.ndarray,
    scores: np.ndarray,
    poses_3d: np.ndarray | None,
    tracks: Sequence[int] | None,
    brief: Set[int],
) -> list[dict]:
    triples = np.concatenate([points, scores[..., None]], axis=2)
    records = []
    for person, (joints, mean) in enumerate(zip(triples, scores.mean(axis=1).tolist(), strict=True)):
        record = {"image": name, "person": person, "category_id": 1}
        if tracks is not None:
            record["track"] = int(tracks[person])
            record |= {"brief": True} if tracks[person] in brief else {}
        record |= {"keypoints": _finite_or_none(joints), "score": mean if math.isfinite(mean) else None}
        if poses_3d is not None:
            record["keypoints_3d"] = _finite_or_none(poses_3d[person])
        records.append(record)
    return records


def _finite_or_none(joints: np.ndarray) -> list[float | None]:
    """Flattened for JSON, which has no NaN."""
    return [number if math.isfinite(number) else None for number in joints.ravel().tolist()]


def load_coco_results(path: str | Path) -> CocoResults:
    """Read a `predictions.json`; null becomes NaN, pixel coordinates stay zero-based.

    Raises UserError for a missing or truncated file, for a record with missing fields, and for an image whose person
    indices are not 0, 1, ... without duplicates.
    """
    kind = "a keypoint-results file"
    require_file(path, kind)
    expected = "a list of {image, person, keypoints: [x, y, score] × joints, ...}"
    records = read_json(path, f"{kind} is {expected}")
    if not isinstance(records, list):
        raise UserError(f"{path}: holds a {type(records).__name__}; {kind} is {expected}")
    by_image: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    for index, record in enumerate(records):
        try:
            image, person, points = record["image"], int(record.get("person", 0)), _triples(record["keypoints"])
            fields = {"keypoints": points}
            if record.get("keypoints_3d") is not None:
                fields["keypoints_3d"] = _triples(record["keypoints_3d"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UserError(f"{path}: record {index} is malformed ({error!r}); {kind} is {expected}") from error
        people = by_image.setdefault(str(image), {})
        if person in people:
            raise UserError(f"{path}: {image!r} has person {person} twice; expected one index per person of an image")
        people[person] = fields
    stacked = {image: _stack_people(people, f"{path}: {image!r}") for image, people in by_image.items()}
    return CocoResults(
        {image: fields["keypoints"][..., :2] for image, fields in stacked.items()},
        {image: fields["keypoints"][..., 2] for image, fields in stacked.items()},
        {image: fields["keypoints_3d"] for image, fields in stacked.items() if "keypoints_3d" in fields},
    )


def _triples(numbers: Sequence[float | None]) -> np.ndarray:
    """Flat JSON numbers as float64 (J, 3), null as NaN. Raises TypeError or ValueError for anything else."""
    return np.array(numbers, dtype=np.float64).reshape(-1, 3)


def _stack_people(people: Mapping[int, Mapping[str, np.ndarray]], where: str) -> dict[str, np.ndarray]:
    """Person index -> fields, stacked into one array per field, in index order."""
    if sorted(people) != list(range(len(people))):
        raise UserError(f"{where} has persons {sorted(people)}; expected 0, 1, ... without gaps")
    rows = [people[index] for index in range(len(people))]
    shapes = {tuple((field, value.shape) for field, value in row.items()) for row in rows}
    if len(shapes) > 1:
        raise UserError(f"{where}: people of one image differ in fields or number of joints; expected the same for all")
    return {field: np.stack([row[field] for row in rows]) for field in rows[0]}
