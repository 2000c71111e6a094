import json

import numpy as np
import pytest
import torch

from utils.osutils import UserError
from utils.predictions.coco_results import load_coco_results, save_coco_results


def test_coco_results_by_hand(tmp_path):
    path = tmp_path / "predictions.json"
    points = torch.tensor([[[1.0, 2.0], [3.5, float("nan")]], [[5.0, 6.0], [7.0, 8.0]]])
    scores = torch.tensor([[0.5, 1.0], [0.25, 0.25]])
    poses_3d = torch.arange(12, dtype=torch.float32).reshape(2, 2, 3)
    save_coco_results(
        path, {"a.jpg": points, "b.jpg": points[:1]}, {"a.jpg": scores, "b.jpg": scores[:1]}, {"a.jpg": poses_3d}
    )
    first, second, third = json.loads(path.read_text())
    assert first == {
        "image": "a.jpg", "person": 0, "category_id": 1, "keypoints": [1, 2, 0.5, 3.5, None, 1], "score": 0.75,
        "keypoints_3d": [0, 1, 2, 3, 4, 5],
    }  # fmt: skip
    assert (second["person"], second["keypoints_3d"]) == (1, [6, 7, 8, 9, 10, 11])
    assert (third["image"], third["person"], "keypoints_3d" in third) == ("b.jpg", 0, False)

    loaded = load_coco_results(path)
    np.testing.assert_array_equal(loaded.keypoints["a.jpg"], points)
    np.testing.assert_array_equal(loaded.scores["a.jpg"], scores)
    assert loaded.keypoints_3d.keys() == {"a.jpg"}
    np.testing.assert_array_equal(loaded.keypoints_3d["a.jpg"], poses_3d)


def test_the_people_of_a_video_have_their_track_numbers(tmp_path):
    path = tmp_path / "predictions.json"
    save_coco_results(path, {"a/0": torch.zeros(2, 3, 2), "b": torch.zeros(1, 3, 2)}, tracks={"a/0": [4, 7]})
    assert [record.get("track") for record in json.loads(path.read_text())] == [4, 7, None]
    with pytest.raises(ValueError, match="1 tracks for 2 people"):
        save_coco_results(path, {"a/0": torch.zeros(2, 3, 2)}, tracks={"a/0": [4]})


def test_people_of_a_few_frames_are_marked(tmp_path):
    tracks = {f"a/{frame}": [1, 2] if frame == 0 else [1, 3] if frame < 6 else [1] for frame in range(20)}
    save_coco_results(tmp_path / "a.json", {k: torch.zeros(len(v), 3, 2) for k, v in tracks.items()}, tracks=tracks)
    records = json.loads((tmp_path / "a.json").read_text())
    assert [record["track"] for record in records if record.get("brief")] == [2]
    assert sum(record["track"] == 3 for record in records) == 5


def test_coco_results_do_without_scores(tmp_path):
    save_coco_results(tmp_path / "a.json", {"a": torch.zeros(1, 16, 2), "nobody": torch.zeros(0, 16, 2)})
    loaded = load_coco_results(tmp_path / "a.json")
    assert loaded.keypoints.keys() == {"a"}
    np.testing.assert_array_equal(loaded.scores["a"], np.ones((1, 16)))
    assert not loaded.keypoints_3d


def test_coco_results_refuse_shapes_that_disagree(tmp_path):
    with pytest.raises(ValueError, match="scores"):
        save_coco_results(tmp_path / "a.json", {"a": torch.zeros(1, 16, 2)}, {"a": torch.zeros(2, 16)})
    with pytest.raises(ValueError, match="keypoints_3d"):
        save_coco_results(tmp_path / "a.json", {"a": torch.zeros(1, 16, 2)}, None, {"a": torch.zeros(2, 17, 3)})
    assert not list(tmp_path.iterdir())


def record(person=0, **changes):
    return {"image": "a.jpg", "person": person, "keypoints": [1, 2, 1, 3, 4, 1]} | changes


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({"a": 1}, "holds a dict"),
        ([[1, 2]], "record 0"),
        ([{"person": 0, "keypoints": [1, 2, 3]}], "record 0 .*image"),
        ([record(), record(1, keypoints=[1, 2])], "record 1"),
        ([record(keypoints=["x", 2, 3])], "record 0"),
        ([record(), record()], "person 0 twice"),
        ([record(), record(2)], "without gaps"),
        ([record(), record(1, keypoints=[1, 2, 3])], "number of joints"),
    ],
)
def test_wrong_coco_results_are_refused(tmp_path, records, message):
    (tmp_path / "a.json").write_text(json.dumps(records))
    with pytest.raises(UserError, match=message):
        load_coco_results(tmp_path / "a.json")


def test_truncated_coco_results_are_refused(tmp_path):
    save_coco_results(tmp_path / "a.json", {"a": torch.zeros(1, 16, 2)})
    (tmp_path / "a.json").write_text((tmp_path / "a.json").read_text()[:40])
    with pytest.raises(UserError, match="not a readable JSON"):
        load_coco_results(tmp_path / "a.json")


def test_people_are_ordered_by_their_index_not_by_their_place_in_the_file(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([record(1, keypoints=[9, 9, 1]), record(0, keypoints=[4, 4, 1])]))
    assert load_coco_results(tmp_path / "a.json").keypoints["a.jpg"][:, 0, 0].tolist() == [4, 9]


def test_arrays_are_written_as_tensors_are(tmp_path):
    points, poses_3d = torch.rand(2, 16, 2), torch.rand(2, 17, 3)
    save_coco_results(tmp_path / "tensors.json", {"a": points}, None, {"a": poses_3d})
    save_coco_results(tmp_path / "arrays.json", {"a": points.numpy()}, None, {"a": poses_3d.numpy()})
    assert (tmp_path / "arrays.json").read_text() == (tmp_path / "tensors.json").read_text()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no\.json does not exist; expected a keypoint-results file"):
        load_coco_results(tmp_path / "no.json")
