"""COCO's keypoint files: crops, flags, who is left out, and files that are wrong."""

from pathlib import Path

import numpy as np
import pytest
from coco_files import make, person

from stacked_hourglass.annotations.coco import is_coco, load_coco, load_coco_training, read_coco, scored_people
from utils.osutils import UserError
from utils.transform import COCO

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def test_a_person_as_on_file(tmp_path):
    make(tmp_path, validation=[person(joints=3)])
    found = read_coco(tmp_path, "val2017")
    people = found.people
    assert people.skeleton is COCO
    assert people.image_paths == [tmp_path / "val2017" / "000000000007.jpg"]
    np.testing.assert_array_equal(people.joints[0, :3], [[10, 20], [11, 22], [12, 24]])  # zero-based already
    assert people.annotated[0].tolist() == [True] * 3 + [False] * 14
    assert people.visible[0].tolist() == [False, True, True] + [False] * 14
    # The box covers the pixels 4 to 43 and 10 to 69: their middle is (23.5, 39.5).
    np.testing.assert_array_equal(people.center, [[23.5, 39.5]])
    np.testing.assert_array_equal(people.side, [75])
    assert np.isnan(people.head_size).all()
    assert (found.image_ids.tolist(), found.annotation_ids.tolist(), found.area.tolist()) == ([7], [101], [1024])
    np.testing.assert_array_equal(found.box, [[4, 10, 40, 60]])


def test_people_that_are_left_out(tmp_path, capsys):
    everybody = [
        person(1), person(2, iscrowd=1), person(3, joints=4), person(4, joints=5), person(5, area=1023.9),
        person(6, joints=0),
    ]  # fmt: skip
    training, validation = load_coco(make(tmp_path, everybody, everybody))
    assert [people.annotated.sum(1).tolist() for people in (training, validation)] == [[17, 5], [17, 4, 5, 17]]
    assert capsys.readouterr().err.count("4 of 6 people of person_keypoints_train2017.json left out") == 1
    assert scored_people(read_coco(tmp_path, "val2017")).annotation_ids.tolist() == [101, 103, 104, 105]


def test_training_alone_needs_no_validation(tmp_path):
    make(tmp_path, training=[person()])
    assert is_coco(tmp_path)
    assert len(load_coco_training(tmp_path)) == 1
    with pytest.raises(UserError, match="person_keypoints_val2017.json does not exist; download"):
        load_coco(tmp_path)


def test_an_empty_box_has_no_crop(tmp_path, capsys):
    make(tmp_path, training=[person(1), person(2, bbox=[4, 10, 0, 60])])
    assert read_coco(tmp_path, "train2017").annotation_ids.tolist() == [101]
    assert "1 of 2 people of person_keypoints_train2017.json dropped: their boxes are empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"keypoints": [1, 2, 2] * 16}, r"annotation 1 \(from 0\): keypoints is not 51 finite numbers"),
        ({"bbox": [1, 2, 3, None]}, r"annotation 1 \(from 0\): bbox is not 4 finite numbers"),
        ({"area": "large"}, r"annotation 1 \(from 0\): area is not a finite number"),
        ({"image_id": 8}, r"annotation 1 \(from 0\) is of image 8, which 'images' lacks"),
    ],
)
def test_broken_annotations_are_named(tmp_path, changes, fault):
    make(tmp_path, training=[person(1), person(2, **changes)])
    with pytest.raises(UserError, match=fault):
        read_coco(tmp_path, "train2017")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not a readable JSON file"),
        ("[]", "expected COCO's lists"),
        (
            '{"images": [], "annotations": [], "categories": []}',
            "the category 'person' has no keypoints nose, left_eye",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, text, fault):
    make(tmp_path)
    (tmp_path / "annotations" / "person_keypoints_train2017.json").write_text(text)
    with pytest.raises(UserError, match=fault):
        read_coco(tmp_path, "train2017")


@pytest.mark.skipif(not (SHARED / "coco_people").is_dir(), reason="needs the shared data")
def test_real_annotations():
    training, validation = load_coco(SHARED / "coco_people")
    assert len(validation) == 138
    assert 100 < len(training) < 219
    # Annotated joints lie in the crop, which is larger than the box; a few are annotated outside the box.
    for people in (training, validation):
        offset = np.abs(people.joints - people.center[:, None]).max(-1) / people.side[:, None]
        assert (offset[people.annotated] < 0.5).mean() >= 0.98
