"""scripts/measure_finders.py: who is found, by hand, on COCO and MPII folders; and bad input."""

import json

import numpy as np
import pytest
from coco_files import make, person
from command_line import call_script, load_script

from utils.imaging.draw2d import save_image

script = load_script("scripts", "measure_finders")
TALL, SMALL = [0, 0, 20, 40], [60, 60, 70, 80]  # edges, in photos of 90 × 90 px; a third is 30 px


class Told(script.PersonFinder):
    """A finder of given boxes, the same in every photo."""

    def __init__(self, *boxes):
        self.boxes, self.calls = np.array(boxes, np.float32).reshape(-1, 4), 0

    def find(self, image, name):
        self.calls += 1
        return self.boxes, np.ones(len(self.boxes), np.float32)


@pytest.fixture
def photo(tmp_path):
    save_image(tmp_path / "a.png", np.zeros((90, 90, 3), np.uint8))
    return script.Photo(tmp_path / "a.png", np.array([TALL, SMALL], float))


def test_a_box_is_one_persons_and_as_many_as_possible_get_one():
    """The first box fits both people, the second only the first of them: both are found, in any order."""
    people = np.array([[0, 0, 10, 10], [0, 0, 10, 7]], float)
    found = np.array([[0, 0, 10, 9], [0, 0, 10, 15]], float)
    np.testing.assert_allclose(script.overlaps(people, found), [[90 / 100, 100 / 150], [70 / 90, 70 / 150]])
    for order in ([0, 1], [1, 0]):
        assert script.find_matches(people, found[order]).tolist() == [True, True]
    assert script.find_matches(people, found[1:]).tolist() == [True, False]
    assert script.find_matches(people[:1], np.array([[0, 0, 10, 20.0]])).tolist() == [True]  # exactly 0.5
    assert script.find_matches(people[:1], np.array([[0, 0, 10, 20.1]])).tolist() == [False]
    assert script.find_matches(people, np.zeros((0, 4))).tolist() == [False, False]


def test_counts_by_size(photo):
    count = script.measure(Told(TALL, TALL, [30, 30, 50, 50]), [photo], "", "")
    assert count[:-1] == (2, 1, 1, 1, 2, 0)
    assert len(count.seconds) == 1
    count = script.measure(Told(SMALL), [photo], "", "")
    assert count[:-1] == (2, 1, 1, 0, 0, 0)
    nobody = Told()
    assert script.measure(nobody, [photo, photo], "", "")[:-1] == (4, 0, 2, 0, 0, 2)
    assert nobody.calls == 3  # one for each photo, and one that is not timed


def test_unreadable_photos_and_their_people_are_left_out(photo, tmp_path, caplog):
    (tmp_path / "b.png").write_bytes(b"no picture")
    broken = script.Photo(tmp_path / "b.png", photo.boxes)
    assert script.measure(Told(TALL), [broken, photo], "", "")[:-1] == (2, 1, 1, 1, 0, 0)
    assert "1 of 2 photos unreadable, skipped" in caplog.text
    with pytest.raises(script.UserError, match="FOLDER: no photo could be read"):
        script.measure(Told(TALL), [broken], "", "FOLDER")


def test_boxes_of_coco(tmp_path):
    """Pixel i of COCO spans i … i + 1, here i - 0.5 … i + 0.5; crowds and people without joints are not to be found."""
    make(tmp_path, validation=[person(1, bbox=[4.0, 10.0, 40.0, 60.0]), person(2, iscrowd=1), person(3, joints=0)])
    [photo] = script.annotated_photos(tmp_path)
    assert photo.path.name == "000000000007.jpg"
    assert photo.boxes.tolist() == [[3.5, 9.5, 43.5, 69.5]]


def test_boxes_of_mpii_are_those_of_the_joints(tiny_mpii):
    photos = script.annotated_photos(tiny_mpii)
    _, people = script.load_mpii(tiny_mpii)
    joints = [people.joints[index][people.annotated[index]] for index in range(len(people))]
    expected = np.array([[*one.min(0), *one.max(0)] for one in joints])
    np.testing.assert_array_equal(np.concatenate([photo.boxes for photo in photos]), expected)
    assert [photo.path for photo in photos] == list(dict.fromkeys(people.image_paths))


def test_the_command(tmp_path):
    make(tmp_path, validation=[person(1, bbox=[0.0, 0.0, 20.0, 40.0]), person(2, bbox=[60.0, 60.0, 10.0, 20.0])])
    save_image(tmp_path / "val2017" / "000000000007.jpg", np.zeros((90, 90, 3), np.uint8))
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"000000000007.jpg": [[0, 0, 20, 40], [30, 30, 5, 5]]}))
    argv = ("--data_dir", tmp_path, "--device", "cpu", "--finders", boxes, "whole", "yolox@96")
    lines = call_script(script, *argv).succeeded().out.splitlines()
    assert f"{tmp_path}, 1 validation photo" in lines
    rows = {row.split("`")[1]: row.split(" | ")[1:-1] for row in lines if row.startswith("| `")}
    assert rows[str(boxes)] == ["1 of 1", "1 of 2", "1", "0 of 1"]
    assert rows["whole"] == ["0 of 1", "0 of 2", "1", "0 of 1"]
    assert rows["yolox@96"] == ["0 of 1", "0 of 2", "0", "1 of 1"]


def test_yolox_scales_photos_to_the_given_side():
    assert script.named_finder("yolox@416", "cpu")._scaled(np.zeros((100, 50, 3), np.uint8))[0].shape == (416, 224, 3)
    assert script.named_finder("yolox", "cpu").long_side == 512


@pytest.mark.parametrize("name", ["yolox@", "yolox@big", "yolox@32", "yolox@99999"])
def test_a_wrong_side_is_refused(name, tmp_path):
    make(tmp_path, validation=[person()])
    error = call_script(script, "--data_dir", tmp_path, "--device", "cpu", "--finders", name).last_error()
    assert f"--finders {name}: give yolox@SIDE" in error


def test_every_nth_photo(tiny_mpii):
    argv = ("--data_dir", tiny_mpii, "--device", "cpu", "--finders", "whole", "--every")
    photos = [f"{tiny_mpii}, 1 validation photo", f"{tiny_mpii}, {len(script.annotated_photos(tiny_mpii))} validation"]
    for every, shown in zip((100, 1), photos, strict=True):
        assert shown in call_script(script, *argv, every).succeeded().out
    assert "--every 0: give 1 or more" in call_script(script, *argv, 0).last_error()


def test_bad_folders_are_refused(tmp_path, tiny_mpii):
    argv = ("--device", "cpu", "--finders", "whole", "--data_dir")
    assert "none" in call_script(script, *argv, tmp_path / "none").last_error()
    make(tmp_path, validation=[person(joints=0)])
    assert "no validation person has a box" in call_script(script, *argv, tmp_path).last_error()
    nowhere = call_script(script, "--device", "cpu", "--finders", "nobody", "--data_dir", tiny_mpii)
    assert "--person_box nobody: no such file" in nowhere.last_error()
