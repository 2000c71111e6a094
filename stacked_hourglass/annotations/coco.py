"""Reader of COCO's person keypoints, in the official layout.

`annotations/person_keypoints_{train,val}2017.json` beside the photos in `train2017/` and `val2017/` (Lin et al.,
"Microsoft COCO: Common Objects in Context", ECCV 2014). Coordinates on file count from zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stacked_hourglass.annotations.json_entries import LARGEST_PX
from stacked_hourglass.annotations.mpii import followed_link, keep_usable
from stacked_hourglass.annotations.people import People
from utils.files.inside import safe_names
from utils.files.json_files import read_json
from utils.files.schema import finite_array
from utils.imaging.images import CROP_MARGIN
from utils.imaging.source_paths import require_source
from utils.osutils import UserError, warn
from utils.transform import COCO

DOWNLOAD = "download the 2017 annotations and photos (https://cocodataset.org/#download) and unpack them there"
PARTS = ("train2017", "val2017")

# Training excludes crowds, people with fewer annotated joints, and people below COCO's medium size, which its keypoint
# scores exclude too. This is common for single-person networks (OpenPose among others).
LEAST_ANNOTATED_JOINTS = 5
LEAST_AREA = 32.0**2  # px²

MOST = {"area": LARGEST_PX**2, "id": 2.0**53, "image_id": 2.0**53}  # ids are read as float64

# The joints' names in the files are "left_eye", ...
_NAMES_ON_FILE = tuple(joint.replace("l_", "left_", 1).replace("r_", "right_", 1) if joint[1] == "_" else joint
                       for joint in COCO.joints)  # fmt: skip


@dataclass(frozen=True)
class CocoPeople:
    """N people of one annotation file, in file order, with COCO's additional fields.

    Attributes:
        people: with crops around the boxes: centre of the box, side = 1.25 × its longer side. `head_size` is NaN.
        box: (N, 4) float32 x0, y0, width, height, px of the photo as on file (edges, counted from the corner).
        area: (N,) float32 px², area of the segment as on file.
        image_ids, annotation_ids: (N,) int64.
        crowd: (N,) bool.
    """

    people: People
    box: np.ndarray
    area: np.ndarray
    image_ids: np.ndarray
    annotation_ids: np.ndarray
    crowd: np.ndarray

    def __len__(self) -> int:
        return len(self.people)

    def select(self, indices: Sequence[int] | Sequence[bool] | np.ndarray) -> "CocoPeople":
        """The people at `indices` (integers, or N booleans), in that order."""
        arrays = ("box", "area", "image_ids", "annotation_ids", "crowd")
        chosen = np.arange(len(self))[np.asarray(indices)]
        return replace(
            self, people=self.people.select(chosen), **{name: getattr(self, name)[chosen] for name in arrays}
        )


def load_coco(data_dir: str | Path) -> tuple[People, People]:
    """Read a COCO folder: (training, validation), each in file order.

    Training people are those of `train2017` that are not crowds and have at least 5 annotated joints and an area of at
    least 32² px; one warning counts the others. Validation people are all of `val2017` that are not crowds and have an
    annotated joint. Raises UserError like `read_coco`.
    """
    training = people_to_train_on(read_coco(data_dir, "train2017"))
    return keep_usable(training.people, scored_people(read_coco(data_dir, "val2017")).people)


def load_coco_training(data_dir: str | Path) -> People:
    """The training people of `load_coco`; the validation files are not needed."""
    training = people_to_train_on(read_coco(data_dir, "train2017")).people
    return keep_usable(training, training.select([]))[0]


def is_coco(data_dir: str | Path) -> bool:
    """Whether a folder holds COCO's keypoint annotations."""
    return any(Path(data_dir, "annotations").glob("person_keypoints_*.json"))


def people_to_train_on(people: CocoPeople) -> CocoPeople:
    """People who are not crowds and have `LEAST_ANNOTATED_JOINTS` joints and `LEAST_AREA`; warns of the others."""
    joints = people.people.annotated.sum(axis=1)
    kept = ~people.crowd & (joints >= LEAST_ANNOTATED_JOINTS) & (people.area >= LEAST_AREA)
    if left_out := int((~kept).sum()):
        warn(
            f"{left_out} of {len(people)} people of {people.people.source[0].name} left out: crowds, fewer than "
            f"{LEAST_ANNOTATED_JOINTS} annotated joints, or an area below {LEAST_AREA:.0f} px²"
        )
    return people.select(kept)


def scored_people(people: CocoPeople) -> CocoPeople:
    """The people in COCO's scores: not crowds, and with at least one annotated joint."""
    return people.select(~people.crowd & people.people.annotated.any(axis=1))


def annotation_file(data_dir: str | Path, part: str) -> Path:
    """The annotation file of `part`. Raises UserError if it does not exist."""
    path = Path(data_dir, "annotations", f"person_keypoints_{part}.json")
    if not path.is_file():
        raise UserError(f"--data_dir {data_dir}: {path} does not exist; {DOWNLOAD}, or try --data_dir sample")
    return path


def results_file(part: str) -> str:
    """The official name of a file of results on `part`."""
    return f"person_keypoints_{part}_results.json"


def require_validation_files(data_dir: str | Path) -> None:
    """Raise UserError if the folder or its validation annotations are missing. No torch."""
    annotation_file(data_dir, "val2017")


def require_coco_or_photos(data_dir: str | Path) -> None:
    """`require_validation_files` for scripts that also accept photos, a video or a camera number. No torch."""
    if is_coco(data_dir) or Path(data_dir).parts[-2:] == ("data", "coco"):
        require_validation_files(data_dir)
    else:
        require_source(data_dir)


def coco_photos(data_dir: str | Path, part: str) -> Path:
    """The folder of the photos of `part`."""
    return followed_link(Path(data_dir, part))


def read_coco(data_dir: str | Path, part: str) -> CocoPeople:
    """All people of `part` ("train2017" or "val2017"), including crowds; photos are not needed.

    People whose box has no width or height are dropped with a warning.

    Raises UserError for a missing folder or file, and for a broken file (naming the annotation).
    """
    path = annotation_file(data_dir, part)
    images, annotations = _read(path)
    keypoints = _numbers(annotations, "keypoints", (3 * len(COCO),), path).reshape(-1, len(COCO), 3)
    box = _numbers(annotations, "bbox", (4,), path)
    image_ids = _image_ids(images, annotations, path)
    file_names = safe_names([image["file_name"] for image in images], path)
    names = {image["id"]: name for image, name in zip(images, file_names, strict=True)}
    folder = coco_photos(data_dir, part)
    annotated = keypoints[..., 2] > 0
    longest = box[:, 2:].max(axis=1)
    people = People(
        skeleton=COCO,
        image_paths=[folder / names[image_id] for image_id in image_ids.tolist()],
        joints=keypoints[..., :2].astype(np.float32),
        annotated=annotated,
        visible=keypoints[..., 2] > 1,
        center=(box[:, :2] + (box[:, 2:] - 1) / 2).astype(np.float32),  # its edges are half a pixel outside
        side=(CROP_MARGIN * longest).astype(np.float32),
        head_size=np.full(len(box), np.nan, np.float32),
        source=(path,),
    )
    result = CocoPeople(
        people,
        box.astype(np.float32),
        _numbers(annotations, "area", (), path).astype(np.float32),
        image_ids,
        _numbers(annotations, "id", (), path).astype(np.int64),
        _numbers(annotations, "iscrowd", (), path) > 0,
    )
    whole = (box[:, 2:] > 0).all(axis=1)
    if count := int((~whole).sum()):
        warn(f"{count} of {len(whole)} people of {path.name} dropped: their boxes are empty")
    return result.select(whole)


def read_truth(data_dir: str | Path, part: str = "val2017") -> dict[str, list[dict[str, Any]]]:
    """Ground truth for AP: all images and people of `part`, including crowds, in the official format.

    `num_keypoints` is counted from the keypoints, ids are renumbered, the category is 1, and other fields are dropped.
    Raises UserError like `read_coco`.
    """
    path = annotation_file(data_dir, part)
    images, annotations = _read(path)
    keypoints, box, area, crowd = (
        _numbers(annotations, key, shape, path)
        for key, shape in (("keypoints", (3 * len(COCO),)), ("bbox", (4,)), ("area", ()), ("iscrowd", ()))
    )
    image_ids, annotated = _image_ids(images, annotations, path), (keypoints[:, 2::3] > 0).sum(axis=1)
    columns = (image_ids, keypoints, annotated, box, area, crowd.astype(int))
    names = ("image_id", "keypoints", "num_keypoints", "bbox", "area", "iscrowd")
    people = [dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return {
        "images": [{"id": image["id"], "file_name": image["file_name"]} for image in images],
        "annotations": [{"id": number, "category_id": 1} | one for number, one in enumerate(people, start=1)],
        "categories": [{"id": 1, "name": "person"}],
    }


def _image_ids(images: list[dict[str, Any]], annotations: list[dict[str, Any]], path: Path) -> np.ndarray:
    """(N,) int64, the image of each annotation. Raises UserError if the file does not list that image."""
    image_ids = _numbers(annotations, "image_id", (), path).astype(np.int64)
    known = {image["id"] for image in images}
    for number, image_id in enumerate(image_ids.tolist()):
        if image_id not in known:
            raise UserError(f"{path}: annotation {number} (from 0) is of image {image_id}, which 'images' lacks")
    return image_ids


def _read(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The lists `images` and `annotations`, the latter of people alone and not empty."""
    content = read_json(path, "is the download complete?")
    lists = [content.get(key) if isinstance(content, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(one, list) and all(isinstance(entry, dict) for entry in one) for one in lists):
        raise UserError(f"{path}: expected COCO's lists 'images', 'annotations' and 'categories'; {DOWNLOAD}")
    images, annotations, categories = lists
    for number, image in enumerate(images):
        known = isinstance(image.get("id"), int) and abs(image["id"]) <= MOST["id"]
        if not known or not isinstance(image.get("file_name"), str):
            raise UserError(f"{path}: image {number} (from 0) has no integer 'id' or no 'file_name'")
    person = next((category for category in categories if category.get("name") == "person"), {})
    if person.get("keypoints") != list(_NAMES_ON_FILE):
        raise UserError(
            f"{path}: the category 'person' has no keypoints {', '.join(_NAMES_ON_FILE[:3])}, ... (17); "
            "give COCO's person_keypoints files"
        )
    annotations = [one for one in annotations if one.get("category_id", person.get("id")) == person.get("id")]
    if not annotations:
        raise UserError(f"{path}: no annotated person")
    return images, annotations


def _numbers(annotations: list[dict[str, Any]], key: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """(N, *shape) float64. Raises UserError naming the first annotation whose `key` is anything else."""
    values = []
    for number, annotation in enumerate(annotations):
        most = MOST.get(key, LARGEST_PX)
        value = finite_array(annotation.get(key), shape, most)
        if value is None:
            expected = f"{shape[0]} finite numbers" if shape else "a finite number"
            raise UserError(f"{path}: annotation {number} (from 0): {key} is not {expected} (within ± {most:g})")
        values.append(value)
    return np.stack(values)
