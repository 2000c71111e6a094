"""People in photos without annotations: whole photo, HOG, detector, JSON file."""

import json
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stacked_hourglass import person_boxes
from stacked_hourglass.person_boxes import (
    crop_of_box,
    inside_image,
    make_finder,
    suppress_overlaps,
    whole_image_crop,
)
from utils.imaging.images import apply_affine, crop_matrix, read_image
from utils.osutils import UserError

DATA = Path("../shared/data")
PHOTO = np.zeros((60, 100, 3), np.uint8)


def write_boxes(path: Path, content) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def refusal(person_box: str, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        make_finder(person_box, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("--person_box ")
    return message


class TestCrops:
    def test_crop_of_box_by_hand(self):
        centers, sides = crop_of_box(np.array([[9.5, 19.5, 29.5, 99.5], [-0.5, -0.5, 39.5, 9.5]]))
        np.testing.assert_allclose(centers, [[19.5, 59.5], [19.5, 4.5]])
        np.testing.assert_allclose(sides, [100, 50])

    def test_no_box_no_crop(self):
        centers, sides = crop_of_box(np.zeros((0, 4)))
        assert centers.shape == (0, 2)
        assert sides.shape == (0,)

    def test_whole_square_photo_is_its_own_crop(self):
        [center], [side] = whole_image_crop(256, 256)
        np.testing.assert_allclose(crop_matrix(center, side), [[1, 0, 0], [0, 1, 0]], atol=1e-12)

    @given(st.integers(8, 5000), st.integers(8, 5000))
    def test_whole_photo_fits_the_crop_edge_to_edge(self, width, height):
        [center], [side] = whole_image_crop(width, height)
        corners = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])
        low, high = apply_affine(crop_matrix(center, side), corners)
        longer = int(height > width)
        np.testing.assert_allclose([low[longer], high[longer]], [-0.5, 255.5], atol=1e-6)
        assert (low >= -0.5 - 1e-6).all()
        assert (high <= 255.5 + 1e-6).all()

    def test_inside_image(self):
        boxes = np.array(
            [
                [-10, -10, -0.5, 5],
                [-10, -10, 0.5, 5],
                [99.5, 0, 120, 5],
                [99, 0, 120, 5],
                [0, 59.5, 5, 70],
                [-9, -9, 200, 200],
            ]
        )
        assert inside_image(boxes, 100, 60).tolist() == [False, True, False, True, False, True]


class TestWhole:
    def test_box_and_crop(self):
        people = make_finder("whole")(PHOTO, "a.jpg")
        np.testing.assert_array_equal(people.boxes, [[-0.5, -0.5, 99.5, 59.5]])
        np.testing.assert_array_equal(people.centers, [[49.5, 29.5]])
        np.testing.assert_array_equal(people.sides, [100])
        assert people.scores.tolist() == [1]
        assert people.outside == 0


class TestSuppression:
    def test_by_hand(self):
        boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 4]], float)
        kept, support = suppress_overlaps(boxes, np.array([0.5, 0.9, 0.7, 0.1]), 0.5)
        assert kept.tolist() == [1, 2, 3]  # box 0 shares 90 of 100 with box 1, box 3 only 40 of 90
        assert support.tolist() == [2, 1, 1]

    def test_nothing(self):
        kept, support = suppress_overlaps(np.zeros((0, 4)), np.zeros(0), 0.5)
        assert len(kept) == len(support) == 0

    @given(st.integers(0, 2**32 - 1), st.integers(1, 30))
    def test_all_accounted_for_and_best_first(self, seed, count):
        rng = np.random.default_rng(seed)
        corners = rng.uniform(0, 50, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (count, 2))], axis=1)
        scores = rng.uniform(size=count)
        kept, support = suppress_overlaps(boxes, scores, 0.5)
        assert support.sum() == count
        assert (np.diff(scores[kept]) <= 0).all()
        assert kept[0] == scores.argmax()


class TestHog:
    def test_blank_photos_of_any_shape_hold_nobody(self):
        finder = make_finder("hog")
        for shape in ((8, 8), (8, 3000), (3000, 8), (1200, 900)):
            people = finder(np.full((*shape, 3), 127, np.uint8), "x")
            assert people.boxes.shape == (0, 4)
            assert people.centers.shape == (0, 2)
            assert people.sides.shape == people.scores.shape == (0,)

    def test_finds_the_standing_players(self):
        path = DATA / "mpii/test_images/078618267.jpg"
        if not path.is_file():
            pytest.skip("../shared/data is not here")
        people = make_finder("hog")(read_image(path), path.name)
        assert (np.diff(people.scores) <= 0).all()
        assert people.boxes.dtype == people.scores.dtype == np.float32
        # Hair and shoes of the two who stand, read off the photo: x, top and bottom.
        for box, (x, top, bottom) in zip(people.boxes, [(1040, 527, 895), (565, 505, 930)], strict=False):
            assert (box[0] + box[2]) / 2 == pytest.approx(x, abs=40)
            assert [box[1], box[3]] == pytest.approx([top, bottom], abs=40)

    def test_boxes_follow_the_photo_when_it_is_doubled(self):
        path = DATA / "mpii/test_images/078618267.jpg"
        if not path.is_file():
            pytest.skip("../shared/data is not here")
        photo = read_image(path, shrink=2)
        one = make_finder("hog")(photo, "a").boxes
        two = make_finder("hog")(photo.repeat(2, axis=0).repeat(2, axis=1), "a").boxes
        assert np.abs((one[0] + 0.5) * 2 - 0.5 - two[0]).max() < 12

    def test_threshold(self):
        path = DATA / "mpii/test_images/078618267.jpg"
        if not path.is_file():
            pytest.skip("../shared/data is not here")
        photo = read_image(path)
        assert len(make_finder("hog", score_threshold=100)(photo, "a").boxes) == 0
        assert len(make_finder("hog", score_threshold=0)(photo, "a").boxes) > len(make_finder("hog")(photo, "a").boxes)

    def test_an_opencv_without_the_detector(self, monkeypatch):
        person_boxes._hog.cache_clear()
        monkeypatch.delattr(person_boxes.cv2, "HOGDescriptor")
        assert "4.x" in refusal("hog")


class TestDetector:
    def test_offline_says_which_file_goes_where(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
        message = refusal("detect")
        assert "fasterrcnn_mobilenet_v3_large_fpn" in message
        assert str(tmp_path / "hub" / "checkpoints") in message
        assert "--person_box hog" in message

    def test_damaged_weights(self, monkeypatch, tmp_path):
        cached_weights(monkeypatch, tmp_path).write_bytes(b"damaged")
        assert "is damaged" in refusal("detect")

    def test_other_weights(self, monkeypatch, tmp_path):
        torch.save({"a": torch.zeros(1)}, cached_weights(monkeypatch, tmp_path))
        assert "no weights of this detector" in refusal("detect")

    def test_pickled_code_is_not_run(self, monkeypatch, tmp_path):
        class Bomb:
            def __reduce__(self):
                return exec, (f"open({str(tmp_path / 'ran')!r}, 'w').close()",)

        torch.save({"a": Bomb()}, cached_weights(monkeypatch, tmp_path))
        refusal("detect")
        assert not (tmp_path / "ran").exists()

    def test_runs_from_cached_weights(self, monkeypatch, tmp_path):
        from torchvision.models import detection

        torch.manual_seed(0)
        model = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
        with torch.no_grad():  # every region becomes a person
            model.roi_heads.box_predictor.cls_score.bias.fill_(-20)[1] = 20
        torch.save(model.state_dict(), cached_weights(monkeypatch, tmp_path))
        people = make_finder("detect")(PHOTO, "a.jpg")
        assert len(people.boxes) > 0
        assert people.boxes.dtype == np.float32
        assert (people.scores >= 0.7).all()
        assert people.boxes.min() >= -0.5
        assert (people.boxes <= [99.5, 59.5, 99.5, 59.5]).all()


def unreachable(*_args, **_kwargs):
    raise urllib.error.URLError("no network")


def cached_weights(monkeypatch, folder: Path) -> Path:
    from torchvision.models.detection import FasterRCNN_MobileNet_V3_Large_FPN_Weights as Weights

    monkeypatch.setenv("TORCH_HOME", str(folder))
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    return checkpoints / Weights.DEFAULT.url.rsplit("/", 1)[-1]


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
    assert "choose whole, hog, detect or a JSON file" in refusal("nothing-like-it.json")
    assert "a folder" in refusal(str(tmp_path))
