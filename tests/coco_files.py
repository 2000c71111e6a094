"""COCO folders with the people that a test needs."""

import json

import numpy as np

from utils.transform import COCO

NAMES = [joint.replace("l_", "left_").replace("r_", "right_") if joint != "nose" else joint for joint in COCO.joints]


def person(number=1, joints=17, **changes):
    """The first `joints` keypoints at (10 + j, 20 + 2 j), the first of them hidden."""
    points = [[10.0 + j, 20.0 + 2 * j, 1 if j == 0 else 2] if j < joints else [0, 0, 0] for j in range(17)]
    return {
        "id": 100 + number, "image_id": 7, "category_id": 1, "iscrowd": 0, "area": 1024.0,
        "bbox": [4.0, 10.0, 40.0, 60.0], "num_keypoints": joints, "keypoints": np.ravel(points).tolist(),
    } | changes  # fmt: skip


def make(folder, training=(), validation=()):
    (folder / "annotations").mkdir()
    for part, people in (("train2017", training), ("val2017", validation)):
        (folder / part).mkdir()
        (folder / part / "000000000007.jpg").touch()
        if people:
            content = {
                "images": [{"id": 7, "file_name": "000000000007.jpg", "width": 90, "height": 90}],
                "annotations": list(people),
                "categories": [{"id": 1, "name": "person", "keypoints": NAMES}],
            }
            (folder / "annotations" / f"person_keypoints_{part}.json").write_text(json.dumps(content))
    return folder
