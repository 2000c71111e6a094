"""Who counts in scripts/measure_oks.py, and that truth scores 1."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
sys.path.insert(0, str(Path(__file__).parent / "stacked_hourglass"))

from measure_oks import measure, people_to_measure, table_of
from test_coco_annotations import make, person

from stacked_hourglass.oks import shared_with_coco
from utils.transform import COCO, MPII


def test_who_counts_and_what(tmp_path):
    tall = [4.0, 10.0, 40.0, 97.0]
    make(tmp_path, validation=[
        person(1, bbox=tall), person(2, bbox=[4.0, 10.0, 140.0, 96.0]), person(3, bbox=tall, joints=9),
        person(4, bbox=tall, joints=10), person(5, bbox=tall, iscrowd=1),
    ])  # fmt: skip
    people = people_to_measure(tmp_path)
    assert people.annotation_ids.tolist() == [101, 104]
    joints = shared_with_coco(MPII)
    truth = people.people.joints[:, COCO.indices(joints)]
    scores = measure(truth, joints, people)
    assert (scores["mean"], scores["people"], len(scores["per_joint"])) == (1, 2, 12)
    scores = measure(truth + np.array([32 * 2 * 0.079, 0], np.float32), joints, people)  # σ of a shoulder
    assert scores["per_joint"]["l_shoulder"] == pytest.approx(np.exp(-0.5), abs=1e-6)
    assert scores["per_joint"]["l_wrist"] == pytest.approx(np.exp(-0.5 * (0.079 / 0.062) ** 2), abs=1e-6)
    assert "2 people, 12 joints, boxes given, flip test" in table_of("x", scores)
