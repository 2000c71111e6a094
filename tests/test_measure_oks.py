"""Who counts in scripts/measure_oks.py, and that truth scores 1."""

import json
import sys

import numpy as np
import pytest
import torch
from coco_files import make, person
from command_line import load_script

from stacked_hourglass.annotations.coco import read_coco, scored_people
from stacked_hourglass.metrics.oks import shared_with_coco
from utils.imaging.draw2d import save_image
from utils.transform import COCO, MPII

script = load_script("scripts", "measure_oks")


def test_which_people_and_joints_count(tmp_path):
    tall = [4.0, 10.0, 40.0, 97.0]
    make(tmp_path, validation=[
        person(1, bbox=tall), person(2, bbox=[4.0, 10.0, 140.0, 96.0]), person(3, bbox=tall, joints=9),
        person(4, bbox=tall, joints=10), person(5, bbox=tall, iscrowd=1),
    ])  # fmt: skip
    people = scored_people(read_coco(tmp_path, "val2017"))
    people = people.select(script.is_measured(people))
    assert people.annotation_ids.tolist() == [101, 104]
    joints = shared_with_coco(MPII)
    truth = people.people.joints[:, COCO.indices(joints)]
    scores = script.measure(truth, joints, people)
    assert (scores["mean"], scores["people"], len(scores["per_joint"])) == (1, 2, 12)
    # OKS is exp(-d² / (2 s² (2σ)²)): exp(-1/2) at a distance d of s · 2σ, with s = √area = 32 px and σ of a shoulder.
    scores = script.measure(truth + np.array([32 * 2 * 0.079, 0], np.float32), joints, people)
    assert scores["per_joint"]["l_shoulder"] == pytest.approx(np.exp(-0.5), abs=1e-6)
    assert scores["per_joint"]["l_wrist"] == pytest.approx(np.exp(-0.5 * (0.079 / 0.062) ** 2), abs=1e-6)
    assert "2 people, 12 joints, boxes given, flip test" in script.table_of("x", scores | {"ap": {}})


class TruthTeller:
    """A predictor that finds every joint in the middle of the crop."""

    skeleton, score_threshold, device = MPII, 0.0, torch.device("cpu")

    def __call__(self, images, to_photo):
        middle = torch.full((len(images), len(MPII), 2), 127.5)
        places = torch.einsum("nij,nkj->nki", to_photo[:, :, :2], middle) + to_photo[:, None, :, 2]
        return places, torch.ones(places.shape[:2])


def test_average_precision_in_given_and_in_found_boxes(tmp_path):
    """People whose joints all lie in the middle of their box are found exactly; joints that MPII lacks don't count."""
    boxes = [[4.0, 10.0, 40.0, 97.0], [60.0, 10.0, 40.0, 97.0]]
    make(tmp_path, validation=[person(number, bbox=box) for number, box in enumerate(boxes, start=1)])
    for photo in (tmp_path / "val2017").iterdir():
        save_image(photo, np.zeros((128, 128, 3), np.uint8))
    path = tmp_path / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    for one in content["annotations"]:
        x, y, width, height = one["bbox"]
        centre = [x + width / 2 - 0.5, y + height / 2 - 0.5, 2]
        one["keypoints"] = [*[900.0, 900.0, 2] * 5, *centre * 12]  # nose, eyes, ears: wrong
    path.write_text(json.dumps(content))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    found = {names[one["image_id"]]: [one["bbox"]] for one in content["annotations"][:1]}
    (tmp_path / "boxes.json").write_text(json.dumps(found))
    given = script.in_given_boxes(TruthTeller(), scored_people(read_coco(tmp_path, "val2017")))
    scores = script.average_precision(TruthTeller(), given, tmp_path, str(tmp_path / "boxes.json"))
    assert scores["given"]["AP"] == pytest.approx(1)
    assert scores["given"]["AR"] == pytest.approx(1)
    assert scores["found"]["AR"] == pytest.approx(0.5)
    assert "AP 100.0 %" in script.ap_lines(scores)[0]


def test_joints_that_are_left_out_count_as_not_annotated():
    one = {"keypoints": [1.0, 2.0, 2] * 17, "num_keypoints": 17}
    script.keep_joints(one, [5, 6])
    assert one["num_keypoints"] == 2
    assert one["keypoints"][15:21] == [1.0, 2.0, 2] * 2
    assert not any(one["keypoints"][:15])


def test_the_part_that_is_measured(tmp_path, monkeypatch, capsys):
    """`--part` chooses the annotations and the photos of all scores; each part has a person of its own."""
    tall = [4.0, 10.0, 40.0, 97.0]
    make(tmp_path, training=[person(1, bbox=tall)], validation=[person(2, bbox=tall), person(3, bbox=tall)])
    for photo in (*(tmp_path / "val2017").iterdir(), *(tmp_path / "train2017").iterdir()):
        save_image(photo, np.zeros((128, 128, 3), np.uint8))
    monkeypatch.setattr(script, "Predictor", lambda *_, **__: TruthTeller())
    for part, people in (("train2017", 1), ("val2017", 2)):
        argv = ["measure_oks.py", "--data_dir", str(tmp_path), "--device", "cpu", "--person_box", "whole"]
        monkeypatch.setattr(sys, "argv", [*argv, "--part", part])
        script.main()
        assert f": {people} people, 12 joints" in capsys.readouterr().out
