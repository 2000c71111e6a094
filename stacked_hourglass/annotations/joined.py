"""Joins the people of several data sets into one training set, with the joints of the first.

Folders may have different formats (MPII, LSP, COCO). Joints are matched by name; missing joints are not annotated.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stacked_hourglass.annotations.coco import is_coco, load_coco_training, require_validation_files
from stacked_hourglass.annotations.lsp import is_lsp, load_lsp, require_lsp_folder
from stacked_hourglass.annotations.mpii import is_annotated, load_mpii_training, require_mpii_folder
from stacked_hourglass.annotations.people import People
from utils.osutils import UserError, warn
from utils.transform import MIDPOINTS, STAND_INS, Skeleton

Loader = Callable[[Path], tuple[People, People]]


def load_joined(data_dirs: Sequence[str | Path], load_first: Loader) -> tuple[People, People]:
    """(training, validation): the training people of all folders, and the validation people of the first.

    Args:
        data_dirs: at least one folder; a folder given twice counts twice.
        load_first: reads the first folder, e.g. `load_mpii`. `load_training` detects the format of the others.

    People of another format are converted by `in_skeleton`. Training people whose photo is a validation photo of the
    first folder, or who share no joint with its skeleton, are dropped with a warning.

    Raises UserError like the readers.
    """
    first, *others = map(Path, data_dirs)
    training, validation = load_first(first)
    if not others:
        return training, validation
    parts = [training]
    for folder in others:
        people = in_skeleton(load_training(folder), training.skeleton)
        if count := int((~people.annotated.any(axis=1)).sum()):
            warn(f"{count} of {len(people)} people of {folder} dropped: they share no annotated joint with {first}")
        parts.append(people.select(people.annotated.any(axis=1)))
    return _without_photos_of(parts[0].joined(*parts[1:]), validation), validation


def require_people(people: People, name: str, data_dirs: Sequence[str | Path]) -> None:
    """Raise UserError for no people. `name`: what they are for, "training" or "validation"."""
    if not len(people):
        folders = ", ".join(map(str, data_dirs))
        raise UserError(f"{folders}: no {name} people; docs/data.md tells how to get the data")


def require_mpii_first(data_dirs: Sequence[str | Path]) -> None:
    """Raise UserError if the first is not an MPII folder (or its fallback), or another is not a folder. No torch."""
    first, *others = data_dirs
    require_mpii_folder(first)
    for folder in others:
        _require_folder(folder)


def require_lsp_first(data_dirs: Sequence[str | Path]) -> None:
    """Raise UserError if one of them is not a folder. No torch."""
    first, *others = data_dirs
    require_lsp_folder(first)
    for folder in others:
        _require_folder(folder)


def require_coco_first(data_dirs: Sequence[str | Path]) -> None:
    """Raise UserError if the first lacks COCO's validation annotations, or another is not a folder. No torch."""
    first, *others = data_dirs
    require_validation_files(first)
    for folder in others:
        _require_folder(folder)


def _require_folder(folder: str | Path) -> None:
    if not Path(folder).is_dir():
        raise UserError(f"--data_dir {folder}: no such folder; give folders in the MPII, LSP or COCO format")


def has_people(data_dir: str | Path) -> bool:
    """Whether a folder has annotated people in the MPII or LSP format, rather than only photos. No torch."""
    return is_annotated(data_dir) or is_lsp(data_dir)


def load_training(data_dir: str | Path) -> People:
    """The training people of a folder in the MPII, LSP or COCO format. Raises UserError like the readers.

    These are COCO's `train2017`, the first half of LSP and most of LSP-extended, and MPII's people who are not marked
    as validation people.
    """
    _require_folder(data_dir)
    if is_coco(data_dir):
        return load_coco_training(data_dir)
    return load_lsp(data_dir)[0] if is_lsp(data_dir) else load_mpii_training(data_dir)


def in_skeleton(people: People, skeleton: Skeleton) -> People:
    """The same people with the joints of `skeleton`, matched by name.

    Missing pelvis and thorax are approximated by the midpoints of the hips and of the shoulders, annotated (visible) if
    both are. Other missing joints are not annotated: COCO has no upper neck and head top, MPII and LSP have no eyes,
    ears and nose.
    """
    if people.skeleton == skeleton:
        return people
    source, count = people.skeleton, len(people)
    joints = np.zeros((count, len(skeleton), 2), np.float32)
    annotated, visible = np.zeros((2, count, len(skeleton)), bool)
    stand_ins = STAND_INS.get((source.name, skeleton.name), {})
    for index, joint in enumerate(skeleton.joints):
        name = stand_ins.get(joint, joint)
        ends = (name,) if name in source.joints else MIDPOINTS.get(joint, ())
        if not ends or not set(ends) <= set(source.joints):
            continue
        columns = source.indices(ends)
        joints[:, index] = people.joints[:, columns].mean(axis=1)
        annotated[:, index] = people.annotated[:, columns].all(axis=1)
        visible[:, index] = people.visible[:, columns].all(axis=1)
    return replace(people, skeleton=skeleton, joints=joints, annotated=annotated, visible=visible)


def _without_photos_of(training: People, validation: People) -> People:
    """`training` without people in photos of `validation`, i.e. the same file after following links."""
    photos = {path.resolve() for path in validation.image_paths}
    apart = np.array([path.resolve() not in photos for path in training.image_paths], bool)
    if count := int((~apart).sum()):
        warn(f"{count} of {len(training)} training people dropped: their photos are validation photos")
    return training.select(apart)
