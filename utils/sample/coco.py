"""The sample data in COCO's person-keypoints format: the rendered people of the MPII sample."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from utils.sample.lsp import link_or_copy
from utils.transform import COCO, H36M, MPII

# Eyes and ears of a rendered head, matching `flesh` and `render`: left, back, up from the upper neck, in units of the
# distance from there to the top of the head.
_FACE = {
    "l_eye": (0.12, -0.33, 0.52), "r_eye": (-0.12, -0.33, 0.52),
    "l_ear": (0.33, 0.03, 0.48), "r_ear": (-0.33, 0.03, 0.48),
}  # fmt: skip
_NOSE = (-0.43, 0.37)  # back, up
_EARS_TURNED_AWAY = 0.5  # cosine: an ear sticks out and stays visible until the head is turned away by 30°
_BOX_MARGIN = 0.06  # fraction of the person's longer side: joints lie inside the body
_AREA = 0.53  # average fraction of the box that a person covers in COCO


def make_coco(folder: Path, mpii: Path) -> None:
    """Write `annotations/person_keypoints_{train,val}2017.json`, `train2017/` and `val2017/` of the sample `mpii`.

    People and split are those of `mpii` (`sample_data.make_mpii`). Keypoints are zero-based px; those outside the
    picture are not annotated. Nose, eyes and ears are visible if the head does not hide them. The area is 0.53 × the
    box, since there are no masks. Pictures are hard links to those of `mpii`, or copies on file systems without links.
    """
    people = json.loads((mpii / "mpii_annotations.json").read_text(encoding="utf-8"))
    with np.load(mpii / "poses_3d.npz") as poses:
        arrays = {name: poses[name] for name in ("joints_3d_camera_mm", "joints_3d_camera_mm_mpii", "focal", "centre")}
    (folder / "annotations").mkdir(parents=True)
    for is_validation, part in ((0, "train2017"), (1, "val2017")):
        (folder / part).mkdir()
        rows = [row for row, person in enumerate(people) if person["isValidation"] == is_validation]
        images: dict[int, dict[str, Any]] = {}
        annotations = []
        for row in rows:
            person = people[row]
            number = int(person["annolist_index"])
            size = int(person["img_width"]), int(person["img_height"])
            if number not in images:
                name = f"{number:012d}.jpg"
                images[number] = {"id": number, "file_name": name, "width": size[0], "height": size[1]}
                link_or_copy(mpii / "images" / person["img_paths"], folder / part / name)
            pose = {name: values[row] for name, values in arrays.items()}
            annotations.append(_annotation(row + 1, number, person, pose, size))
        category = {"id": 1, "name": "person", "supercategory": "person", **_category()}
        content = {"images": [*images.values()], "annotations": annotations, "categories": [category]}
        path = folder / "annotations" / f"person_keypoints_{part}.json"
        path.write_text(json.dumps(content), encoding="utf-8")


def _category() -> dict[str, Any]:
    """Keypoint names and skeleton (one-based) as in COCO's files."""
    long = {"l_": "left_", "r_": "right_"}
    names = [long[joint[:2]] + joint[2:] if joint[:2] in long else joint for joint in COCO.joints]
    return {"keypoints": names, "skeleton": [[a + 1, b + 1] for a, b in COCO.bone_indices]}


def _annotation(
    number: int, image: int, person: dict[str, Any], pose: dict[str, np.ndarray], size: tuple[int, int]
) -> dict[str, Any]:
    points, visible = _keypoints(person, pose)
    edge = np.array(size) - 0.5
    inside = ((points >= -0.5) & (points < edge)).all(axis=1)
    flags = np.where(inside, np.where(visible, 2, 1), 0)
    keypoints = np.concatenate([np.round(points, 2), flags[:, None]], axis=1) * inside[:, None]
    # The box includes the top of the head, and is in COCO's frame: x = 0 is the left edge of pixel 0.
    everything = np.concatenate([points, _project(pose["joints_3d_camera_mm_mpii"], pose)]) + 0.5
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = _BOX_MARGIN * (high - low).max()
    low, high = np.clip(low - margin, 0, size), np.clip(high + margin, 0, size)
    box = np.round([*low, *(high - low)], 2)
    return {
        "id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "num_keypoints": int(inside.sum()),
        "keypoints": keypoints.ravel().tolist(), "bbox": box.tolist(), "area": round(_AREA * box[2] * box[3], 2),
    }  # fmt: skip


def _keypoints(person: dict[str, Any], pose: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(17, 2) zero-based px and (17,) visibility of the joints, whether inside the picture or not."""
    mpii, h36m = pose["joints_3d_camera_mm_mpii"], pose["joints_3d_camera_mm"]
    seen = np.array(person["joint_self"])[:, 2] > 0
    neck, nose = mpii[MPII.index("upper_neck")], h36m[H36M.index("nose")]
    up = mpii[MPII.index("head_top")] - neck
    back = (nose - neck - _NOSE[1] * up) / _NOSE[0]
    left = np.cross(back, up) / np.linalg.norm(up)
    places, visible = [], []
    for joint in COCO.joints:
        if joint in MPII.joints:
            places.append(mpii[MPII.index(joint)])
            visible.append(seen[MPII.index(joint)])
            continue
        place = nose if joint == "nose" else neck + np.array(_FACE[joint]) @ np.stack([left, back, up])
        outward, limit = -back, 0.0
        if joint.endswith("ear"):
            outward, limit = (-left if joint.startswith("r_") else left), _EARS_TURNED_AWAY
        places.append(place)
        # The camera is at 0.
        visible.append(outward @ place < limit * np.linalg.norm(outward) * np.linalg.norm(place))
    return _project(np.array(places), pose), np.array(visible)


def _project(points: np.ndarray, pose: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 3) camera frame, mm -> (N, 2) zero-based px."""
    return points[:, :2] / points[:, 2:] * pose["focal"] + pose["centre"]
