"""Reads predicted 2D poses of any file format, in validation order. Imports torch only for `.pt` files."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from utils.osutils import UserError, warn
from utils.predictions.coco_results import load_coco_results
from utils.predictions.prediction_arrays import ARRAY_SUFFIXES, load_prediction_array, require_finite
from utils.transform import Skeleton, convert_joints, joint_weights, made_joints

BY_IMAGE_SUFFIXES = (".pt", ".json")


def is_by_image(path: Path) -> bool:
    """Whether a prediction file, by its suffix, holds poses by image name."""
    return path.suffix.lower() in BY_IMAGE_SUFFIXES


def load_validation_predictions(
    path: Path, images: Sequence[Path], count: int, skeleton: Skeleton, others: Collection[Path] = ()
) -> np.ndarray:
    """Read a prediction file of any format as (N, J, 2), zero-based px, in validation order, all finite.

    Args:
        path: an array file, or `.pt` or `.json` by image: person k of an image is its k-th validation person.
        images: the photo of each validation person; used for files by image only.
        count: N.
        skeleton: the J joints.
        others: further photos of the data set, whose predictions are ignored with a warning that counts them.

    Raises UserError for another suffix, number of people or number of joints, and for NaN.
    """
    if is_by_image(path):
        by_image = _in_skeleton(_load_by_image(path), path, skeleton)
        array = _in_validation_order(_without(by_image, others, path), images, path, skeleton)
    elif path.suffix.lower() in ARRAY_SUFFIXES:
        array = load_prediction_array(path)
    else:
        suffixes = ", ".join((*BY_IMAGE_SUFFIXES, *ARRAY_SUFFIXES))
        raise UserError(f"--prediction_files {path}: unknown suffix {path.suffix!r}; choose one of {suffixes}")
    if len(array) != count:
        raise UserError(f"{path}: {len(array)} predictions for {count} validation people; expected one for each")
    if array.shape[1] != len(skeleton):
        raise UserError(f"{path}: {array.shape[1]} joints per person; {skeleton.name} has {len(skeleton)}")
    require_finite(array, path, skeleton)
    return array


def _load_by_image(path: Path) -> dict[str, np.ndarray]:
    if path.suffix.lower() == ".json":
        return load_coco_results(path).keypoints
    from utils.predictions.prediction_files import load_predictions  # noqa: PLC0415 - imports torch

    return {name: poses.double().numpy() for name, poses in load_predictions(path).items()}


def _in_skeleton(by_image: dict[str, np.ndarray], path: Path, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """The poses with the joints of `skeleton`, by name, where the `metas.pt` beside a file names another order."""
    if path.suffix.lower() != ".pt" or not path.with_name("metas.pt").is_file():
        return by_image
    from utils.predictions.picture_files import named_skeleton  # noqa: PLC0415 - imports torch

    source = named_skeleton(path, by_image)
    if source in (None, skeleton) or any(poses.shape[2:] != (2,) for poses in by_image.values()):
        return by_image
    try:
        made = made_joints(joint_weights(source, skeleton), skeleton)
    except KeyError as error:
        raise UserError(f"{path}: {source.name} poses can't be scored as {skeleton.name}: {error.args[0]}") from None
    approximate = f"; {', '.join(made)} are approximate, made from other joints" if made else ""
    warn(f"{path}: {source.name} poses, converted to {skeleton.name} by the joints' names{approximate}")
    return {name: convert_joints(poses, source, skeleton) for name, poses in by_image.items()}


def _without(by_image: Mapping[str, np.ndarray], others: Collection[Path], path: Path) -> dict[str, np.ndarray]:
    ignored = {_key_of(image, by_image) for image in others}
    kept = {name: poses for name, poses in by_image.items() if name not in ignored}
    if len(kept) < len(by_image):
        warn(f"{path}: predictions of {len(by_image) - len(kept)} training photos ignored")
    return kept


def _in_validation_order(
    by_image: Mapping[str, np.ndarray], images: Sequence[Path], path: Path, skeleton: Skeleton
) -> np.ndarray:
    """Poses by image name as (N, J, 2), a row for each of `images`."""
    shapes = {tuple(poses.shape[1:]) for poses in by_image.values()}
    if len(shapes) != 1 or next(iter(shapes))[-1] != 2:
        found = ", ".join(" × ".join(map(str, shape)) for shape in sorted(shapes)) or "no image"
        raise UserError(f"{path}: a person is {found}; expected {len(skeleton)} × 2 px for every person")
    keys = [_key_of(image, by_image) for image in images]
    total, expected = sum(map(len, by_image.values())), Counter(keys)
    absent = next((image.name for image, key in zip(images, keys, strict=True) if key is None), None)
    wrong = next((key for key in by_image if len(by_image[key]) != expected[key]), None)
    if absent is not None or wrong is not None:
        detail = (
            f"{absent} has none"
            if absent is not None
            else f"{wrong} has {len(by_image[wrong])} people, expected {expected[wrong]}"
        )
        raise UserError(f"{path}: {total} predictions for {len(images)} validation people; first error: {detail}")
    starts = dict(zip(by_image, np.cumsum([0, *map(len, by_image.values())]).tolist(), strict=False))
    rows = []
    for key in keys:
        rows.append(starts[key])
        starts[key] += 1
    return np.concatenate(list(by_image.values()))[rows]


def _key_of(image: Path, by_image: Mapping[str, np.ndarray]) -> str | None:
    """The key of a photo in a file: the longest tail of its path that is a key."""
    ends = ("/".join(image.parts[start:]) for start in range(len(image.parts)))
    return next((end for end in ends if end in by_image), None)
