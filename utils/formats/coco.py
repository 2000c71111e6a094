"""2D poses in COCO's official results form, as its evaluation tools take them.

COCO's 17 joints are found by name; those that the network does not predict (of MPII: nose, eyes and ears) are 0, 0 with
score 0. Zero-based px of the image, pixel centres at integers.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.formats.people import Person
from utils.osutils import inform, write_text
from utils.predictions.keypoint_results import PERSON, keypoint_results, save_keypoint_results
from utils.transform import COCO, Skeleton

RESULTS, IMAGES = "keypoints_results.json", "keypoints_images.json"


def write_coco(people: Sequence[Person], folder: Path) -> list[Path]:
    """Write the results, and `keypoints_images.json`: which image has which `image_id`, in COCO's form too.

    The `image_id` of an image of COCO's, whose name is its number in 12 digits, is that number; other images are
    numbered from 1.
    """
    ids = image_ids(list(dict.fromkeys(image for person in people for image in person.images)))
    records = []
    for person in people:
        joints, scores = coco_joints(person)
        records += keypoint_results([ids[image] for image in person.images], joints, scores)
    missing = [joint for joint in COCO.joints if joint not in people[0].skeleton.joints]
    if missing:
        inform(f"coco: {people[0].skeleton.name} has no {', '.join(missing)}: 0, 0 with score 0")
    save_keypoint_results(folder / RESULTS, records)
    write_text(folder / IMAGES, json.dumps(_data_set(people, ids), indent=1) + "\n")
    return [folder / RESULTS, folder / IMAGES]


def image_ids(images: Sequence[str]) -> dict[str, int]:
    """Image name -> `image_id`, see `write_coco`."""
    stems = [Path(image).stem for image in images]
    if all(stem.isdecimal() and len(stem) == 12 for stem in stems) and len(set(stems)) == len(stems):
        return {image: int(stem) for image, stem in zip(images, stems, strict=True)}
    return {image: number for number, image in enumerate(images, start=1)}


def coco_joints(person: Person) -> tuple[np.ndarray, np.ndarray]:
    """(T, 17, 2) px and (T, 17) scores in COCO's order; 0 for joints that are missing or not finite."""
    skeleton: Skeleton = person.skeleton
    shared = [joint for joint in COCO.joints if joint in skeleton.joints]
    joints, scores = np.zeros((len(person), len(COCO), 2)), np.zeros((len(person), len(COCO)))
    found = person.joints[:, skeleton.indices(shared)]
    certainty = np.where(np.isnan(person.scores), 1.0, person.scores)[:, skeleton.indices(shared)]
    known = np.isfinite(found).all(axis=2)
    joints[:, COCO.indices(shared)] = np.where(known[..., None], found, 0)
    scores[:, COCO.indices(shared)] = np.where(known, certainty, 0)
    return joints, scores


def _data_set(people: Sequence[Person], ids: dict[str, int]) -> dict:
    sizes = {image: person.size for person in people for image in person.images}
    images = [
        {"id": number, "file_name": image} | dict(zip(("width", "height"), sizes[image] or (), strict=False))
        for image, number in ids.items()
    ]
    category = {"id": PERSON, "name": "person", "supercategory": "person", "keypoints": list(COCO.joints)}
    category["skeleton"] = [[a + 1, b + 1] for a, b in COCO.bone_indices]  # COCO counts joints from 1
    return {"images": images, "categories": [category], "annotations": []}
