"""The sample data in the format of Leeds Sports Pose: rendered people of the MPII sample, one per photo."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.sample.matlab import write_mat
from utils.transform import LSP, MPII, joint_map


def make_lsp(folder: Path, mpii: Path) -> None:
    """Write `lsp/` and `lspet/`, each `joints.mat` and `images/`, from the sample `mpii` (`sample_data.make_mpii`).

    Only people who are alone in their picture are used, since LSP's photos have one person each. The second half of
    `lsp/` has the validation people with all joints in the picture, the first half as many training people. `lspet/`
    (LSP-extended) has the other training people. Coordinates are one-based px. Pictures are hard links to those of
    `mpii`, or copies on file systems without links.
    """
    people = json.loads((mpii / "mpii_annotations.json").read_text(encoding="utf-8"))
    alone = [person for person in people if not person["numOtherPeople"]]
    training, validation = ([person for person in alone if person["isValidation"] == part] for part in (0, 1))
    validation = [person for person in validation if _annotated(person).all()]
    first = [person for person in training if _annotated(person).all()][: len(validation)]
    validation = validation[: len(first)]
    names = {person["img_paths"] for person in first}
    _write(folder / "lsp", [*first, *validation], mpii, extended=False)
    _write(folder / "lspet", [person for person in training if person["img_paths"] not in names], mpii, extended=True)


def _joints(person: dict) -> np.ndarray:
    """(14, 3) x, y, visible in LSP's order; zeros for joints outside the picture."""
    return np.array(person["joint_self"], float)[joint_map(MPII, LSP)]


def _annotated(person: dict) -> np.ndarray:
    return _joints(person).any(axis=1)


def _write(folder: Path, people: Sequence[dict], mpii: Path, extended: bool) -> None:
    (folder / "images").mkdir(parents=True)
    digits = 5 if extended else 4
    for number, person in enumerate(people, start=1):
        link_or_copy(mpii / "images" / person["img_paths"], folder / "images" / f"im{number:0{digits}d}.jpg")
    joints = np.array([_joints(person) for person in people]).reshape(-1, len(LSP), 3)
    if extended:  # the flag means annotated
        joints[..., 2] = joints.any(axis=2)
        write_mat(folder / "joints.mat", {"joints": joints.transpose(1, 2, 0)})
    else:  # the flag means occluded
        joints[..., 2] = 1 - joints[..., 2]
        write_mat(folder / "joints.mat", {"joints": joints.transpose(2, 1, 0)})


def link_or_copy(source: Path, target: Path) -> None:
    """Hard link `target` to `source`, or copy it if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
