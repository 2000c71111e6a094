"""Converts the official MPII file (`mpii_human_pose_v1_u12_1.mat`) to `mpii_annotations.json` and head boxes.

It keeps all people in training images (`img_train` is 1) with joints, a position and a scale; the official file has
28,883 of them. Test images have no joints. Of images with validation people only these are kept, so that the parts
share no image: with the published split 22,246 training and 2,958 validation people remain, 25,204 as in the commonly
used annotations.

Coordinates stay one-based, as in MATLAB; `annotations.load_mpii` makes them zero-based.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import savemat
from scipy.spatial import cKDTree

from stacked_hourglass.annotations.json_entries import read_entries
from stacked_hourglass.annotations.mpii import (
    ANNOTATION_FILE,
    CENTER_SHIFT,
    HEAD_BOX_FILES,
    RELEASE_KEYS,
    SIMPLE_KEYS,
)
from utils.files.arrays_in_files import HDF5_ERRORS, numeric_dataset, read_dataset
from utils.files.mat_files import read_mat
from utils.osutils import UserError, atomic_path, warn
from utils.transform import MPII

RELEASE_URL = "http://human-pose.mpi-inf.mpg.de"
SPLIT_FORMS = (
    "a JSON of either annotation form, a .mat with RELEASE_img_index and RELEASE_person_index or with pos_gt_src, "
    "or an .h5 with imgname and center"
)
INDEX_NAMES = ("RELEASE_img_index", "RELEASE_person_index")
HASH_VALIDATION_SHARE = 0.12  # fraction of the images; close to the published fraction of people
POSITION_TOLERANCE = 2.0  # px: some published lists have positions truncated to integers
JOINT_TOLERANCE = 0.05  # px
CENTER_JOINT_CODES = {"pelvis": "pelv", "thorax": "thor", "upper_neck": "neck", "head_top": "head"}

Entry = dict[str, Any]


def convert_release(mat_path: str | Path, split_from: str | Path | None = None) -> list[Entry]:
    """People of the official file as entries of `mpii_annotations.json`: training first, then validation.

    Entry: `dataset`, `isValidation`, `img_paths`, `objpos` [x, y], `joint_self` 16 × [x, y, visible] ([0, 0, 0] = not
    annotated; visible is 1 where the file does not say, as for neck and head top), `scale_provided`, `head_box`
    [x1, y1, x2, y2] or None, `annolist_index` and `people_index` (from 1), `numOtherPeople`, and of the others in the
    same image `joint_others`, `objpos_other`, `scale_provided_other`. Coordinates are one-based pixels.

    `split_from` lists the validation people in the order they get: see `SPLIT_FORMS`. Without it a hash of the
    image's name puts about 12 % of the images into validation, and a warning says so.

    Raises UserError for an unreadable file, or a split whose people are not in the official file exactly once.
    """
    images = _annotated_images(Path(mat_path))
    people = [entry for image in images for entry in image]
    if split_from is None:
        warn(
            "no --split_from: a hash of the image names chooses the validation people; figures on them are not "
            "comparable with published ones"
        )
        order = [i for i, entry in enumerate(people) if _hashed_to_validation(entry["img_paths"])]
    else:
        order = _validation_order(people, Path(split_from))
    if not order:
        raise UserError(f"{mat_path}: no validation people among the {len(people)} annotated people")

    validation = [people[i] | {"isValidation": 1} for i in order]
    shared_images = {entry["img_paths"] for entry in validation}
    training = [entry for entry in people if entry["img_paths"] not in shared_images]
    if beside := len(people) - len(training) - len(validation):
        warn(f"{beside} people dropped: they share an image with validation people but are not in the split")
    return training + validation


def write_converted(entries: Sequence[Entry], output_dir: str | Path) -> tuple[Path, Path]:
    """Write the JSON and `detections_our_format.mat` of its validation people; returns both paths."""
    json_path, boxes_path = Path(output_dir) / ANNOTATION_FILE, Path(output_dir) / HEAD_BOX_FILES[0]
    with atomic_path(boxes_path) as temporary:
        savemat(temporary, _head_box_arrays([entry for entry in entries if entry["isValidation"]]))
    with atomic_path(json_path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for i, entry in enumerate(entries):
            file.write((",\n" if i else "[\n") + json.dumps(entry))
        file.write("\n]\n")
    return json_path, boxes_path


def _head_box_arrays(validation: Sequence[Entry]) -> dict[str, np.ndarray]:
    """The arrays of `detections_our_format.mat`, one-based px; the box of a person without one is NaN."""
    joints = np.array([entry["joint_self"] for entry in validation], dtype=np.float64)[..., :2]  # (N, 16, 2)
    boxes = np.array([entry["head_box"] or [np.nan] * 4 for entry in validation]).reshape(-1, 2, 2)
    codes = [CENTER_JOINT_CODES.get(joint) or joint[0] + joint[2:5] for joint in MPII.joints]
    return {
        "jnt_missing": (joints == 0).all(axis=-1).T.astype(np.uint8),
        "pos_gt_src": joints.transpose(1, 2, 0),
        "headboxes_src": boxes.transpose(1, 2, 0),
        "dataset_joints": np.array(codes, dtype=object)[None],
    }


# The official file


def _annotated_images(path: Path) -> list[list[Entry]]:
    """The people kept, one list per image, in file order."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; mpii_human_pose_v1_u12_1.mat is at {RELEASE_URL}")
    try:
        release = read_mat(path, ["RELEASE"])["RELEASE"]
        annotations, is_training = _items(release.annolist), np.atleast_1d(release.img_train).ravel() == 1
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not the official MPII file, a MATLAB file with RELEASE ({error})") from None
    if len(annotations) != len(is_training):
        raise UserError(f"{path}: {len(annotations)} images in annolist and {len(is_training)} flags in img_train")
    images, incomplete = [], 0
    for index, (annotation, training) in enumerate(zip(annotations, is_training, strict=True), start=1):
        if training:
            people, lacking = _people_of_image(annotation, index)
            images.append(people)
            incomplete += lacking
    if incomplete:
        warn(f"{incomplete} people dropped: they have joints but no position or scale")
    if not any(images):
        raise UserError(f"{path}: no training image has a person with joints, position and scale")
    return images


def _people_of_image(annotation: Any, index: int) -> tuple[list[Entry], int]:
    """The people of one image, and the number of those with joints who lack a position or a scale."""
    name = str(getattr(getattr(annotation, "image", None), "name", ""))
    people, incomplete = [], 0
    for person, rectangle in enumerate(_items(getattr(annotation, "annorect", None)), start=1):
        joints = _joints(rectangle)
        if not joints.any():
            continue
        scale = _number(getattr(rectangle, "scale", None))
        position = _numbers(getattr(rectangle, "objpos", None), ("x", "y"))
        if not name or position is None or scale is None or scale <= 0:
            incomplete += 1
            continue
        people.append(
            {
                "dataset": "MPI",
                "isValidation": 0,
                "img_paths": name,
                "objpos": position,
                "joint_self": joints.tolist(),
                "scale_provided": scale,
                "head_box": _numbers(rectangle, ("x1", "y1", "x2", "y2")),
                "annolist_index": index,
                "people_index": person,
                "numOtherPeople": 0,
            }
        )
    return _with_others(people), incomplete


def _with_others(people: list[Entry]) -> list[Entry]:
    """The people of one image, with the fields about the others."""
    others = [people[:i] + people[i + 1 :] for i in range(len(people))]
    return [
        entry
        | {
            "numOtherPeople": len(rest),
            "joint_others": [other["joint_self"] for other in rest],
            "objpos_other": [other["objpos"] for other in rest],
            "scale_provided_other": [other["scale_provided"] for other in rest],
        }
        for entry, rest in zip(people, others, strict=True)
    ]


def _joints(rectangle: Any) -> np.ndarray:
    """(16, 3) x, y, visible of one person; zeros where not annotated."""
    joints = np.zeros((len(MPII), 3))
    for point in _items(getattr(getattr(rectangle, "annopoints", None), "point", None)):
        values = _numbers(point, ("id", "x", "y"))
        if values is not None and values[0] in range(len(MPII)):
            # Empty and missing flags mean visible: neck and head top never have one.
            hidden = _number(getattr(point, "is_visible", None)) == 0
            joints[int(values[0])] = *values[1:], not hidden
    return joints


def _items(value: Any) -> list[Any]:
    """The elements of a MATLAB array, which is read as a bare value if it has one element."""
    return [] if value is None else list(np.atleast_1d(value).ravel())


def _number(value: Any) -> float | None:
    """A finite number, possibly given as text; None for anything else, e.g. [] and ''."""
    values = np.asarray(value).ravel()
    try:
        number = float(values[0]) if values.size == 1 else np.nan
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _numbers(struct: Any, names: Sequence[str]) -> list[float] | None:
    values = [_number(getattr(struct, name, None)) for name in names]
    return None if None in values else values


# The split


def _hashed_to_validation(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) < HASH_VALIDATION_SHARE * 2**32


def _validation_order(people: list[Entry], path: Path) -> list[int]:
    """Indices of the validation people, in the order of the file at `path`."""
    if not path.is_file():
        raise UserError(f"--split_from {path}: no such file; it can be {SPLIT_FORMS}")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    readers = {".json": _order_of_json, ".mat": _order_of_mat, ".h5": _order_of_h5, ".hdf5": _order_of_h5}
    if suffix not in readers:
        raise UserError(f"--split_from {path}: not a file of validation people; it can be {SPLIT_FORMS}")
    order = readers[suffix](people, path)
    _, counts = np.unique(order, return_counts=True)
    if (counts > 1).any():
        raise UserError(f"--split_from {path}: {int((counts > 1).sum())} people are in it more than once")
    return [int(i) for i in order]


def _order_of_json(people: list[Entry], path: Path) -> list[int]:
    entries = read_entries(path)
    name_key, position_key, _ = SIMPLE_KEYS if "image" in entries[0] else RELEASE_KEYS
    if "isValidation" in entries[0]:
        entries = [entry for entry in entries if entry.get("isValidation")]
    try:
        names = [str(entry[name_key]) for entry in entries]
        positions = np.array([entry[position_key] for entry in entries], dtype=np.float64).reshape(-1, 2)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"--split_from {path}: every entry needs {name_key} and {position_key} [x, y]") from None
    return _match_positions(people, names, positions, path)


def _order_of_h5(people: list[Entry], path: Path) -> list[int]:
    try:
        with h5py.File(path, "r") as file:
            names = np.atleast_1d(read_dataset(file, "imgname"))
            positions = numeric_dataset(file, "center").reshape(-1, 2)
    except HDF5_ERRORS as error:
        raise UserError(f"--split_from {path}: no readable imgname and center in this HDF5 file ({error})") from None
    # Names are strings, or rows of character codes padded with zeros.
    names = [bytes(row.astype(np.uint8)) if isinstance(row, np.ndarray) else row for row in names]
    names = [name.decode("latin-1") if isinstance(name, bytes) else str(name) for name in names]
    return _match_positions(people, [name.strip("\0 ") for name in names], positions, path)


def _order_of_mat(people: list[Entry], path: Path) -> list[int]:
    try:
        content = read_mat(path)
    except (OSError, ValueError) as error:
        raise UserError(f"--split_from {path}: not a readable MATLAB file ({error})") from None
    if content.keys() >= set(INDEX_NAMES):
        try:
            keys = np.stack([np.asarray(content[name], np.float64).ravel() for name in INDEX_NAMES], axis=1).tolist()
        except (TypeError, ValueError):
            raise UserError(f"--split_from {path}: {' and '.join(INDEX_NAMES)} are not equally many numbers") from None
        index = {(entry["annolist_index"], entry["people_index"]): i for i, entry in enumerate(people)}
        return [_found(index.get((image, person)), i, path) for i, (image, person) in enumerate(keys)]
    if "pos_gt_src" in content:
        return _match_joints(people, content["pos_gt_src"], path)
    raise UserError(f"--split_from {path}: this MATLAB file lists no validation people; it can be {SPLIT_FORMS}")


def _match_positions(people: list[Entry], names: Sequence[str], positions: np.ndarray, path: Path) -> list[int]:
    """The nearest person of the same image. Lists hold `objpos` itself or the crop's centre below it."""
    if len(names) != len(positions):
        raise UserError(f"--split_from {path}: {len(names)} image names and {len(positions)} positions")
    by_image = defaultdict(list)
    for i, entry in enumerate(people):
        by_image[entry["img_paths"]].append(i)
    centers = np.array([entry["objpos"] for entry in people])
    scales = np.array([entry["scale_provided"] for entry in people])
    orders = []
    for shift in (0.0, CENTER_SHIFT):
        targets = centers + np.stack([np.zeros_like(scales), shift * scales], axis=1)
        order: list[int | None] = []
        for name, position in zip(names, positions, strict=True):
            candidates = by_image.get(Path(name).name, [])
            distances = np.linalg.norm(targets[candidates] - position, axis=-1)
            near = distances.min(initial=np.inf) <= POSITION_TOLERANCE
            order.append(candidates[int(distances.argmin())] if near else None)
        orders.append(order)
    best = min(orders, key=lambda order: order.count(None))
    return [_found(match, i, path) for i, match in enumerate(best)]


def _match_joints(people: list[Entry], joints: np.ndarray, path: Path) -> list[int]:
    """The person whose joints agree best, at least half of them; published lists have a few wrong coordinates.

    joints: 16 × 2 × N px, one-based, zeros (or NaN) where not annotated.
    """
    try:
        listed = np.nan_to_num(np.asarray(joints, dtype=np.float64).reshape(len(MPII), 2, -1)).transpose(2, 0, 1)
    except (TypeError, ValueError):
        raise UserError(f"--split_from {path}: pos_gt_src is not 16 × 2 × people") from None
    owner, points = _labelled_points(np.array([entry["joint_self"] for entry in people])[..., :2])
    tree, joint_counts = cKDTree(points), np.bincount(owner, minlength=len(people))
    order = []
    for i, person in enumerate(listed):
        _, wanted = _labelled_points(person[None])
        hits = np.array([owner[hit] for near in tree.query_ball_point(wanted, JOINT_TOLERANCE) for hit in near], int)
        candidates, votes = np.unique(hits, return_counts=True)
        if votes.max(initial=0) * 2 < max(len(wanted), 1):
            _found(None, i, path)
        # Among people with equally many matching joints, the one with the fewest other joints.
        best = np.argmax(votes - joint_counts[candidates] / 2)
        order.append(int(candidates[best]))
    return order


def _labelled_points(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owner (M,) and (M, 3) x, y and joint number of the annotated joints of (N, 16, 2)."""
    owner, joint = np.nonzero((joints != 0).any(axis=-1))
    return owner, np.column_stack([joints[owner, joint], joint])


def _found(match: int | None, number: int, path: Path) -> int:
    if match is None:
        raise UserError(
            f"--split_from {path}: person {number} (from 0) is not among the annotated people of the official file"
        )
    return int(match)
