"""`run.py hourglass_mpii`: what is written for which input."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call
from lsp_files import make
from PIL import Image
from tiny_checkpoints import levels

from stacked_hourglass import demo_weights, photos
from stacked_hourglass import run as run_module
from stacked_hourglass.annotations.lsp import load_lsp
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.finding.finder import PersonFinder
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.run import hourglass_mpii
from utils.imaging import camera_source
from utils.imaging.images import read_image
from utils.imaging.video_writer import write_video
from utils.osutils import UserError
from utils.predictions.coco_results import load_coco_results
from utils.predictions.prediction_arrays import load_prediction_array
from utils.predictions.prediction_files import load_metas, load_predictions
from utils.transform import LSP, MPII

pytestmark = pytest.mark.usefixtures("one_level")


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

    @pytest.mark.parametrize("joints", [14, 16])
    def test_people_of_lsp_have_their_truth(self, tmp_path, run, joints):
        """A network of LSP's joints, or of MPII's, which has the midpoint of the shoulders besides."""
        folder = make(tmp_path / "lsp", 4, extended=False)
        for path in folder.glob("images/*.jpg"):
            Image.new("RGB", (120, 90)).save(path)
        skeleton = LSP if joints == 14 else MPII
        output = run(folder, load=save_network(tmp_path / "some.pth", num_classes=joints, skeleton=skeleton.name))
        truth, lsp = load_predictions(output / "2d_pose_ground_truths.pt"), load_lsp(folder)[1]
        assert list(truth) == list(poses(output)) == ["images/im0003.jpg", "images/im0004.jpg"]
        shared = [name for name in LSP.joints if name in skeleton.joints]
        found = torch.cat(list(truth.values()))[:, skeleton.indices(shared)]
        np.testing.assert_array_equal(found, lsp.joints[:, LSP.indices(shared)])
        if joints == 16:
            middle = lsp.joints[:, LSP.indices(["r_shoulder", "l_shoulder"])].mean(1)
            np.testing.assert_allclose(torch.cat(list(truth.values()))[:, MPII.index("thorax")], middle)
        assert (output / "preds_valid.mat").exists() == (joints == 14)
        drawn = ["worst", "--predictions", output, "--output_dir", tmp_path / "worst"]
        assert "the 2 largest errors" in call("viz", *drawn).succeeded().out
        assert len(list((tmp_path / "worst").glob("00*.png"))) == 2

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

    def test_images_are_named_where_they_were_found(self, tiny_mpii, tmp_path, run, monkeypatch, capsys):
        """The founding readme's link: nothing in data/mpii, MPII in stacked_hourglass/data/mpii."""
        found = tmp_path / "stacked_hourglass" / "data" / "mpii"
        found.parent.mkdir(parents=True)
        found.symlink_to(tiny_mpii)
        monkeypatch.chdir(tmp_path)
        output = run(Path("data/mpii"))
        names = [path.name for path in load_mpii(tiny_mpii)[1].image_paths]
        assert list(poses(output)) == list(dict.fromkeys(names))
        assert "--img_dir stacked_hourglass/data/mpii/images " in capsys.readouterr().out

    def test_refusals(self, tiny_mpii, tmp_path, run):
        with pytest.raises(UserError, match=r"--max_frames 3: .* has annotated people"):
            run(tiny_mpii, "--max_frames", 3)
        with pytest.raises(UserError, match=r"--person_box whole: .* has annotated people"):
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
        """The crop is the whole photo, so joints lie within it and its black borders."""
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
        assert meta["img_dir"] == str(folder)
        assert meta["box_scores"].tolist() == pytest.approx([0.9, 0.6])
        both = poses(output)["a.png"]
        assert both.shape == (2, 16, 2)
        # Each pose lies in its own crop: 1.25 × the longer side about the middle of the box.
        assert (both[0] - torch.tensor([89.5, 39.5])).abs().max() <= 50
        assert (both[1] - torch.tensor([24.5, 39.5])).abs().max() <= 25
        results = load_coco_results(output / "predictions.json")
        torch.testing.assert_close(torch.from_numpy(results.keypoints["a.png"]).float(), both)
        assert results.scores["a.png"].shape == (2, 16)

    def test_the_summary_says_how_the_people_were_found(self, tiny_mpii, tmp_path, run, capsys):
        folder = write_photos(tmp_path / "photos", a=(80, 80))
        run(folder)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("1 person in 1 photo, ")
        finder = "people found by YOLOX-Nano (--person_box auto)"
        assert lines[1] == f"{finder}; nobody in 1 photo, taken whole, as one person each"
        (folder / "b.jpg").write_bytes(Path("docs/photos/astronaut.jpg").read_bytes())
        found = poses(run(folder, name="two"))
        assert {name: len(people) for name, people in found.items()} == {"a.png": 1, "b.jpg": 1}
        assert lines[1] in capsys.readouterr().out.splitlines()
        run(folder / "b.jpg", name="alone")
        assert finder in capsys.readouterr().out.splitlines()
        run(folder, "--person_box", "whole", name="asked")
        run(tiny_mpii, name="annotated")
        assert "found by" not in capsys.readouterr().out

    def test_nobody_found(self, tmp_path, run, capsys):
        output = run(write_photos(tmp_path / "photos", blotches=(80, 80)), "--person_box", "hog")
        assert poses(output)["blotches.png"].shape == (0, 16, 2)
        assert json.loads((output / "predictions.json").read_text()) == []
        out, err = capsys.readouterr()
        assert err == "warning: no person found in 1 photo (--person_box hog): blotches.png\n"
        assert out.startswith("0 people in 1 photo, ")
        assert "viz.py" not in out

    def test_frames_of_a_video_and_of_a_camera(self, tmp_path, run, monkeypatch, capsys):
        class Capture:
            def __init__(self):
                self.left = 3

            def read(self):
                self.left -= 1
                return self.left >= 0, np.full((48, 64, 3), 40, np.uint8)

            def isOpened(self):
                return True

            def get(self, _):
                return 3.0

            def release(self):
                pass

        monkeypatch.setattr(camera_source, "_open_capture", lambda place: Capture())
        with write_video(tmp_path / "clip.mp4", 3, (64, 48)) as write:
            for _ in range(3):
                write(np.full((48, 64, 3), 40, np.uint8))
        metas = load_metas(run(tmp_path / "clip.mp4", "--max_frames", 2, "--person_box", "whole") / "metas.pt")
        assert [(name, meta["tracks"], meta["fps"]) for name, meta in metas.items()] == [
            ("clip/000000", [0], 3.0), ("clip/000001", [0], 3.0),
        ]  # fmt: skip
        out = capsys.readouterr().out
        assert out.startswith("2 poses of 1 person in 2 frames, ")
        assert "draw them: " in out
        assert list(poses(run(Path("0"), "--person_box", "whole"))) == [f"camera_0/{number:06d}" for number in range(3)]
        out, err = capsys.readouterr()
        assert "draw them: " not in out
        assert err == "warning: camera 0 delivered no more frames after 3 frames\n"

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
        assert not np.allclose(*scores)

    def test_people_of_a_detector_are_found_before_the_workers_start(self, tmp_path, run, monkeypatch):
        class Detector(PersonFinder):
            needs_device = True

            def find(self, image, name):
                return np.array([[10, 10, 70, 70], [0, 10, 40, 50]], np.float32), np.ones(2, np.float32)

        monkeypatch.setattr(photos, "make_finder", lambda kind, device, whole_where_nobody: Detector())
        folder = write_photos(tmp_path / "photos", a=(80, 80), b=(90, 60))
        (folder / "c.png").write_bytes(b"")
        found = poses(run(folder, "--person_box", "detect", "--workers", 1))
        assert {name: len(people) for name, people in found.items()} == {"a.png": 2, "b.png": 2}

    def test_other_files_of_the_folder_are_named(self, tmp_path, run, capsys):
        folder = write_photos(tmp_path / "photos", a=(80, 80))
        (folder / "notes.txt").write_text("x")
        (folder / "clip.mp4").write_bytes(b"x")
        (folder / "b.jpg").write_bytes(b"x")
        assert list(poses(run(folder))) == ["a.png"]
        first, second = capsys.readouterr().err.splitlines()
        assert first == f"warning: 2 files of {folder} ignored, not photos by name: clip.mp4, notes.txt"
        assert second.startswith("warning: 1 of 2 photos unreadable, skipped: ")
        assert "b.jpg" in second

    def test_refusals(self, tmp_path, run):
        folder = write_photos(tmp_path / "photos", a=(80, 80))
        with pytest.raises(UserError, match="--max_frames 3: only for a video or a camera; .* holds photos"):
            run(folder, "--max_frames", 3)
        with pytest.raises(UserError, match=r"--run_with_train: .* has no annotations"):
            run(folder, "--run_with_train")
        with pytest.raises(UserError, match="--person_box hug: no such file; did you mean hog"):
            run(folder, "--person_box", "hug")
        with pytest.raises(UserError, match="--device cuda:99"):
            run(folder, "--device", "cuda:99")
        (tmp_path / "boxes.json").write_text(json.dumps({"other.png": [[0, 0, 9, 9]]}))
        with pytest.raises(UserError, match="no box is for an image here; it names other.png, the images are a.png"):
            run(folder, "--person_box", tmp_path / "boxes.json")
        assert not (tmp_path / "out").exists()


def test_the_people_of_a_video_are_smoothed(tmp_path, run, capsys):
    path = tmp_path / "clip.mp4"
    with write_video(path, 25, (64, 96)) as write:
        for level in (40, 120, 200, 90):
            write(np.full((96, 64, 3), level, np.uint8))
    raw, smooth = (
        run(path, "--person_box", "whole", *more, name=f"out{len(more)}") for more in ((), ("--smooth", "zero_phase"))
    )
    assert "smoothed by zero_phase: 0 poses filled" in capsys.readouterr().out
    for name, meta in load_metas(smooth / "metas.pt").items():
        torch.testing.assert_close(meta["raw_joints"], poses(raw)[name])
        assert not poses(smooth)[name].equal(poses(raw)[name])
        assert "raw_joints_3d" not in meta


def test_a_folder_in_python(tmp_path, weights):
    folder = write_photos(tmp_path / "photos", a=(80, 60))
    results = photos.find_poses(Predictor(load_hourglass(weights)), folder)
    assert results.joints["a.png"].shape == (1, 16, 2)
    assert results.people == 1


def test_without_a_checkpoint_the_demo_weights_are_used(tmp_path, parse_options, monkeypatch, capsys):
    folder = write_photos(tmp_path / "photos", a=(80, 80))
    arguments = "--data_dir", folder, "--output_dir", tmp_path / "out", "--workers", 0
    with levels(4):
        hourglass_mpii(parse_options(*arguments, entry="run"))
    assert "the demo weights" in capsys.readouterr().out
    assert load_metas(tmp_path / "out" / "metas.pt")["a.png"]["score_threshold"] > 0
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", tmp_path / "none.pth.tar")
    with pytest.raises(UserError, match="--load missing: give a checkpoint of train.py hourglass_mpii"):
        hourglass_mpii(parse_options(*arguments, entry="run"))


@pytest.mark.parametrize("data", ["mpii", "photos"])
def test_options_reach_the_predictor(data, tiny_mpii, tmp_path, run, monkeypatch):
    seen = {}

    class Recorder(run_module.Predictor):
        def __init__(self, model, precision, flip, compiled, decoding):
            super().__init__(model, precision, flip, False, decoding)
            seen.update(device=self.device.type, precision=precision, flip=flip, compiled=compiled, decoding=decoding)

        def __call__(self, crops, to_photo):
            seen.setdefault("batch", len(crops))
            return super().__call__(crops, to_photo)

    monkeypatch.setattr(run_module, "Predictor", Recorder)
    folder = tiny_mpii if data == "mpii" else tiny_mpii / "images"
    switches = ("--precision", "bf16", "--flip", "--compile", "--decoding", "dark")
    run(folder, "--device", "cpu", "--test_batch_size", 3, *switches)
    expected = {"device": "cpu", "precision": "bf16", "flip": True, "compiled": True, "decoding": "dark", "batch": 3}
    assert seen == expected


def test_peak_of_a_known_joint_comes_out_where_it_is(tmp_path, run, monkeypatch):
    """The joints of a network that finds white lie on the photo's white spot, to 0.3 heat-map pixels."""

    class FindsWhite(torch.nn.Module):
        architecture, mean, skeleton, score_threshold = Architecture(), torch.zeros(3), "MPII", 0.0

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
