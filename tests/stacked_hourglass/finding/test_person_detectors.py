"""Detectors of people: YOLOX-Nano, HOG, torchvision's."""

import json
import urllib.error
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from finders import cached_weights, refusal
from hypothesis import given
from hypothesis import strategies as st

from stacked_hourglass.finding import detectors as person_detectors
from stacked_hourglass.finding.boxes import make_finder
from stacked_hourglass.finding.detectors import suppress_overlaps
from stacked_hourglass.finding.tracking import overlaps
from utils.imaging.images import read_image

DATA = Path("../shared/data")
PHOTOS = Path("docs/photos")
PHOTO = np.zeros((60, 100, 3), np.uint8)


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


class TestYolox:
    def test_nobody_is_found_in_blank_photos_of_any_shape(self):
        finder = make_finder("yolox")
        for shape in ((1, 1), (8, 900), (900, 8), (1200, 900)):
            people = finder(np.full((*shape, 3), 127, np.uint8), "x")
            assert people.boxes.shape == (0, 4)
            assert people.sides.shape == people.scores.shape == (0,)

    def test_boxes_by_hand(self):
        finder = make_finder("yolox")
        output = np.zeros((4 * 8 + 2 * 4 + 1 * 2, 6), np.float32)  # grids of a picture of 32 x 64 px, strides 8, 16, 32
        output[9, :4] = 0.5, 0.25, np.log(2), np.log(4)  # grid 8, row 1, column 1: centre (12, 10), size 16 x 32
        output[-1, :4] = 0.5, 0.5, 0, 0  # grid 32, column 1: centre (48, 16), size 32 x 32
        boxes = finder._boxes(output, 32, 64)
        np.testing.assert_allclose(boxes[9], [4, -6, 20, 26], atol=1e-5)
        np.testing.assert_allclose(boxes[-1], [32, 0, 64, 32], atol=1e-5)

    def test_padding_keeps_the_photo_and_its_scale(self):
        photo = np.zeros((300, 1000, 3), np.uint8)
        padded, scale = make_finder("yolox")._scaled(photo)
        assert padded.shape == (160, 512, 3)  # 154 rows fill five cells of 32 px
        assert (padded[:154] == 0).all()
        assert (padded[154:] == 114).all()
        np.testing.assert_allclose(scale, [0.512, 154 / 300] * 2)

    def test_finds_the_astronaut_at_any_size(self):
        photo = read_image(PHOTOS / "astronaut.jpg")
        one = make_finder("yolox")(photo, "a")
        assert one.scores[0] > 0.8
        assert one.boxes.dtype == one.scores.dtype == np.float32
        np.testing.assert_allclose(one.boxes, [[13, 15, 391, 504]], atol=8)  # of 512 px; she is cut off at the left
        two = make_finder("yolox")(photo.repeat(2, axis=0).repeat(2, axis=1), "a")
        np.testing.assert_allclose((one.boxes + 0.5) * 2 - 0.5, two.boxes, atol=4)

    def test_threshold_and_order(self):
        photos = [read_image(PHOTOS / f"{name}.jpg") for name in ("astronaut", "photographer")]
        both = np.concatenate(photos, axis=1)
        people = make_finder("yolox")(both, "a")
        assert len(people.boxes) == 2
        assert (np.diff(people.scores) <= 0).all()
        assert len(make_finder("yolox", score_threshold=float(people.scores[1]) + 1e-4)(both, "a").boxes) == 1

    def test_missing_weights(self, monkeypatch, tmp_path):
        monkeypatch.setattr(person_detectors, "YOLOX_WEIGHTS", tmp_path / "gone.onnx")
        assert "gone.onnx is missing" in refusal("yolox")

    def test_finds_most_people_of_coco(self):
        """Of the people taller than a third of their photo at IoU 0.5; 68 of 76 when this was written."""
        if not (DATA / "coco_people").is_dir():
            pytest.skip("../shared/data is not here")
        content = json.loads((DATA / "coco_people/annotations/person_keypoints_val2017.json").read_text())
        truth = defaultdict(list)
        for entry in content["annotations"]:
            x, y, width, height = entry["bbox"]
            truth[entry["image_id"]].append([x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5])
        finder, found, tall, false, right = make_finder("yolox"), 0, 0, 0, 0
        for image in content["images"][:20]:
            photo = read_image(DATA / "coco_people/val2017" / image["file_name"])
            boxes, people = np.array(truth[image["id"]]), finder(photo, "a").boxes
            same = overlaps(boxes, people) >= 0.5
            high = boxes[:, 3] - boxes[:, 1] > len(photo) / 3
            found, tall = found + same[high].any(1).sum(), tall + high.sum()
            false, right = false + (~same.any(0)).sum(), right + same.any(0).sum()
        assert found > 0.8 * tall
        assert false < 0.5 * right  # some of them are people without annotation


class TestHog:
    def test_nobody_is_found_in_blank_photos_of_any_shape(self):
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
        person_detectors._hog.cache_clear()
        monkeypatch.delattr(person_detectors.cv2, "HOGDescriptor")
        assert "4.x" in refusal("hog")


class TestDetector:
    def test_offline_says_which_file_goes_where(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
        message = refusal("detect")
        assert "fasterrcnn_mobilenet_v3_large_fpn" in message
        assert str(tmp_path / "hub" / "checkpoints") in message
        assert "--person_box yolox" in message

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
