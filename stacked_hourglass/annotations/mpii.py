"""Reader of MPII's annotation files.

`People` are in original image pixels, zero-based, pixel centres at integers. MPII's files are one-based, as in MATLAB;
one is subtracted here and nowhere else.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stacked_hourglass.annotations.json_entries import numbers, read_entries, require, strings
from stacked_hourglass.annotations.people import NECK_TO_TOP_FACTOR, People, approximate_head_sizes
from stacked_hourglass.metrics.pckh import head_box_sizes
from utils.files.inside import safe_names
from utils.files.mat_files import read_mat
from utils.imaging.images import CROP_MARGIN
from utils.imaging.source_paths import require_source
from utils.osutils import UserError, warn
from utils.transform import MPII

IMAGES_URL = "https://datasets.d2.mpi-inf.mpg.de/andriluka14cvpr/mpii_human_pose_v1.tar.gz"
SAMPLE_ADVICE = "or try --data_dir sample, which needs no download"

# Crop of the MPII benchmark: `scale` is the person's height / 200 px; the marked position lies above the middle.
REFERENCE_HEIGHT = 200.0
CENTER_SHIFT = 15.0

ANNOTATION_FILE = "mpii_annotations.json"
HEAD_BOX_FILES = ("detections_our_format.mat", "gt_valid.mat")
# Where the two JSON forms keep an image's name, the person's position and the person's scale.
RELEASE_KEYS = ("img_paths", "objpos", "scale_provided")
SIMPLE_KEYS = ("image", "center", "scale")
LONGEST_LINK = 1024  # bytes


def load_mpii(data_dir: str | Path) -> tuple[People, People]:
    """Read the people of an MPII folder: (training, validation), each in file order.

    The annotations are `mpii_annotations.json`, or the pair `train.json` and `valid.json` (Simple Baselines format),
    or one `annotations.json`; each may be gzipped or in `annot/`. A file without a split is used for both parts, with a
    warning. Photos are in `<data_dir>/images`. In the Simple Baselines format `visible` equals `annotated`, since its
    `joints_vis` does not distinguish occluded from visible joints. Entries of either form may
    have `clip` (a name) and `frame` (a whole number): then they are frames of clips, see `samples.clips`.
    Where a clip shows several people, `people_index` tells who is who.

    Crop: centre = position + (0, 15 × scale), side = 1.25 × 200 px × scale (Newell et al., ECCV 2016).
    `head_size` of validation people is 0.6 × the diagonal of the head box in `detections_our_format.mat` (or
    `gt_valid.mat`). For training people, and without that file, it is 0.75 × the distance from upper neck to head
    top, which approximates it.

    Training people without a photo or an annotated joint are dropped with one warning, so the training part may be
    empty. Validation people are all kept, since predictions are matched to them by index.

    Raises UserError for a missing folder or file, a broken file (naming the entry), no photo at all, or head boxes
    of another count.
    """
    roots = _roots(Path(data_dir))
    training, validation = _read_parts(roots)
    validation = _with_head_boxes(validation, roots)
    folder = _image_folder(roots)
    return keep_usable(_in_folder(training, folder), _in_folder(validation, folder))


def load_mpii_training(data_dir: str | Path) -> People:
    """The training people of `load_mpii`; the folder needs neither validation people nor head boxes."""
    roots = _roots(Path(data_dir))
    training = _in_folder(_read_parts(roots, validates=False)[0], _image_folder(roots))
    return keep_usable(training, training.select([]))[0]


def read_mpii(data_dir: str | Path, validates: bool = True) -> tuple[People, People]:
    """As `load_mpii`, whether or not photos and head boxes are there.

    Photos are relative to the image folder, head sizes are approximate. Raises UserError as `load_mpii` does for
    folders and annotation files; unless `validates`, there may be no validation people.
    """
    return _read_parts(_roots(Path(data_dir)), validates)


def validation_photos(data_dir: str | Path) -> list[Path]:
    """The photo of each validation person, relative to the image folder (which need not exist), in file order.

    Raises UserError as `read_mpii` does.
    """
    return read_mpii(data_dir)[1].image_paths


def require_mpii_folder(data_dir: str | Path) -> None:
    """Raise UserError if neither `data_dir` nor its fallback is a folder. Imports no torch."""
    _roots(Path(data_dir))


def require_photos(data_dir: str | Path) -> None:
    """`require_mpii_folder` for scripts that also accept photos, a video or a camera number. Imports no torch."""
    if is_annotated(data_dir):
        require_mpii_folder(data_dir)
    else:
        require_source(data_dir)


def find_head_boxes(data_dir: str | Path) -> Path | None:
    """The file of head boxes that `load_mpii` would use, or None.

    Raises UserError if neither `data_dir` nor its fallback is a folder.
    """
    return _head_boxes(_roots(Path(data_dir)))


def mpii_images(data_dir: str | Path) -> Path:
    """The image folder that `load_mpii` uses for `data_dir`. Raises UserError like `load_mpii`."""
    return _image_folder(_roots(Path(data_dir)))


def is_annotated(data_dir: str | Path) -> bool:
    """Whether a folder holds MPII annotations (or should, as the default folder) rather than only photos."""
    names = (ANNOTATION_FILE, "train.json", "valid.json", "annotations.json")
    path = Path(data_dir)
    if path.parts[-2:] == ("data", "mpii"):
        return True
    released = any(path.glob("mpii_human_pose*.mat"))
    return path.is_dir() and (released or any(_find([path], name) is not None for name in names))


# Folders


def _roots(data_dir: Path) -> list[Path]:
    """The folders to search: `data_dir`, and for the default `data/mpii` also the fallback in `stacked_hourglass/`."""
    roots = [data_dir]
    if data_dir.parts[-2:] == ("data", "mpii"):
        roots.append(data_dir.parent.parent / "stacked_hourglass" / "data" / "mpii")
    if not any(root.is_dir() for root in roots):
        raise UserError(
            f"--data_dir {data_dir}: no such folder; make it, with {ANNOTATION_FILE} (or train.json and valid.json) "
            f"and the photos of {IMAGES_URL} in images/, {SAMPLE_ADVICE}"
        )
    return roots


def _find(roots: Sequence[Path], name: str) -> Path | None:
    """The first of `name`, `name`.gz in the roots and their annot/ folders."""
    for folder in [folder for root in roots for folder in (root, root / "annot")]:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def _head_boxes(roots: Sequence[Path]) -> Path | None:
    return next((path for name in HEAD_BOX_FILES if (path := _find(roots, name))), None)


def _image_folder(roots: Sequence[Path]) -> Path:
    folders = [followed_link(root / "images") for root in roots]
    for folder in folders:
        if folder.is_dir() and any(folder.iterdir()):
            return folder
    state = "is empty" if folders[0].is_dir() else "does not exist"
    raise UserError(
        f"the image folder {folders[0]} {state}; download {IMAGES_URL}, unpack it and link its images folder there, "
        f"{SAMPLE_ADVICE}"
    )


def followed_link(path: Path) -> Path:
    """`path`, or the folder named in it if it is a text file that git checked out in place of a symbolic link."""
    if path.is_file() and path.stat().st_size < LONGEST_LINK:
        name = path.read_bytes().decode("utf-8", errors="replace").strip()
        if "\0" not in name and (path.parent / name).is_dir():
            return path.parent / name
    return path


# Annotation files


def _read_parts(roots: Sequence[Path], validates: bool = True) -> tuple[People, People]:
    """(training, validation); unless `validates`, the latter may be empty."""
    single = _find(roots, ANNOTATION_FILE)
    pair = [_find(roots, name) for name in ("train.json", "valid.json")]
    if single is None and all(pair):
        training, validation = (_read_people(path)[0] for path in pair)
        return training, validation
    single = single or _find(roots, "annotations.json")
    if single is None:
        raise UserError(_missing_annotations(roots, pair))

    people, is_validation = _read_people(single)
    if is_validation is None and not validates:
        return people, people
    if is_validation is None:
        warn(f"{single} has no split into training and validation people: all {len(people)} are used as both")
        return people, people
    if validates and not is_validation.any():
        raise UserError(f"{single}: no entry has isValidation 1, nothing to validate on")
    return people.select(~is_validation), people.select(is_validation)


def _missing_annotations(roots: Sequence[Path], pair: Sequence[Path | None]) -> str:
    release = next((path for root in roots for path in sorted(root.glob("**/mpii_human_pose*.mat"))), None)
    if release is not None:
        return (
            f"{release} is the official MPII file, which is not read directly; run "
            f"python scripts/convert_mpii.py {release} --output_dir {roots[0]}"
        )
    if any(pair):
        found, lacking = ("train.json", "valid.json") if pair[0] else ("valid.json", "train.json")
        return f"--data_dir {roots[0]}: has {found} but no {lacking}; this MPII format needs both"
    return (
        f"--data_dir {roots[0]}: no annotations; expected {ANNOTATION_FILE}, or train.json and valid.json, or "
        "the official mpii_human_pose_v1_u12_1.mat converted by scripts/convert_mpii.py, "
        f"{SAMPLE_ADVICE}"
    )


def _read_people(path: Path) -> tuple[People, np.ndarray | None]:
    """People of one file in either JSON format, and (N,) bool `isValidation`, or None if the file lacks it."""
    entries = read_entries(path)
    simple_form = "joints" in entries[0]
    name_key, position_key, scale_key = SIMPLE_KEYS if simple_form else RELEASE_KEYS
    names = safe_names(strings(entries, name_key, path), path)
    position = numbers(entries, position_key, (2,), path)
    scale = numbers(entries, scale_key, (), path)
    if simple_form:
        joints = numbers(entries, "joints", (len(MPII), 2), path)
        annotated = visible = numbers(entries, "joints_vis", (len(MPII),), path) > 0
        require(position[:, 0] != -1, path, "center is -1, which marks a person without a position; remove it")
    else:
        joints = numbers(entries, "joint_self", (len(MPII), 3), path)
        annotated = (joints[..., :2] != 0).any(axis=-1)
        visible = annotated & (joints[..., 2] > 0)
    require(scale > 0, path, f"{scale_key} is not above 0; expected the person's height / 200 px")

    joints, position = joints[..., :2] - 1, position - 1  # MATLAB's first pixel is 1
    people = People(
        skeleton=MPII,
        image_paths=[Path(name) for name in names],
        joints=joints.astype(np.float32),
        annotated=annotated,
        visible=visible,
        center=np.stack([position[:, 0], position[:, 1] + CENTER_SHIFT * scale], axis=1).astype(np.float32),
        side=(CROP_MARGIN * REFERENCE_HEIGHT * scale).astype(np.float32),
        head_size=approximate_head_sizes(joints, annotated, MPII),
        source=(path,),
        **(_read_clips(entries, path) if "clip" in entries[0] else {}),
    )
    split = numbers(entries, "isValidation", (), path) > 0 if "isValidation" in entries[0] else None
    return people, split


def _read_clips(entries: list[dict], path: Path) -> dict[str, np.ndarray]:
    """`clip` and `frame` of `People`. Raises UserError where two entries are of one person and time."""
    frame = numbers(entries, "frame", (), path)
    require(frame == np.round(frame), path, "frame is not a whole number")
    people = numbers(entries, "people_index", (), path) if "people_index" in entries[0] else np.zeros(len(entries))
    numbered: dict[tuple[str, float], int] = {}
    names = strings(entries, "clip", path)
    clip = np.array([numbered.setdefault(one, len(numbered)) for one in zip(names, people, strict=True)])
    _, first = np.unique(np.stack([clip, frame]), axis=1, return_index=True)
    alone = np.isin(np.arange(len(entries)), first)
    fault = "the same clip, frame and people_index as an entry before; people_index tells the people of a clip apart"
    require(alone, path, fault)
    return {"clip": clip, "frame": frame.astype(np.int64)}


# Head sizes


def _with_head_boxes(validation: People, roots: Sequence[Path]) -> People:
    path = _head_boxes(roots)
    if path is None:
        warn(
            f"no {HEAD_BOX_FILES[0]} in {roots[0]}: the validation people's head sizes are approximated by "
            f"{NECK_TO_TOP_FACTOR} × the distance from upper neck to head top"
        )
        return validation
    head_size = read_head_sizes(path)
    if len(head_size) != len(validation):
        raise UserError(
            f"{path} holds the head boxes of {len(head_size)} people and {validation.source[0]} has "
            f"{len(validation)} validation people; the two files must belong together"
        )
    return replace(validation, head_size=head_size, source=(*validation.source, path))


def read_head_sizes(path: Path) -> np.ndarray:
    """(N,) float32 px: 0.6 × the diagonal of `headboxes_src` (2 × 2 × N: corner, xy). Raises UserError."""
    try:
        boxes = np.asarray(read_mat(path, ["headboxes_src"])["headboxes_src"], dtype=np.float64).reshape(2, 2, -1)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: no readable headboxes_src, 2 × 2 × people, in this MATLAB file ({error})") from None
    return head_box_sizes(boxes.transpose(2, 0, 1)).astype(np.float32)


# Photos


def _in_folder(people: People, folder: Path) -> People:
    return replace(people, image_paths=[folder / path for path in people.image_paths])


def keep_usable(training: People, validation: People) -> tuple[People, People]:
    """Both parts without the training people that lack a photo or any annotated joint.

    Each reason gives one warning with a count; validation people without a photo are counted too, and kept.
    Raises UserError if no photo at all is there.
    """
    listings: dict[Path, set[str]] = {}
    in_training, in_validation = (_photo_exists(part, listings) for part in (training, validation))
    if not in_training.any() and not in_validation.any():
        first = (*validation.image_paths, *training.image_paths)[0]
        raise UserError(
            f"none of the photos that {validation.source[0]} names is in {first.parent} (the first is {first.name}); "
            "link the folder that holds them there"
        )
    if absent := int((~in_training).sum()):
        warn(f"{absent} of {len(training)} training people dropped: their photos are absent")
    if absent := int((~in_validation).sum()):
        warn(f"{absent} of {len(validation)} validation people have no photo")
    without_joints = in_training & ~training.annotated.any(axis=1)
    if count := int(without_joints.sum()):
        warn(f"{count} of {len(training)} training people dropped: no joint of theirs is annotated")
    return training.select(in_training & ~without_joints), validation


def _photo_exists(people: People, listings: dict[Path, set[str]]) -> np.ndarray:
    """(N,) bool. Each folder is listed once, which is quicker than a look at every file."""
    for folder in {path.parent for path in people.image_paths} - listings.keys():
        listings[folder] = set(os.listdir(folder)) if folder.is_dir() else set()
    return np.array([path.name in listings[path.parent] for path in people.image_paths], dtype=bool)
