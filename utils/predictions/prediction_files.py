"""Prediction files: what `run.py` writes and what `viz.py`, `eval.py` and public PCKh scripts read.

Three families, told apart by suffix:

* by image, `.pt`: a plain dict, image name -> (people, J, 2) px or (people, J, 3) mm. Zero-based on file.
* by image, `.json`: a list of people in the style of COCO keypoint results. Zero-based on file.
* arrays, `.mat`, `.h5`, `.npz`: one array `preds` (N, J, 2), a row for each validation person in annotation order.
  ONE-BASED on file, all three forms, since that is how the public PCKh scripts read them.

In memory pixel coordinates are always zero-based, pixel centres at integers: the functions for arrays subtract 1
when they read and add 1 when they write. Whoever reads an array file by other means subtracts 1 himself.

Writers go through `atomic_path`; what they refuse is a fault of the caller (ValueError). Readers raise UserError.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import scipy.io
import torch
from torch import Tensor

from utils.osutils import UserError, atomic_path, write_text
from utils.transform import Skeleton

ARRAY_SUFFIXES = (".mat", ".h5", ".npz")
ARRAY_KEY = "preds"
PEOPLE_SHAPES = "people × joints × 2 (px) or people × joints × 3 (mm)"

# --- by image: .pt ---------------------------------------------------------------------------------------------


def save_predictions(path: str | Path, predictions: Mapping[str, Tensor]) -> None:
    """Write poses by image as a plain dict that `torch.load(weights_only=True)` opens.

    Args:
        path: the `.pt` file.
        predictions: image name -> (people, J, 2), zero-based px of the original image, or (people, J, 3), mm in
            camera coordinates. Several people of one image are rows of one tensor.

    Raises ValueError for a value of another kind or shape.
    """
    for name, poses in predictions.items():
        if not isinstance(name, str) or not isinstance(poses, Tensor) or not _is_people(poses):
            raise ValueError(f"{path}: {name!r} holds {_describe(poses)}, not {PEOPLE_SHAPES}")
    # A view would drag the whole batch it was cut from into the file.
    plain = {name: poses.detach().cpu().clone() for name, poses in predictions.items()}
    with atomic_path(path) as temporary:
        torch.save(plain, temporary)


def load_predictions(path: str | Path) -> dict[str, Tensor]:
    """Read poses by image: name -> floating (people, J, 2) zero-based px or (people, J, 3) mm, on the CPU.

    A bare (J, 2) or (J, 3) becomes one person. NaN passes; see `require_finite`.

    Raises UserError for a missing, truncated or pickle-needing file and for content of another kind.
    """
    content = _load_torch(path, "a prediction file")
    expected = f"a prediction file is a dict, image name -> {PEOPLE_SHAPES}"
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {_describe(content)}; {expected}")
    return {name: _as_people(poses, f"{path}: {name!r}", expected, name) for name, poses in content.items()}


def _as_people(poses: Any, where: str, expected: str, name: Any) -> Tensor:
    """One entry of a `.pt` file as floating (people, J, 2 or 3)."""
    if isinstance(poses, Tensor) and poses.ndim == 2:
        poses = poses[None]
    numeric = isinstance(poses, Tensor) and not poses.is_complex() and poses.dtype != torch.bool
    if not isinstance(name, str) or not numeric or not _is_people(poses):
        raise UserError(f"{where} holds {_describe(poses)}; {expected}")
    return poses if poses.is_floating_point() else poses.float()


def _is_people(poses: Tensor) -> bool:
    return poses.ndim == 3 and poses.shape[2] in (2, 3)


# --- metas.pt --------------------------------------------------------------------------------------------------

PLAIN_TYPES = (type(None), bool, int, float, str, Tensor)


def save_metas(path: str | Path, metas: Mapping[str, Any]) -> None:
    """Write what goes with the predictions: name -> None, bool, int, float, str, tensors, and lists, tuples and
    dicts of these.

    Raises ValueError, naming the entry, for anything else (NumPy scalars and paths too): `weights_only=True`
    would not open it again.
    """
    plain = {name: _plain(value, f"metas[{name!r}]") for name, value in metas.items()}
    with atomic_path(path) as temporary:
        torch.save(plain, temporary)


def load_metas(path: str | Path) -> dict[str, Any]:
    """Read `metas.pt`. Raises UserError for a missing, truncated or pickle-needing file, or one without a dict."""
    content = _load_torch(path, "a metas file")
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {_describe(content)}; a metas file is a dict, name -> plain values or tensors")
    return content


def _plain(value: Any, where: str) -> Any:
    """`value` with its tensors copied to the CPU. Exact types only: np.float64 is a float, yet pickles as NumPy."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if type(value) in (list, tuple):
        return type(value)(_plain(item, f"{where}[{index}]") for index, item in enumerate(value))
    if type(value) is dict:
        for key in value:
            if type(key) not in (str, int):
                raise ValueError(f"{where}: key {key!r} is a {type(key).__name__}; keys are str or int")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if type(value) in PLAIN_TYPES:
        return value
    raise ValueError(f"{where} is a {type(value).__name__}; metas hold plain Python values and tensors only")


def _load_torch(path: str | Path, kind: str) -> Any:
    _require_file(path, kind)
    try:
        with warnings.catch_warnings():  # about the pickle protocol, where the file is a pickle of other origin
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        # The refusal of an unsafe pickle names the global that it wanted to import.
        if "GLOBAL" in str(error):
            message = f"needs arbitrary unpickling, which is refused; {kind} holds plain types and tensors only"
        else:
            message = f"truncated, damaged or not written by torch.save; wanted is {kind} of run.py"
        raise UserError(f"{path}: {message}") from error


# --- by image: predictions.json --------------------------------------------------------------------------------


class CocoResults(NamedTuple):
    """What a `predictions.json` holds, by image name; row k of a tensor is person k.

    Attributes:
        keypoints: (people, J, 2), zero-based px.
        scores: (people, J).
        keypoints_3d: (people, J3, 3), mm, camera coordinates; only images that have them.
    """

    keypoints: dict[str, Tensor]
    scores: dict[str, Tensor]
    keypoints_3d: dict[str, Tensor]


def save_coco_results(
    path: str | Path,
    keypoints: Mapping[str, Tensor],
    scores: Mapping[str, Tensor] | None = None,
    keypoints_3d: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a list with one record a person, in the style of COCO keypoint results.

    A record: `image`, `person` (index within the image), `category_id` 1, `keypoints` flat [x, y, score] × J,
    `score` (mean over the joints), and `keypoints_3d` flat [x, y, z] × J3 where given. What is not finite is
    written as null. An image without people leaves no record.

    Args:
        path: the `.json` file.
        keypoints: image name -> (people, J, 2), zero-based px of the original image.
        scores: image name -> (people, J); 1 for every joint where not given.
        keypoints_3d: image name -> (people, J3, 3), mm, camera coordinates; may lack images.

    Raises ValueError where shapes disagree.
    """
    records = []
    for name, points in keypoints.items():
        certainty = torch.ones(points.shape[:2]) if scores is None else scores[name]
        poses_3d = None if keypoints_3d is None else keypoints_3d.get(name)
        if points.ndim != 3 or points.shape[2] != 2 or certainty.shape != points.shape[:2]:
            raise ValueError(f"{name!r}: keypoints {tuple(points.shape)} and scores {tuple(certainty.shape)}")
        if poses_3d is not None and (not _is_people(poses_3d) or len(poses_3d) != len(points)):
            raise ValueError(f"{name!r}: keypoints_3d {tuple(poses_3d.shape)} for {len(points)} people")
        records += _coco_records(name, points, certainty, poses_3d)
    lines = ",\n".join(json.dumps(record, allow_nan=False) for record in records)
    write_text(path, f"[\n{lines}\n]\n")


def _coco_records(name: str, points: Tensor, scores: Tensor, poses_3d: Tensor | None) -> list[dict]:
    scores = scores.detach().cpu().double()
    flat = torch.cat([points.detach().cpu().double(), scores[..., None]], dim=2).flatten(1).tolist()
    means = scores.mean(dim=1).tolist()
    flat_3d = None if poses_3d is None else poses_3d.detach().cpu().double().flatten(1).tolist()
    records = []
    for person, (numbers, mean) in enumerate(zip(flat, means, strict=True)):
        record = {"image": name, "person": person, "category_id": 1}
        record |= {"keypoints": _finite_or_none(numbers), "score": _finite_or_none([mean])[0]}
        if flat_3d is not None:
            record["keypoints_3d"] = _finite_or_none(flat_3d[person])
        records.append(record)
    return records


def _finite_or_none(numbers: Sequence[float]) -> list[float | None]:
    return [number if math.isfinite(number) else None for number in numbers]


def load_coco_results(path: str | Path) -> CocoResults:
    """Read a `predictions.json`; null becomes NaN, pixel coordinates are zero-based as on file, tensors float64.

    Raises UserError for a missing or truncated file, for a record without its fields, and for an image whose
    person indices are not 0, 1, ..., one record each.
    """
    kind = "a keypoint-results file"
    _require_file(path, kind)
    expected = "a list of {image, person, keypoints: [x, y, score] × joints, ...}"
    try:
        records = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: no valid JSON ({error}); {kind} is {expected}") from error
    if not isinstance(records, list):
        raise UserError(f"{path}: holds a {type(records).__name__}; {kind} is {expected}")
    by_image: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    for index, record in enumerate(records):
        try:
            image, person, points = record["image"], int(record.get("person", 0)), _triples(record["keypoints"])
            fields = {"keypoints": points}
            if record.get("keypoints_3d") is not None:
                fields["keypoints_3d"] = _triples(record["keypoints_3d"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: record {index} is wrong ({error!r}); {kind} is {expected}") from error
        people = by_image.setdefault(str(image), {})
        if person in people:
            raise UserError(f"{path}: {image!r} has person {person} twice; every person of an image has its own index")
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


def _stack_people(people: Mapping[int, Mapping[str, np.ndarray]], where: str) -> dict[str, Tensor]:
    """Person index -> fields, as one tensor a field, in the order of the indices."""
    if sorted(people) != list(range(len(people))):
        raise UserError(f"{where} has persons {sorted(people)}; they count 0, 1, ... without gaps")
    rows = [people[index] for index in range(len(people))]
    shapes = {tuple((field, value.shape) for field, value in row.items()) for row in rows}
    if len(shapes) > 1:
        raise UserError(f"{where}: its people differ in fields or in number of joints; all need the same")
    return {field: torch.from_numpy(np.stack([row[field] for row in rows])) for field in rows[0]}


# --- arrays: .mat, .h5, .npz -----------------------------------------------------------------------------------


def save_prediction_array(path: str | Path, array: np.ndarray | Tensor) -> None:
    """Write (N, J, 2) predictions, given ZERO-BASED, as `preds`, ONE-BASED on file, float64.

    Args:
        path: `.mat` (MATLAB 5), `.h5` or `.npz`; the suffix chooses.
        array: a row for each validation person, in annotation order; px of the original image.

    Raises ValueError for another shape, UserError for another suffix.
    """
    path = Path(path)
    one_based = np.asarray(array.detach().cpu() if isinstance(array, Tensor) else array, dtype=np.float64) + 1
    if one_based.ndim != 3 or one_based.shape[2] != 2:
        raise ValueError(f"{path}: predictions of shape {one_based.shape}, not N × J × 2")
    suffix = _array_suffix(path)
    with atomic_path(path) as temporary:
        if suffix == ".mat":
            scipy.io.savemat(temporary, {ARRAY_KEY: one_based}, do_compression=True)
        elif suffix == ".h5":
            with h5py.File(temporary, "w") as file:
                file[ARRAY_KEY] = one_based
        else:
            np.savez_compressed(temporary, **{ARRAY_KEY: one_based})


def load_prediction_array(path: str | Path) -> np.ndarray:
    """Read (N, J, 2) predictions: `preds`, ONE-BASED on file, returned ZERO-BASED, float64, rows as on file.

    A `.mat` without `preds` but with `pos_pred_src` (J, 2, N), the form of MPII's `detections_our_format.mat`, is
    read as that, one-based too. A MATLAB 7.3 `.mat` is HDF5 with its axes reversed, and read so. NaN passes; see
    `require_finite`.

    Raises UserError for a missing or damaged file, another suffix, a missing key, and an array that is not
    numeric N × J × 2; the message names the keys that the file has.
    """
    path = Path(path)
    suffix = _array_suffix(path)
    _require_file(path, f"a {suffix} prediction file")
    read = {".mat": _read_mat, ".h5": _read_h5, ".npz": _read_npz}[suffix]
    try:
        array, keys = read(path)
    except Exception as error:  # the three readers raise nearly anything on damaged bytes
        raise UserError(
            f"{path}: truncated, damaged or no {suffix} file ({type(error).__name__}); "
            f"it should hold {ARRAY_KEY!r}, N × joints × 2"
        ) from error
    if array is None:
        found = ", ".join(keys) or "nothing"
        raise UserError(f"{path}: has no {ARRAY_KEY!r} (it holds {found}); {ARRAY_KEY!r} is N × joints × 2, 1-based px")
    if array.dtype.kind not in "iuf" or array.ndim != 3 or array.shape[2] != 2:
        raise UserError(
            f"{path}: {ARRAY_KEY!r} is {_describe(array)} (the file holds {', '.join(keys)}); "
            "right is a numeric N × joints × 2, people in validation order"
        )
    return array.astype(np.float64) - 1


def _read_mat(path: Path) -> tuple[np.ndarray | None, list[str]]:
    if h5py.is_hdf5(path):
        array, keys = _read_h5(path)
        return (None if array is None else array.transpose()), keys
    content = scipy.io.loadmat(path)
    keys = [key for key in content if not key.startswith("__")]
    if ARRAY_KEY not in content and "pos_pred_src" in content:
        joints_first = np.atleast_3d(content["pos_pred_src"])  # MATLAB drops the last axis of one person
        return np.moveaxis(joints_first, -1, 0), keys
    return content.get(ARRAY_KEY), keys


def _read_h5(path: Path) -> tuple[np.ndarray | None, list[str]]:
    with h5py.File(path, "r") as file:
        return (np.asarray(file[ARRAY_KEY][()]) if ARRAY_KEY in file else None), list(file)


def _read_npz(path: Path) -> tuple[np.ndarray | None, list[str]]:
    # np.load leaves a damaged file open where it opened it itself.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return file.get(ARRAY_KEY), list(file)


def require_finite(array: np.ndarray, path: str | Path, skeleton: Skeleton) -> None:
    """Raise UserError where a prediction is NaN or infinite: how many joints, and the first of them by name.

    Args:
        array: (N, J, 2), any frame.
        path: the file that it came from, for the message.
        skeleton: the J joints.
    """
    bad = ~np.isfinite(np.asarray(array)).all(axis=2)
    if not bad.any():
        return
    people = np.flatnonzero(bad.any(axis=1))
    named = [
        f"person {person} ({', '.join(skeleton.joints[joint] for joint in np.flatnonzero(bad[person]))})"
        for person in people[:3]
    ]
    more = ", ..." if len(people) > 3 else ""
    raise UserError(
        f"{path}: {bad.sum()} of {bad.size} joints, of {len(people)} people, are NaN or infinite: "
        f"{', '.join(named)}{more} (the first person is 0); every joint of every person needs a prediction"
    )


# --- shared ----------------------------------------------------------------------------------------------------


def _array_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in ARRAY_SUFFIXES:
        raise UserError(f"{path}: arrays do not go by the suffix {path.suffix!r}; choose {', '.join(ARRAY_SUFFIXES)}")
    return suffix


def _require_file(path: str | Path, kind: str) -> None:
    if not Path(path).is_file():
        state = "is a folder" if Path(path).is_dir() else "does not exist"
        raise UserError(f"{path} {state}; wanted is {kind}")


def _describe(value: Any) -> str:
    """What a value is, for messages: its type, and its shape where it has one."""
    shape = getattr(value, "shape", None)
    if shape is None:
        return f"a {type(value).__name__}"
    return f"{value.dtype} of shape {' × '.join(map(str, shape)) or 'scalar'}"
