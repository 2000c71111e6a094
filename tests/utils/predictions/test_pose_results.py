"""What a run collects, and the files it becomes."""

import pytest
import torch

from utils.predictions.coco_results import load_coco_results
from utils.predictions.pose_results import PoseResults
from utils.predictions.prediction_arrays import load_prediction_array
from utils.predictions.prediction_files import load_metas, load_predictions
from utils.transform import MPII


def people(count: int, joints: int = 16, dimensions: int = 2) -> torch.Tensor:
    return torch.rand(count, joints, dimensions, generator=torch.Generator().manual_seed(count))


@pytest.fixture
def results():
    """Two photos, of two people and of nobody."""
    found = PoseResults(MPII, 0.25)
    found.add("a.jpg", {"size": [4, 3]}, people(2), people(2)[..., 0])
    found.add("b.jpg", {"size": [5, 3]}, people(0), people(0)[..., 0])
    return found


def test_only_2d_poses(results, tmp_path):
    paths = results.save(tmp_path)
    assert [path.name for path in paths] == ["2d_pose_estimations.pt", "metas.pt", "predictions.json"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    metas = load_metas(tmp_path / "metas.pt")
    torch.testing.assert_close(metas["a.jpg"].pop("scores"), people(2)[..., 0])
    assert metas["b.jpg"].pop("scores").shape == (0, 16)
    assert metas == {
        "a.jpg": {"skeleton": "MPII", "score_threshold": 0.25, "size": [4, 3]},
        "b.jpg": {"skeleton": "MPII", "score_threshold": 0.25, "size": [5, 3]},
    }
    assert {name: len(poses) for name, poses in load_predictions(paths[0]).items()} == {"a.jpg": 2, "b.jpg": 0}
    assert load_coco_results(paths[-1]).keypoints_3d == {}


def test_everything(tmp_path):
    results = PoseResults(MPII)
    results.add("a.jpg", {}, people(1), people(1)[..., 0], people(1, 17, 3))
    results.truth["a.jpg"], results.truth_3d["a.jpg"] = people(1), people(1, 17, 3)
    kinds = ["2d_pose_estimations", "3d_pose_estimations", "2d_pose_ground_truths", "3d_pose_ground_truths"]
    assert [path.stem for path in results.save(tmp_path)] == [*kinds, "metas", "predictions"]
    assert [load_predictions(tmp_path / f"{kind}.pt")["a.jpg"].shape[-1] for kind in kinds] == [2, 3, 2, 3]
    meta = load_metas(tmp_path / "metas.pt")["a.jpg"]
    assert {key: meta[key] for key in meta if not key.startswith("score")} == {
        "skeleton": "MPII", "skeleton_3d": "H36M", "unit": "mm", "root": "hip",
    }  # fmt: skip
    poses_3d = load_coco_results(tmp_path / "predictions.json").keypoints_3d["a.jpg"]
    torch.testing.assert_close(torch.from_numpy(poses_3d).float(), people(1, 17, 3))


def test_the_line_of_counts(results):
    assert results.people == 2
    assert results.summary(0.5) == "2 people in 2 photos, 0.5 s, 4.0 people/s"
    results.note = "each photo was taken as one person"
    assert results.summary(0.5).splitlines()[1] == results.note


def test_the_summary_of_one_person_of_nobody_and_of_a_video():
    found = PoseResults(MPII)
    found.add("a.jpg", {}, people(1), people(1)[..., 0])
    assert found.summary(0.5) == "1 person in 1 photo, 0.5 s, 2.0 people/s"
    nobody = PoseResults(MPII)
    nobody.add("a.jpg", {}, people(0), people(0)[..., 0])
    assert nobody.summary(0.5) == "0 people in 1 photo, 0.5 s"
    video = PoseResults(MPII, image_kind="frame")
    for name, tracks in (("clip/000000", [0]), ("clip/000001", [0, 3]), ("clip/000002", [])):
        count = len(tracks)
        video.add(name, {"tracks": tracks}, people(count), people(count)[..., 0])
    line = "3 poses of 2 people (1 of them in fewer than 5 frames) in 3 frames, 0.5 s, 6.0 poses/s"
    assert video.summary(0.5) == line


def test_the_array_in_validation_order(results, tmp_path):
    results.in_validation_order = people(3)
    assert "preds_valid.mat" in [path.name for path in results.save(tmp_path)]
    torch.testing.assert_close(torch.from_numpy(load_prediction_array(tmp_path / "preds_valid.mat")).float(), people(3))
