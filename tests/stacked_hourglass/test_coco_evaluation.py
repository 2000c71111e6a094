"""eval.py coco_AP: its files, its table, and what it refuses."""

import json

import numpy as np
import pytest
from coco_files import make, person
from command_line import modules_after
from evaluations import evaluated
from PIL import Image

from stacked_hourglass import coco_evaluation
from stacked_hourglass.annotations.coco import read_truth
from stacked_hourglass.metrics.coco_ap import COCO_METRICS, coco_ap
from utils.osutils import UserError
from utils.predictions.keypoint_results import keypoint_results, save_keypoint_results


@pytest.fixture
def data_dir(tmp_path):
    """Three people in one photo, of whom one is a crowd."""
    apart = np.array([5.0, 5.0, 0.0] * 17)
    second = person(2, bbox=[9.0, 15.0, 40.0, 60.0], area=9500.0)
    second["keypoints"] = (np.array(second["keypoints"]) + apart).tolist()
    (tmp_path / "coco").mkdir()
    return make(tmp_path / "coco", validation=[person(1), second, person(3, iscrowd=1)])


def results_of(data_dir, path, off=0.0):
    """The two people who count, moved by `off` px to the right."""
    people = read_truth(data_dir)["annotations"][:2]
    joints = np.array([one["keypoints"] for one in people]).reshape(-1, 17, 3)[..., :2] + [off, 0]
    save_keypoint_results(path, keypoint_results([7, 7], joints, np.array([[0.9] * 17, [0.5] * 17])))
    return path


def evaluate(data_dir, *files):
    return evaluated(coco_evaluation.coco_AP, "coco_ap.json", data_dir, files)


def test_table_and_json(data_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(coco_evaluation, "draw_coco_curves", lambda scores, output_dir: None)
    perfect, moved = results_of(data_dir, tmp_path / "perfect.json"), results_of(data_dir, tmp_path / "moved.json", 3.0)
    tables = evaluate(data_dir, perfect, moved)
    assert {name: tables["perfect"][name] for name in COCO_METRICS} == dict.fromkeys(COCO_METRICS, 100)
    expected = coco_ap(read_truth(data_dir), json.loads(moved.read_text()))
    assert tables["moved"]["AP"] == pytest.approx(100 * expected.values["AP"])
    assert 0 < tables["moved"]["AP"] < 100
    assert [*tables["moved"]["AP_at_OKS"].values()] == pytest.approx((100 * expected.by_threshold).tolist())
    printed = capsys.readouterr().out
    assert "Keypoint AP on 2 people in 1 photos of COCO val2017, in %" in printed
    for text in ("AP: average precision", "32² to 96² px²", "at most 20 poses per photo", "poses: perfect 2, moved 2"):
        assert text in printed
    assert f"perfect{'  100.00' * 6}".replace(" ", "") in printed.replace(" ", "")


def test_curves_and_no_torch(data_dir, tmp_path):
    files = [results_of(data_dir, tmp_path / f"{off}.json", off) for off in (0, 3)]
    arguments = ["--data_dir", data_dir, "--prediction_files", *files, "--output_dir", tmp_path / "out"]
    assert "torch" not in modules_after("eval", "coco_AP", *arguments)
    pictures = {"coco_precision_recall.png", "coco_ap_over_oks.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "coco_ap.json",
        *pictures,
        *(f"{name[:-3]}pdf" for name in pictures),
    }
    for name in pictures:
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.width > 600


def test_bad_input_is_refused(data_dir, tmp_path):
    good = results_of(data_dir, tmp_path / "good.json")
    other = tmp_path / "other.json"
    save_keypoint_results(other, keypoint_results([8], np.zeros((1, 17, 2)), np.ones((1, 17))))
    for files, message in (
        (
            (good, other),
            r"other\.json: 1 of 1 results are of images that person_keypoints_val2017\.json lacks, e\.g\. 8",
        ),
        ((good, good), "given twice"),
        ((tmp_path / "no.json",), "no.json"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(data_dir, *files)
    path = data_dir / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"annotations": content["annotations"][2:]}))
    with pytest.raises(UserError, match="no person with annotated joints except crowds"):
        evaluate(data_dir, good)
    assert not (data_dir / "out").exists()
