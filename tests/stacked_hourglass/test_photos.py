"""People of photos and videos on their way to a predictor: crops, loaders, tracks, full batches."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stacked_hourglass.finding.boxes import make_finder
from stacked_hourglass.finding.finder import FoundPeople, PersonFinder, WholeImage
from stacked_hourglass.finding.photo_crops import FoundBefore, PhotoCrops, PhotoPeople, VideoCrops, crop_people
from stacked_hourglass.photos import cropped_photos, follow, photo_loader, predict_photos
from utils.imaging.image_sources import open_source
from utils.imaging.images import ImageError, apply_affine


class FixedPeople(PersonFinder):
    """Finds a person at each of these crops (x, y, side), whatever the photo shows."""

    def __init__(self, *crops: tuple[float, float, float]) -> None:
        self.crops = np.array(crops, dtype=np.float64).reshape(-1, 3)

    def __call__(self, image: np.ndarray, name: str) -> FoundPeople:
        count = len(self.crops)
        boxes, scores = np.full((count, 4), 1, np.float32), np.full(count, 0.5, np.float32)
        return FoundPeople(boxes, scores, self.crops[:, :2], self.crops[:, 2], outside=1)


def write_video(path: Path, frames: int) -> Path:
    """Frame k has level 20 k, up to white."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), min(20 * number, 255), np.uint8))
    writer.release()
    return path


# ------------------------------------------------------------------------------------------ crops of people
class TestCrops:
    def test_crop_without_scaling_is_a_window_of_the_photo(self):
        image = np.random.default_rng(0).integers(0, 256, (300, 320, 3), dtype=np.uint8)
        found = crop_people("a.jpg", image, FixedPeople((137.5, 147.5, 256)))
        np.testing.assert_array_equal(found.crops[0], image[20:276, 10:266])
        np.testing.assert_allclose(found.to_photo[0], [[1, 0, 10], [0, 1, 20]], atol=1e-5)
        assert (found.name, found.size, found.outside, found.error) == ("a.jpg", (320, 300), 1, None)

    def test_every_person_has_a_crop_and_its_way_back(self):
        image = np.zeros((400, 500, 3), np.uint8)
        image[90:110, 190:210] = 255
        found = crop_people("a.jpg", image, FixedPeople((200, 100, 128), (150, 80, 512)))
        assert len(found) == 2
        for crop, to_photo in zip(found.crops, found.to_photo, strict=True):
            y, x = np.nonzero(crop[..., 0] > 127)
            middle = apply_affine(to_photo.astype(float), np.array([[x.mean(), y.mean()]]))[0]
            np.testing.assert_allclose(middle, [199.5, 99.5], atol=0.6)

    def test_nobody_there(self):
        found = crop_people("a.jpg", np.zeros((40, 50, 3), np.uint8), FixedPeople())
        assert len(found) == 0
        assert found.crops.shape == (0, 256, 256, 3)
        assert found.to_photo.shape == (0, 2, 3)
        assert found.error is None

    def test_photo_that_cannot_be_read(self):
        found = crop_people("a.jpg", ImageError("a.jpg: why"), FixedPeople((1, 1, 9)))
        assert len(found) == len(found.boxes) == len(found.to_photo) == 0
        assert found.error == "a.jpg: why"

    def test_finder_before_knows_photos_by_name(self):
        images = [("a", np.zeros((9, 20, 3), np.uint8)), ("b", ImageError("b: bad")), ("c", np.zeros((30, 9, 3)))]
        finder = FoundBefore(WholeImage(), images)
        assert finder(np.zeros((1, 1, 3)), "a").sides == [20]
        assert finder(np.zeros((1, 1, 3)), "c").sides == [30]


def whole_images(source, workers: int):
    return photo_loader(source, make_finder("whole"), workers)


class TestLoader:
    def test_photos_in_order(self, tiny_mpii):
        source = open_source(tiny_mpii / "images")
        loader = whole_images(source, workers=2)
        assert isinstance(loader.dataset, PhotoCrops)
        assert [photo.name for photo in loader] == source.names()

    @pytest.mark.parametrize("workers", [0, 3])
    def test_frames_once_and_in_order_whatever_the_workers(self, tmp_path, workers):
        loader = whole_images(open_source(write_video(tmp_path / "clip.avi", 6)), workers)
        assert isinstance(loader.dataset, VideoCrops)
        assert loader.num_workers == min(workers, 1)
        photos = list(loader)
        assert [photo.name for photo in photos] == [f"clip/{number:06d}" for number in range(6)]
        levels = [photo.crops[0][128, 128].mean() for photo in photos]
        np.testing.assert_allclose(levels, 20 * np.arange(6), atol=4)

    @pytest.mark.parametrize("kind", ["photos", "video"])
    @pytest.mark.parametrize("device", ["cpu", "meta"])
    def test_threads_give_what_workers_give(self, tmp_path, tiny_mpii, kind, device):
        source = open_source(tiny_mpii / "images" if kind == "photos" else write_video(tmp_path / "clip.avi", 6))
        expected = list(whole_images(source, 1))
        found = list(cropped_photos(source, make_finder("whole"), 0, 4, torch.device(device)))
        assert [photo.name for photo in found] == [photo.name for photo in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.crops, other.crops)

    @pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
    def test_photos_do_not_hold_files_open(self, tmp_path):
        """A tensor from a worker is an open file, of which a process may have a thousand: too few for a video."""
        loader = whole_images(open_source(write_video(tmp_path / "clip.avi", 30)), 1)
        before = len(os.listdir("/proc/self/fd"))
        kept = list(loader)
        assert len(kept) == 30
        assert len(os.listdir("/proc/self/fd")) < before + 10


# ------------------------------------------------------------------------------------------ batches
def person_of(name: str, people: int, error: str | None = None) -> PhotoPeople:
    """A photo whose k-th crop has the level 10 × its number + k."""
    levels = 10 * int(name) + np.arange(people)
    crops = np.broadcast_to(levels[:, None, None, None], (people, 256, 256, 3)).astype(np.uint8)
    to_photo = np.zeros((people, 2, 3), np.float32)
    return PhotoPeople(name, crops, to_photo, np.empty((people, 4)), np.empty(people), error=error)


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [(1, [1] * 9), (3, [3, 3, 1, 2]), (4, [4, 3, 2]), (100, [9])],
    ids=["one", "three", "four", "all"],
)
def test_people_of_several_photos_share_batches(batch_size, expected):
    sizes = []

    def predictor(crops, to_photo):
        assert crops.shape[1:] == (3, 256, 256)
        if len(crops):
            sizes.append(len(crops))
        levels = crops[:, :1, 0, 0].float()
        return levels[:, :, None].expand(-1, 16, 2), levels.expand(-1, 16), levels[:, :, None].expand(-1, 17, 3)

    people = [0, 2, 0, 0, 5, 1, 0, 1, 0]
    photos = [person_of(str(i), count, "bad" if i == 3 else None) for i, count in enumerate(people)]
    found = list(predict_photos(predictor, iter(photos), batch_size))
    assert [photo for photo, *_ in found] == photos
    for photo, joints, scores, joints_3d in found:
        assert joints.shape == (len(photo), 16, 2)
        assert joints_3d.shape == (len(photo), 17, 3)
        levels = photo.crops[:, 0, 0, 0].tolist()
        assert joints[:, 0, 0].tolist() == scores[:, 0].tolist() == joints_3d[:, 16, 2].tolist() == levels
    assert sizes == expected


def test_no_photos_no_batches():
    assert list(predict_photos(None, iter([]), 4)) == []


# ------------------------------------------------------------------------------------------ tracks
class TestTracks:
    def frame(self, *left_edges: float) -> PhotoPeople:
        """People 10 px wide whose crop has the level of their left edge."""
        edges = np.array(left_edges, dtype=np.float32)
        boxes = np.stack([edges, 0 * edges, edges + 10, 0 * edges + 20], axis=1)
        crops = np.broadcast_to(edges.astype(np.uint8)[:, None, None, None], (len(edges), 256, 256, 3))
        return PhotoPeople("clip/000000", crops, np.zeros((len(edges), 2, 3)), boxes, edges / 100)

    def test_people_of_a_video_come_in_the_order_of_their_tracks(self, tmp_path):
        source = open_source(write_video(tmp_path / "clip.avi", 3))
        frames = [self.frame(50, 10), self.frame(12, 51, 90), self.frame(), self.frame(91, 14)]
        followed = list(follow(frames, source))
        assert [frame.tracks.tolist() for frame in followed] == [[0, 1], [0, 1, 2], [], [0, 2]]
        assert [frame.boxes[:, 0].tolist() for frame in followed] == [[10, 50], [12, 51, 90], [], [14, 91]]
        for frame in followed:
            assert frame.crops[:, 0, 0, 0].tolist() == frame.boxes[:, 0].tolist()
            np.testing.assert_allclose(frame.box_scores, frame.boxes[:, 0] / 100)

    def test_people_of_photos_stay_as_they_were_found(self, tiny_mpii):
        frames = [self.frame(50, 10)]
        assert list(follow(frames, open_source(tiny_mpii / "images"))) == frames
        assert frames[0].tracks is None
