"""`run.py hourglass_mpii`: crops of found people, full batches, and what is written for which input."""

import json
import os
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from stacked_hourglass import run as run_module
from stacked_hourglass.annotations import load_mpii
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.person_boxes import FoundPeople, PersonFinder, WholeImage, make_finder
from stacked_hourglass.photo_crops import FoundBefore, FrameCrops, PhotoCrops, PhotoPeople, crop_people
from stacked_hourglass.run import hourglass_mpii, predict_photos
from utils.image_sources import open_source
from utils.image_utils import ImageError, apply_affine, read_image
from utils.osutils import UserError
from utils.prediction_utils import load_coco_results, load_metas, load_prediction_array, load_predictions
from utils.transform import MPII

pytestmark = pytest.mark.usefixtures("one_thread")


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


def photo_loader(source, workers: int):
    return run_module._photo_loader(source, make_finder("whole"), Namespace(workers=workers))


class TestLoader:
    def test_photos_in_order(self, tiny_mpii):
        source = open_source(tiny_mpii / "images")
        loader = photo_loader(source, workers=2)
        assert isinstance(loader.dataset, PhotoCrops)
        assert [photo.name for photo in loader] == source.names()

    @pytest.mark.parametrize("workers", [0, 3])
    def test_frames_once_and_in_order_whatever_the_workers(self, tmp_path, workers):
        loader = photo_loader(open_source(write_video(tmp_path / "clip.avi", 6)), workers)
        assert isinstance(loader.dataset, FrameCrops)
        assert loader.num_workers == min(workers, 1)
        photos = list(loader)
        assert [photo.name for photo in photos] == [f"clip/{number:06d}" for number in range(6)]
        levels = [photo.crops[0][128, 128].mean() for photo in photos]
        np.testing.assert_allclose(levels, 20 * np.arange(6), atol=4)

    @pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
    def test_photos_kept_are_not_files_kept_open(self, tmp_path):
        """A tensor from a worker is an open file, and a process may have a thousand: less than a short video."""
        loader = photo_loader(open_source(write_video(tmp_path / "clip.avi", 30)), 1)
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
        return levels[:, :, None].expand(-1, 16, 2), levels.expand(-1, 16)

    people = [0, 2, 0, 0, 5, 1, 0, 1, 0]
    photos = [person_of(str(i), count, "bad" if i == 3 else None) for i, count in enumerate(people)]
    found = list(predict_photos(predictor, iter(photos), Namespace(test_batch_size=batch_size)))
    assert [photo for photo, *_ in found] == photos
    for photo, joints, scores in found:
        assert joints.shape == (len(photo), 16, 2)
        assert joints[:, 0, 0].tolist() == scores[:, 0].tolist() == photo.crops[:, 0, 0, 0].tolist()
    assert sizes == expected


def test_no_photos_no_batches():
    assert list(predict_photos(None, iter([]), Namespace(test_batch_size=4))) == []


# ------------------------------------------------------------------------------------------ the script
def save_network(path: Path, **checkpoint: object) -> Path:
    """Random weights of a small network, in a checkpoint with these further entries."""
    torch.manual_seed(0)
    classes = checkpoint.pop("num_classes", 16)
    state = HourglassNet(Architecture(stacks=1, features=8, num_classes=classes)).state_dict()
    torch.save({"state_dict": state, **checkpoint}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("weights") / "network.pth")


@pytest.fixture
def run(weights: Path, tmp_path: Path, parse_options: Callable) -> Callable[..., Path]:
    """`run(DATA, …)`: the output folder of `run.py hourglass_mpii` on it, with random weights."""

    def run_on(data_dir: Path, *more: object, load: Path = weights, name: str = "out") -> Path:
        arguments = ["--load", load, "--data_dir", data_dir, "--output_dir", tmp_path / name, "--workers", 0, *more]
        hourglass_mpii(parse_options(*arguments, entry="run"))
        return tmp_path / name

    return run_on


def poses(folder: Path) -> dict[str, torch.Tensor]:
    return load_predictions(folder / "2d_pose_estimations.pt")


def write_photos(folder: Path, **sizes: tuple[int, int]) -> Path:
    """Photos of random blotches, name.png of (width, height)."""
    rng = np.random.default_rng(len(sizes))
    folder.mkdir(parents=True)
    for name, size in sizes.items():
        blotches = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        blotches.resize(size, Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    return folder


class TestAnnotatedPeople:
    def test_results_are_grouped_by_photo_in_the_order_of_the_annotations(self, tiny_mpii, run, capsys):
        output = run(tiny_mpii, "--run_with_train")
        training, _ = load_mpii(tiny_mpii)
        names = [path.name for path in training.image_paths]
        metas, truth = load_metas(output / "metas.pt"), load_predictions(output / "2d_pose_ground_truths.pt")
        assert list(metas) == list(truth) == list(poses(output)) == list(dict.fromkeys(names))
        for name, meta in metas.items():
            index = meta["annotation_index"]
            assert [names[i] for i in index] == [name] * len(index)
            expected = np.where(training.annotated[index][..., None], training.joints[index], np.nan)
            np.testing.assert_array_equal(truth[name], expected)
            assert meta["skeleton"] == "MPII"
        assert not (output / "preds_valid.mat").exists()
        out, err = capsys.readouterr()
        assert out.startswith("8 people in 7 photos")
        assert f"--img_dir {tiny_mpii / 'images'}" in out
        assert err == ""

    def test_array_is_in_validation_order(self, tiny_mpii, run):
        output = run(tiny_mpii)
        by_photo = torch.cat(list(poses(output).values()))
        array = load_prediction_array(output / "preds_valid.mat")
        np.testing.assert_allclose(array, by_photo, atol=1e-4)  # the sample's photos come in that order

    def test_photos_of_one_name_in_two_folders_stay_apart(self, tiny_mpii, tmp_path, run):
        folder = Path(shutil.copytree(tiny_mpii, tmp_path / "mpii"))
        entries = json.loads((folder / "mpii_annotations.json").read_text())
        for number, entry in enumerate(entry for entry in entries if entry["isValidation"]):
            part = folder / "images" / f"part_{number}"
            part.mkdir()
            shutil.copy(folder / "images" / entry["img_paths"], part / "photo.jpg")
            entry["img_paths"] = f"part_{number}/photo.jpg"
        (folder / "mpii_annotations.json").write_text(json.dumps(entries))
        found = poses(run(folder))
        assert list(found) == [f"part_{number}/photo.jpg" for number in range(4)]
        expected = torch.cat(list(poses(run(tiny_mpii, name="expected")).values()))
        torch.testing.assert_close(torch.cat(list(found.values())), expected, rtol=0, atol=1e-4)

    def test_results_do_not_depend_on_batches_and_workers(self, tiny_mpii, run):
        plain = torch.cat(list(poses(run(tiny_mpii)).values()))
        for more in (["--test_batch_size", 1], ["--test_batch_size", 3, "--workers", 2]):
            other = torch.cat(list(poses(run(tiny_mpii, *more)).values()))
            torch.testing.assert_close(other, plain, rtol=0, atol=1e-3)

    def test_network_of_the_first_joints(self, tiny_mpii, tmp_path, run):
        output = run(tiny_mpii, load=save_network(tmp_path / "ten.pth", num_classes=10))
        assert all(people.shape[1:] == (10, 2) for people in poses(output).values())
        assert load_prediction_array(output / "preds_valid.mat").shape == (4, 10, 2)
        assert load_metas(output / "metas.pt")["00009.jpg"]["skeleton"] == "MPII[:10]"

    def test_refusals(self, tiny_mpii, tmp_path, run):
        with pytest.raises(UserError, match=r"--person_box: .* has annotated people"):
            run(tiny_mpii, "--person_box", "whole")
        network = save_network(tmp_path / "lsp.pth", num_classes=14, skeleton="LSP")
        with pytest.raises(UserError, match="predicts LSP joints"):
            run(tiny_mpii, load=network)
        assert not (tmp_path / "out").exists()


class TestPhotos:
    def test_names_are_relative_paths(self, tmp_path, run):
        folder = write_photos(tmp_path / "photos", **{"b": (60, 80), "sub/b": (60, 80), "a": (90, 70)})
        output = run(folder)
        assert list(poses(output)) == ["a.png", "b.png", "sub/b.png"]
        assert load_metas(output / "metas.pt")["a.png"]["size"] == [90, 70]
        assert not torch.equal(poses(output)["b.png"], poses(output)["sub/b.png"])

    def test_joints_lie_in_the_photo(self, tmp_path, run):
        """The whole photo is the crop, so no joint is off by more than the black borders are wide."""
        folder = write_photos(tmp_path / "photos", wide=(200, 50), high=(40, 300))
        for name, people in poses(run(folder)).items():
            height, width = read_image(folder / name).shape[:2]
            margin = (max(width, height) - torch.tensor([width, height])) / 2
            assert (people > -0.5 - margin).all()
            assert (people < torch.tensor([width, height]) - 0.5 + margin).all()

    def test_people_of_a_box_file(self, tmp_path, run):
        folder = write_photos(tmp_path / "photos", a=(200, 150), b=(100, 100))
        boxes = [
            {"image": "a.png", "bbox": [10, 20, 30, 40], "score": 0.6},
            {"image": "a.png", "bbox": [50, 20, 80, 40], "score": 0.9},
            {"image": "b.png", "bbox": [0, 0, 100, 100]},
        ]
        (tmp_path / "boxes.json").write_text(json.dumps(boxes))
        output = run(folder, "--person_box", tmp_path / "boxes.json")
        meta = load_metas(output / "metas.pt")["a.png"]
        assert meta["boxes"].tolist() == [[49.5, 19.5, 129.5, 59.5], [9.5, 19.5, 39.5, 59.5]]
        assert meta["box_scores"].tolist() == pytest.approx([0.9, 0.6])
        both = poses(output)["a.png"]
        assert both.shape == (2, 16, 2)
        # Each pose lies in its own crop: 1.25 × the longer side about the middle of the box.
        assert (both[0] - torch.tensor([89.5, 39.5])).abs().max() <= 50
        assert (both[1] - torch.tensor([24.5, 39.5])).abs().max() <= 25
        results = load_coco_results(output / "predictions.json")
        torch.testing.assert_close(results.keypoints["a.png"].float(), both)
        assert results.scores["a.png"].shape == (2, 16)

    def test_nobody_found(self, tmp_path, run, capsys):
        output = run(write_photos(tmp_path / "photos", blotches=(80, 80)), "--person_box", "hog")
        assert poses(output)["blotches.png"].shape == (0, 16, 2)
        assert json.loads((output / "predictions.json").read_text()) == []
        out, err = capsys.readouterr()
        assert err == "warning: no person found in 1 photos (--person_box hog): blotches.png\n"
        assert out.startswith("0 people in 1 photos")

    def test_joint_order_is_the_networks(self, tmp_path, run, capsys):
        folder = write_photos(tmp_path / "photos", a=(80, 80))
        network = save_network(tmp_path / "lsp.pth", num_classes=14, skeleton="LSP")
        output = run(folder, load=network)
        assert poses(output)["a.png"].shape == (1, 14, 2)
        assert load_metas(output / "metas.pt")["a.png"]["skeleton"] == "LSP"
        assert "joints in LSP order" in capsys.readouterr().out

    def test_mean_of_the_checkpoint_is_subtracted(self, tmp_path, run):
        folder = write_photos(tmp_path / "photos", a=(80, 80))
        scores = []
        for mean in (0.1, 0.9):
            network = save_network(tmp_path / "network.pth", mean=[mean] * 3)
            scores.append(load_coco_results(run(folder, load=network) / "predictions.json").scores["a.png"])
        assert not torch.allclose(*scores)

    def test_people_of_a_detector_are_found_before_the_workers_start(self, tmp_path, run, monkeypatch):
        class Detector(FixedPeople):
            pass

        monkeypatch.setattr(run_module, "DetectorFinder", Detector)
        monkeypatch.setattr(run_module, "make_finder", lambda kind, device: Detector((40, 40, 60), (20, 30, 40)))
        folder = write_photos(tmp_path / "photos", a=(80, 80), b=(90, 60))
        (folder / "c.png").write_bytes(b"")
        found = poses(run(folder, "--person_box", "detect", "--workers", 1))
        assert {name: len(people) for name, people in found.items()} == {"a.png": 2, "b.png": 2}

    def test_refusals(self, tmp_path, run):
        folder = write_photos(tmp_path / "photos", a=(80, 80))
        with pytest.raises(UserError, match=r"--run_with_train: .* has no annotations"):
            run(folder, "--run_with_train")
        with pytest.raises(UserError, match="--person_box hug: no such file; did you mean hog"):
            run(folder, "--person_box", "hug")
        with pytest.raises(UserError, match="--device cuda:99"):
            run(folder, "--device", "cuda:99")
        (tmp_path / "boxes.json").write_text(json.dumps({"other.png": [[0, 0, 9, 9]]}))
        with pytest.raises(UserError, match="none of its 1 images"):
            run(folder, "--person_box", tmp_path / "boxes.json")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", ["mpii", "photos"])
def test_options_reach_the_predictor(data, tiny_mpii, tmp_path, run, monkeypatch):
    seen = {}

    class Recorder(run_module.Predictor):
        def __init__(self, model, device, precision, flip, compiled):
            seen.update(device=device.type, precision=precision, flip=flip, compiled=compiled)
            super().__init__(model, device, precision, flip, False)

        def __call__(self, crops, to_photo):
            seen.setdefault("batch", len(crops))
            return super().__call__(crops, to_photo)

    monkeypatch.setattr(run_module, "Predictor", Recorder)
    folder = tiny_mpii if data == "mpii" else tiny_mpii / "images"
    run(folder, "--device", "cpu", "--precision", "bf16", "--flip", "--compile", "--test_batch_size", 3)
    assert seen == {"device": "cpu", "precision": "bf16", "flip": True, "compiled": True, "batch": 3}


def test_peak_of_a_known_joint_comes_out_where_it_is(tmp_path, run, monkeypatch):
    """A network that finds white: its joints are on the white spot of the photo, to 0.3 heat-map pixel."""

    class FindsWhite(torch.nn.Module):
        architecture, mean, skeleton = Architecture(), torch.zeros(3), "MPII"

        def forward(self, images):
            return [torch.nn.functional.avg_pool2d(images, 4)[:, :1].expand(-1, len(MPII), -1, -1)]

    monkeypatch.setattr(run_module, "load_hourglass", lambda *_: FindsWhite())
    ys, xs = np.indices((300, 400))
    spot = np.exp(-((xs - 123.0) ** 2 + (ys - 210.0) ** 2) / (2 * 6**2))
    (tmp_path / "photos").mkdir()
    Image.fromarray((255 * spot).round().astype(np.uint8)).save(tmp_path / "photos" / "spot.png")
    (tmp_path / "boxes.json").write_text(json.dumps({"spot.png": [[80, 160, 110, 100]]}))
    for side, more in ((400, []), (1.25 * 110, ["--person_box", tmp_path / "boxes.json"])):
        [pose] = poses(run(tmp_path / "photos", *more))["spot.png"]
        assert (pose - torch.tensor([123.0, 210.0])).abs().max() < 0.3 * side / 64
