"""Reader of Leeds Sports Pose and its extended training set, in their published layout.

Both have a folder `images/` beside one array in `joints.mat`, whose shape tells which of them it is:

* LSP (Johnson and Everingham, BMVC 2010): 3 × 14 × N, x, y and 1 where the joint is occluded; every joint is
  marked. The first half of the photos is for training, the second for validation. `im0001.jpg` and on.
* LSP-extended (CVPR 2011): 14 × 3 × N, x, y and 1 where the joint is marked. `im00001.jpg` and on.

Coordinates on file are one-based; one is subtracted here.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stacked_hourglass.annotations.json_entries import LARGEST_PX
from stacked_hourglass.annotations.mpii import followed_link, keep_usable
from stacked_hourglass.annotations.people import People, approximate_head_sizes, crop_about_joints
from utils.files.mat_files import read_mat
from utils.osutils import UserError, warn
from utils.transform import LSP

# With the extended set alone, one photo in this many is for validation.
VALIDATION_PERIOD = 15
DOWNLOAD = "download LSP or LSP-extended (https://sam.johnson.io/research/lsp.html) and unpack it there"


@dataclass(frozen=True)
class _Layout:
    """One joints.mat: (N, 14, 2) zero-based px, (N, 14) bool twice, and which of the two sets it is."""

    folder: Path
    joints: np.ndarray
    annotated: np.ndarray
    visible: np.ndarray
    extended: bool


def load_lsp(data_dir: str | Path) -> tuple[People, People]:
    """Read LSP, LSP-extended or both: (training, validation), each in file order.

    `joints.mat` and `images/` are in `data_dir` or in a direct subfolder. Training is the first half of LSP, then all
    of LSP-extended; validation is the second half of LSP. With LSP-extended alone every 15th photo is for validation,
    with a warning that this is not a published split.

    Crop (the files give none): centred on the box of the annotated joints, scale = 1.05 × its longer side / 200 px,
    side = 1.25 × 200 px × scale. `head_size` is the distance from neck to head top in px, NaN where either is not
    annotated. `visible` equals `annotated` in LSP-extended, which does not tell occluded joints.

    Photos with fewer than two distinct joints have no crop and are dropped from both parts; missing training photos
    are dropped; each with one warning.

    Raises UserError for a missing folder, a damaged or unexpected joints.mat, and no photo at all.
    """
    return keep_usable(*read_lsp(data_dir))


def read_lsp(data_dir: str | Path) -> tuple[People, People]:
    """Like `load_lsp` without requiring the photos; validation people are the same, in the same order."""
    data_dir = Path(data_dir)
    base, extended = _find_sets(data_dir)
    parts = []
    if base is not None:
        people = _people(base)
        parts = [people.select(np.arange(len(people)) < len(people) // 2)]
        validation = people.select(np.arange(len(people)) >= len(people) // 2)
    if extended is not None:
        people = _people(extended)
        in_validation = np.arange(len(people)) % VALIDATION_PERIOD == 0
        if base is None:
            warn(
                f"{extended.folder} is LSP-extended alone: every {VALIDATION_PERIOD}th photo is for validation, which "
                "is not a published split; compare figures only with runs on the same files"
            )
            validation = people.select(in_validation)
            people = people.select(~in_validation)
        parts.append(people)
    training = parts[0].joined(*parts[1:])
    return _with_crop(training, "training"), _with_crop(validation, "validation")


def require_lsp_folder(data_dir: str | Path) -> None:
    """Raise UserError, saying how to get the data, if `data_dir` is not a folder. Imports no torch."""
    if not Path(data_dir).is_dir():
        raise UserError(f"--data_dir {data_dir}: no such folder; make it, then {DOWNLOAD}, or try --data_dir sample")


def is_lsp(data_dir: str | Path) -> bool:
    """Whether a folder, or one right under it, holds the joints.mat of LSP or LSP-extended."""
    folder = Path(data_dir)
    return (folder / "joints.mat").is_file() or any(folder.glob("*/joints.mat"))


def _find_sets(data_dir: Path) -> tuple[_Layout | None, _Layout | None]:
    """LSP and LSP-extended, each at most once and at least one of them."""
    require_lsp_folder(data_dir)
    candidates = [data_dir, *sorted(child for child in data_dir.iterdir() if child.is_dir())]
    layouts = [_read(folder) for folder in candidates if (folder / "joints.mat").is_file()]
    if not layouts:
        raise UserError(f"--data_dir {data_dir}: no joints.mat in it or in a direct subfolder; {DOWNLOAD}")
    found: list[_Layout | None] = []
    for extended, name in ((False, "LSP"), (True, "LSP-extended")):
        same = [layout for layout in layouts if layout.extended == extended]
        if len(same) > 1:
            raise UserError(f"--data_dir {data_dir}: {name} exists twice, in {same[0].folder} and {same[1].folder}")
        found.append(same[0] if same else None)
    return found[0], found[1]


def _read(folder: Path) -> _Layout:
    path = folder / "joints.mat"
    try:
        values = np.asarray(read_mat(path, ["joints"])["joints"], dtype=np.float64)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: no readable array 'joints' in this MATLAB file ({error}); {DOWNLOAD}") from None
    values = values[..., None] if values.ndim == 2 else values  # MATLAB drops the last axis of a single photo
    extended = values.shape[:2] == (len(LSP), 3)
    if values.ndim != 3 or not (extended or values.shape[:2] == (3, len(LSP))):
        raise UserError(
            f"{path}: joints is {' × '.join(map(str, values.shape))}; expected 3 × 14 × photos (LSP) or "
            "14 × 3 × photos (LSP-extended)"
        )
    points = values.transpose(2, 0, 1) if extended else values.transpose(2, 1, 0)  # (N, 14, 3)
    flag = points[..., 2] > 0
    annotated = flag if extended else np.ones_like(flag)
    broken = ~((abs(points[..., :2]) <= LARGEST_PX).all(axis=-1) | ~annotated).all(axis=1)
    if broken.any():
        first = int(np.argmax(broken)) + 1
        raise UserError(f"{path}: photo {first} (from 1) has a joint that is not finite (within ± {LARGEST_PX:g} px)")
    return _Layout(folder, points[..., :2] - 1, annotated, annotated if extended else ~flag, extended)


def _people(layout: _Layout) -> People:
    """People without their crops (centre and side NaN)."""
    count = len(layout.joints)
    digits = 5 if layout.extended else 4
    images = followed_link(layout.folder / "images")
    return People(
        skeleton=LSP,
        image_paths=[images / f"im{number:0{digits}d}.jpg" for number in range(1, count + 1)],
        joints=layout.joints.astype(np.float32),
        annotated=layout.annotated,
        visible=layout.visible,
        center=np.full((count, 2), np.nan, np.float32),
        side=np.full(count, np.nan, np.float32),
        head_size=approximate_head_sizes(layout.joints, layout.annotated, LSP),
        source=(layout.folder / "joints.mat",),
    )


def _with_crop(people: People, part: str) -> People:
    """The people whose joints span a box, with the crop around it."""
    center, side = crop_about_joints(people.joints, people.annotated)
    spanned = side > 0
    if count := int((~spanned).sum()):
        warn(f"{count} of {len(people)} {part} photos dropped: fewer than two distinct joints")
    return replace(
        people.select(spanned),
        center=center[spanned].astype(np.float32),
        side=side[spanned].astype(np.float32),
    )
