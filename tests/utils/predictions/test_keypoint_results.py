import json

import numpy as np
import pytest

from utils.osutils import UserError
from utils.predictions.keypoint_results import keypoint_results, load_keypoint_results, save_keypoint_results


def test_the_official_form(tmp_path):
    joints, scores = np.arange(68.0).reshape(2, 17, 2), np.full((2, 17), 0.25)
    scores[1, :] = np.arange(17) / 16
    save_keypoint_results(tmp_path / "a.json", keypoint_results(np.array([785, 9]), joints, scores))
    first, second = records = json.loads((tmp_path / "a.json").read_text())
    assert list(first) == ["image_id", "category_id", "keypoints", "score"]
    assert (first["image_id"], first["category_id"], first["score"]) == (785, 1, 0.25)
    assert first["keypoints"][:6] == [0, 1, 0.25, 2, 3, 0.25]
    assert (second["image_id"], second["score"], len(second["keypoints"])) == (9, 0.5, 51)
    assert load_keypoint_results(tmp_path / "a.json") == records


def test_people_without_a_pose_are_left_out():
    joints = np.zeros((3, 17, 2))
    joints[1, 4] = np.nan
    assert [one["image_id"] for one in keypoint_results([1, 2, 3], joints, np.ones((3, 17)))] == [1, 3]
    assert keypoint_results([], np.zeros((0, 17, 2)), np.zeros((0, 17))) == []


GOOD = {"image_id": 1, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not a readable JSON"),
        ("{}", "holds a dict"),
        ("[3]", r"record 0 \(from 0\) is a int"),
        ([GOOD, GOOD | {"image_id": "1"}], r"record 1 \(from 0\) has no integer image_id"),
        ([{"image": "a.jpg"}], "an image name and no image_id.*person_keypoints_.*_results.json"),
        ([GOOD | {"category_id": 3}], "has category_id 3"),
        ([GOOD | {"keypoints": [1.0] * 48}], "has no 51 finite keypoints"),
        ([GOOD | {"keypoints": [None] * 51}], "has no 51 finite keypoints"),
        ([GOOD | {"score": float("nan")}], "has no finite score"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=message):
        load_keypoint_results(tmp_path / "a.json")
    with pytest.raises(UserError, match="no.json"):
        load_keypoint_results(tmp_path / "no.json")
