"""People in photos without annotations: the best detector, a JSON file."""

import json
from pathlib import Path

import numpy as np
import pytest
from finders import cached_weights, refusal

from stacked_hourglass.finding.boxes import best_detector, make_finder
from utils.imaging.images import read_image
from utils.osutils import UserError

DATA = Path("../shared/data")
PHOTO = np.zeros((60, 100, 3), np.uint8)


def write_boxes(path: Path, content) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


class TestAuto:
    def test_whole_photo_where_nobody_is_found(self):
        people = make_finder("auto")(PHOTO, "a.jpg")
        assert people.whole
        np.testing.assert_array_equal(people.boxes, [[-0.5, -0.5, 99.5, 59.5]])
        np.testing.assert_array_equal(people.sides, [100])
        assert len(make_finder("auto", whole_where_nobody=False)(PHOTO, "a.jpg").boxes) == 0

    def test_takes_the_best_available_detector(self, monkeypatch, tmp_path):
        cached = cached_weights(monkeypatch, tmp_path)
        photo = read_image(Path("docs/photos/photographer.jpg"))
        assert best_detector() == "yolox"
        people, expected = make_finder("auto")(photo, "a.jpg"), make_finder("yolox")(photo, "a.jpg")
        assert not people.whole
        np.testing.assert_array_equal(people.boxes, expected.boxes)
        cached.touch()
        assert best_detector() == "detect"
        cached.unlink()


class TestBoxFile:
    def test_named_boxes_and_their_frame(self, tmp_path):
        path = write_boxes(tmp_path / "b.json", {"sub/a.jpg": [[0, 0, 10, 20], [50, 10, 8, 4]]})
        people = make_finder(path)(PHOTO, "sub/a.jpg")
        # COCO's x = 0 is the left edge of pixel 0, which is -0.5 where pixel centres are integers.
        np.testing.assert_array_equal(people.boxes, [[-0.5, -0.5, 9.5, 19.5], [49.5, 9.5, 57.5, 13.5]])
        np.testing.assert_array_equal(people.centers, [[4.5, 9.5], [53.5, 11.5]])
        np.testing.assert_array_equal(people.sides, [25, 10])
        assert people.scores.tolist() == [1, 1]

    def test_one_bare_box(self, tmp_path):
        path = write_boxes(tmp_path / "b.json", {"a.jpg": [1, 2, 3, 4]})
        np.testing.assert_array_equal(make_finder(path)(PHOTO, "a.jpg").boxes, [[0.5, 1.5, 3.5, 5.5]])

    def test_list_with_scores_categories_and_ids(self, tmp_path):
        entries = [
            {"image_id": 785, "bbox": [0, 0, 4, 4], "score": 0.6, "category_id": 1},
            {"image_id": 785, "bbox": [1, 0, 4, 4], "score": 0.9},
            {"image_id": 785, "bbox": [2, 0, 4, 4], "score": 0.4, "category_id": 1},
            {"image_id": 785, "bbox": [3, 0, 4, 4], "score": 0.9, "category_id": 18},
            {"file_name": "b.jpg", "bbox": [5, 0, 4, 4]},
            {"image": "sub/c.jpg", "bbox": [6, 0, 4, 4]},
        ]
        path = write_boxes(tmp_path / "b.json", entries)
        finder = make_finder(path)
        people = finder(PHOTO, "coco/val_000000000785.jpg")
        assert people.boxes[:, 0].tolist() == [0.5, -0.5]  # best first; below 0.5 and other categories are out
        np.testing.assert_allclose(people.scores, [0.9, 0.6])
        assert finder(PHOTO, "deep/b.jpg").boxes[:, 0].tolist() == [4.5]
        assert finder(PHOTO, "sub/c.jpg").boxes[:, 0].tolist() == [5.5]
        assert len(finder(PHOTO, "other/c.jpg").boxes) == 0
        assert len(make_finder(path, score_threshold=0.3)(PHOTO, "785.jpg").boxes) == 3

    def test_boxes_outside_the_photo_are_dropped_and_counted(self, tmp_path):
        path = write_boxes(tmp_path / "b.json", {"a.jpg": [[-20, 0, 10, 10], [-5, 0, 10, 10], [100, 0, 5, 5]]})
        people = make_finder(path)(PHOTO, "a.jpg")
        assert people.boxes[:, 0].tolist() == [-5.5]
        assert people.outside == 2
        assert len(people.sides) == 1

    def test_photo_without_boxes(self, tmp_path):
        finder = make_finder(write_boxes(tmp_path / "b.json", {"a.jpg": [[1, 2, 3, 4]], "c.jpg": []}))
        assert finder(PHOTO, "b.jpg").boxes.shape == (0, 4)
        assert finder(PHOTO, "c.jpg").boxes.shape == (0, 4)

    @pytest.mark.parametrize(
        "content",
        [
            "{",
            "",
            "3",
            "[]",
            "{}",
            '{"a.jpg": 3}',
            '{"a.jpg": [[1, 2, 3]]}',
            '{"a.jpg": [[1, 2, 3, "4"]]}',
            '{"a.jpg": [[1, 2, 3, null]]}',
            '{"a.jpg": [[1, 2, 3, NaN]]}',
            '{"a.jpg": [[1, 2, 3, Infinity]]}',
            '{"a.jpg": [[1, 2, 0, 4]]}',
            '{"a.jpg": [[1, 2, 3, -4]]}',
            '{"a.jpg": [[1, 2, 3, 1' + "0" * 400 + "]]}",
            '[{"bbox": [1, 2, 3, 4]}]',
            '[{"image": "a.jpg"}]',
            '[{"image": "a.jpg", "bbox": "1 2 3 4"}]',
            '[{"image": "a.jpg", "bbox": [1, 2, 3, 4], "score": NaN}]',
            '[{"image": null, "bbox": [1, 2, 3, 4]}]',
            "[[1, 2, 3, 4]]",
            '{"images": [{"id": 1}], "annotations": []}',
        ],
    )
    def test_bad_content(self, tmp_path, content):
        path = write_boxes(tmp_path / "b.json", content)
        message = refusal(path)
        assert path in message
        assert len(message) < 600

    def test_binary_file(self, tmp_path):
        (tmp_path / "b.json").write_bytes(bytes(range(256)))
        assert "not a readable JSON" in refusal(str(tmp_path / "b.json"))

    def test_names_that_match_no_photo(self, tmp_path, capsys):
        finder = make_finder(write_boxes(tmp_path / "b.json", {"a.jpg": [[1, 2, 3, 4]], "gone.jpg": [[1, 2, 3, 4]]}))
        finder.check_names(["x/a.jpg", "b.jpg", "c.jpg"])
        err = capsys.readouterr().err.splitlines()
        assert len(err) == 2
        assert "1 image not here: gone.jpg" in err[0]
        assert "no boxes for 2 of 3 images: b.jpg, c.jpg" in err[1]
        with pytest.raises(UserError, match=r"no box is for an image here; it names .*, the images are z.jpg"):
            finder.check_names(["z.jpg"])

    def test_all_names_match(self, tmp_path, capsys):
        make_finder(write_boxes(tmp_path / "b.json", {"a.jpg": [[1, 2, 3, 4]]})).check_names(["a.jpg"])
        make_finder(str(tmp_path / "b.json")).check_names([])
        assert capsys.readouterr().err == ""

    def test_one_entry_for_two_photos(self, tmp_path):
        finder = make_finder(write_boxes(tmp_path / "b.json", [{"image_id": 1, "bbox": [1, 2, 3, 4]}]))
        with pytest.raises(UserError, match="fits 2 photos"):
            finder.check_names(["a/0001.jpg", "b/0001.jpg"])

    def test_coco_detections(self):
        folder = DATA / "coco_sample"
        if not folder.is_dir():
            pytest.skip("../shared/data is not here")
        finder = make_finder(str(folder / "detections.json"))
        photo = read_image(folder / "images/000000000785.jpg")
        people = finder(photo, "000000000785.jpg")
        annotations = json.loads((folder / "person_keypoints.json").read_text())["annotations"]
        x, y, w, h = next(a["bbox"] for a in annotations if a["image_id"] == 785)
        assert np.abs(people.boxes[0] - [x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5]).max() < 15


def test_unknown_values(tmp_path):
    assert "did you mean whole?" in refusal("whol")
    assert "did you mean yolox?" in refusal("yolo")
    assert "choose auto, whole, yolox, detect, hog or a JSON file" in refusal("nothing-like-it.json")
    assert "a folder" in refusal(str(tmp_path))
