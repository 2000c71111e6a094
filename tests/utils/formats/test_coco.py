"""`run.py convert --to coco`, read by faster-coco-eval."""

import json

import numpy as np
from command_line import call
from predictions_folder import joints_of, photo_folder

from utils.formats.coco import image_ids
from utils.predictions.keypoint_results import load_keypoint_results
from utils.transform import COCO, MPII


def test_its_tool_reads_it(tmp_path):
    from faster_coco_eval import COCO as Annotations

    folder = photo_folder(tmp_path)
    result = call("run", "convert", "--data_dir", folder, "--to", "coco").succeeded()
    assert "MPII has no nose, l_eye, r_eye, l_ear, r_ear: 0, 0 with score 0" in result.out
    content = json.loads((folder / "converted/keypoints_images.json").read_text())
    results = Annotations(content).loadRes(str(folder / "converted/keypoints_results.json"))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    assert [(image["width"], image["height"]) for image in content["images"]] == [(640, 480)] * 2
    people = [(names[one["image_id"]], np.reshape(one["keypoints"], (17, 3))) for one in results.anns.values()]
    assert [name for name, _ in people] == ["two.jpg", "two.jpg", "sub/one.jpg"]
    for (_, found), number in zip(people, (0, 1, 0), strict=True):
        for joint in ("l_wrist", "r_ankle"):
            truth = joints_of(number, 0)[MPII.index(joint)].tolist()
            assert found[COCO.index(joint)].tolist() == [*truth, 0.5]
        assert found[COCO.index("nose")].tolist() == [0, 0, 0]
    records = load_keypoint_results(folder / "converted/keypoints_results.json")
    assert [record["category_id"] for record in records] == [1, 1, 1]


def test_images_of_coco_keep_their_number():
    assert image_ids(["000000000139.jpg", "000000000285.jpg"]) == {"000000000139.jpg": 139, "000000000285.jpg": 285}
    assert image_ids(["clip/000000", "clip/000001"]) == {"clip/000000": 1, "clip/000001": 2}
