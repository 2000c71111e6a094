"""From a folder of photos to a score, through the real command line: train, resume, run, score, draw."""

import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
import torch
from command_line import EXPERIMENT, ROOT, TRAINED_FILES, Experiment, call, files, spawn, train_arguments
from PIL import Image

from stacked_hourglass import evaluation
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.hourglass import Architecture, HourglassNet
from utils.imaging.draw2d import enlarge_small
from utils.imaging.image_sources import open_source
from utils.imaging.images import read_image
from utils.predictions.coco_results import load_coco_results
from utils.predictions.prediction_arrays import load_prediction_array
from utils.predictions.prediction_files import load_metas, load_predictions
from utils.training.log_files import read_log
from utils.transform import LSP, MPII, joint_map

DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def trained(tiny_mpii: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two epochs."""
    work = tmp_path_factory.mktemp("trained")
    spawn("train", *train_arguments(tiny_mpii, work, "--epochs", 2), cwd=work).succeeded()
    return Experiment(work)


@pytest.fixture(scope="module")
def resumed(trained: Experiment, tiny_mpii: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A copy of `trained`, resumed for a third epoch."""
    work = tmp_path_factory.mktemp("resumed")
    shutil.copytree(trained.work, work, dirs_exist_ok=True)
    arguments = train_arguments(tiny_mpii, work, "--resume", "--epochs", 3, workers=0)
    call("train", *arguments, cwd=work).succeeded()
    return Experiment(work)


@pytest.fixture(scope="module")
def annotated_run(trained: Experiment, tiny_mpii: Path) -> Path:
    """The output of run.py on the validation people."""
    output = trained.work / "annotated"
    call(
        "run", "hourglass_mpii", "--load", trained.checkpoint, "--data_dir", tiny_mpii, "--output_dir", output,
        "--device", "cpu", "--workers", 1, "--test_batch_size", 4,
    ).succeeded()  # fmt: skip
    return output


def run_on(data_dir: Path, trained: Experiment, output: Path, *more: object) -> dict[str, torch.Tensor]:
    """2D poses by image, from run.py in this process."""
    arguments = ["--load", trained.checkpoint, "--data_dir", data_dir, "--output_dir", output, "--workers", 0, *more]
    call("run", "hourglass_mpii", *arguments).succeeded()
    return load_predictions(output / "2d_pose_estimations.pt")


# ------------------------------------------------------------------------------------------ training
class TestTraining:
    def test_leaves_its_files_and_nothing_else(self, trained):
        assert files(trained.folder) == TRAINED_FILES
        events = files(trained.work / "tb" / EXPERIMENT)
        assert events
        assert all("events.out.tfevents" in name for name in events)
        assert {path.name for path in trained.work.iterdir()} - {"annotated"} == {"checkpoints", "tb"}

    def test_checkpoint_opens_safely_and_holds_what_rebuilds_the_network(self, trained):
        for name in ("checkpoint.pth.tar", "model_best.pth.tar"):
            checkpoint = torch.load(trained.folder / name, weights_only=True)
            assert checkpoint["script"] == "hourglass_mpii"
            assert checkpoint["options"]["features"] == 8
            assert {"format_version", "state_dict", "optimizer", "rng", "mean", "stddev"} <= set(checkpoint)
            assert all(0 < value < 1 for value in [*checkpoint["mean"], *checkpoint["stddev"]])
        assert torch.load(trained.checkpoint, weights_only=True)["epoch"] == 2

    def test_log_has_a_line_per_epoch(self, trained):
        rows = trained.log()
        assert [row["epoch"] for row in rows] == [1, 2]
        assert {"train/loss", "val/loss", "val/PCKh@0.5", "val/PCK@0.2", "lr"} <= set(rows[0])
        assert all(math.isfinite(value) for row in rows for value in row.values())

    def test_options_are_kept_in_full(self, trained):
        options = json.loads((trained.folder / "options.json").read_text())
        assert options["features"] == 8
        assert options["epochs"] == 2
        assert options["lr"] == 2.5e-4  # a default

    def test_predictions_are_for_every_validation_person(self, trained):
        preds = scipy.io.loadmat(trained.folder / "preds_valid.mat")["preds"]
        assert preds.shape == (4, 16, 2)
        assert np.isfinite(preds).all()

    def test_resume_continues(self, trained, resumed):
        assert resumed.log()[:2] == trained.log()
        assert [row["epoch"] for row in resumed.log()] == [1, 2, 3]
        assert torch.load(resumed.checkpoint, weights_only=True)["epoch"] == 3
        assert files(resumed.folder) == TRAINED_FILES

    def test_resumed_training_equals_one_without_a_break(self, resumed, tiny_mpii, tmp_path):
        call("train", *train_arguments(tiny_mpii, tmp_path, "--epochs", 3, workers=0), cwd=tmp_path).succeeded()
        through = torch.load(tmp_path / "checkpoints" / EXPERIMENT / "checkpoint.pth.tar", weights_only=True)
        broken = torch.load(resumed.checkpoint, weights_only=True)
        assert broken["best"] == pytest.approx(through["best"])
        for name, value in through["state_dict"].items():
            torch.testing.assert_close(broken["state_dict"][name], value, rtol=1e-4, atol=1e-5)

    def test_evaluate_prints_the_metrics_of_the_log(self, resumed, tiny_mpii, tmp_path):
        arguments = train_arguments(tiny_mpii, tmp_path, "--evaluate", "--load", resumed.checkpoint, workers=0)
        result = call("train", *arguments, cwd=tmp_path).succeeded()
        printed = dict(line.split("\t") for line in result.out.splitlines() if line.count("\t") == 1)
        expected = {name[4:]: value for name, value in resumed.log()[-1].items() if name.startswith("val/")}
        assert {name: float(value) for name, value in printed.items()} == pytest.approx(expected, rel=1e-4)
        assert files(tmp_path / "checkpoints" / EXPERIMENT) == ["preds_valid.mat"]
        assert not (tmp_path / "tb").exists()

    def test_a_new_run_under_an_old_name_keeps_the_old_one(self, trained, tiny_mpii, tmp_path):
        shutil.copytree(trained.work / "checkpoints", tmp_path / "checkpoints")
        arguments = train_arguments(tiny_mpii, tmp_path, "--epochs", 1, workers=0)
        result = call("train", *arguments, cwd=tmp_path).succeeded()
        old = tmp_path / "checkpoints" / f"{EXPERIMENT}.old"
        assert str(old) in result.err
        assert (old / "log.txt").read_text() == (trained.folder / "log.txt").read_text()
        assert len(read_log(tmp_path / "checkpoints" / EXPERIMENT / "log.txt")[1]) == 1


# ------------------------------------------------------------------------------------------ run and score
class TestRunOnAnnotatedPeople:
    def test_writes_its_files(self, annotated_run):
        assert files(annotated_run) == [
            "2d_pose_estimations.pt", "2d_pose_ground_truths.pt", "metas.pt", "predictions.json", "preds_valid.mat",
        ]  # fmt: skip

    def test_predicts_what_the_training_did(self, trained, annotated_run):
        at_training, at_run = (load_prediction_array(f / "preds_valid.mat") for f in (trained.folder, annotated_run))
        np.testing.assert_allclose(at_run, at_training, rtol=0, atol=1e-4)

    def test_two_people_of_one_photo_are_both_there(self, annotated_run, tiny_mpii):
        _, people = load_mpii(tiny_mpii)
        array = load_prediction_array(annotated_run / "preds_valid.mat")
        poses = load_predictions(annotated_run / "2d_pose_estimations.pt")
        names = [path.name for path in people.image_paths]
        assert list(poses) == list(dict.fromkeys(names))
        shared = next(name for name in names if names.count(name) == 2)
        of_shared = [index for index, name in enumerate(names) if name == shared]
        assert len(poses[shared]) == 2
        assert not torch.equal(*poses[shared])
        np.testing.assert_allclose(poses[shared], array[of_shared], atol=1e-3)
        assert load_metas(annotated_run / "metas.pt")[shared]["annotation_index"] == of_shared

    def test_ground_truth_is_the_annotation(self, annotated_run, tiny_mpii):
        _, people = load_mpii(tiny_mpii)
        truth = load_predictions(annotated_run / "2d_pose_ground_truths.pt")
        found = torch.cat(list(truth.values())).numpy()
        assert (np.isfinite(found).all(axis=2) == people.annotated).all()
        np.testing.assert_array_equal(found[people.annotated], people.joints[people.annotated])

    def test_json_holds_the_same_in_coco_form(self, annotated_run):
        poses = load_predictions(annotated_run / "2d_pose_estimations.pt")
        records = json.loads((annotated_run / "predictions.json").read_text())
        assert len(records) == 4
        assert [record["person"] for record in records].count(1) == 1
        assert all(record["category_id"] == 1 and len(record["keypoints"]) == 48 for record in records)
        for name, keypoints in load_coco_results(annotated_run / "predictions.json").keypoints.items():
            torch.testing.assert_close(torch.from_numpy(keypoints).float(), poses[name])

    def test_run_with_train_adds_the_training_people(self, trained, tiny_mpii, tmp_path):
        poses = run_on(tiny_mpii, trained, tmp_path / "out", "--run_with_train")
        assert sum(map(len, poses.values())) == 8
        assert "preds_valid.mat" not in files(tmp_path / "out")

    def test_scores_do_not_depend_on_the_kind_of_file(self, trained, annotated_run, tiny_mpii, tmp_path, monkeypatch):
        monkeypatch.setattr(evaluation, "draw_pckh_curves", lambda curves, output_dir: None)  # slow
        call(
            "eval", "mpii_PCKh", "--data_dir", tiny_mpii, "--output_dir", tmp_path / "scores", "--prediction_files",
            annotated_run / "preds_valid.mat", annotated_run / "2d_pose_estimations.pt",
            annotated_run / "predictions.json", "--model_names", "mat", "pt", "json",
        ).succeeded()  # fmt: skip
        scores = json.loads((tmp_path / "scores" / "pckh.json").read_text())
        assert list(scores) == ["mat", "pt", "json"]
        for metric, rates in scores["mat"].items():
            assert rates == pytest.approx(scores["pt"][metric])
            assert rates == pytest.approx(scores["json"][metric])
        assert scores["mat"]["PCKh@0.5"]["mean"] == pytest.approx(trained.log()[-1]["val/PCKh@0.5"], abs=0.5)


class TestOptionsOfRun:
    def test_flip_test_changes_the_poses(self, trained, annotated_run, tiny_mpii, tmp_path):
        flipped = run_on(tiny_mpii, trained, tmp_path / "out", "--flip")
        plain = load_predictions(annotated_run / "2d_pose_estimations.pt")
        assert flipped.keys() == plain.keys()
        assert any(not torch.allclose(flipped[name], plain[name], atol=0.5) for name in plain)

    @pytest.mark.usefixtures("bf16_cpu")
    def test_bf16_is_close_to_fp32(self, trained, annotated_run, tiny_mpii, tmp_path):
        run_on(tiny_mpii, trained, tmp_path / "out", "--precision", "bf16")
        plain, low = (load_coco_results(f / "predictions.json") for f in (annotated_run, tmp_path / "out"))
        scores = [torch.from_numpy(np.concatenate(list(results.scores.values()))) for results in (plain, low)]
        points = [torch.from_numpy(np.concatenate(list(results.keypoints.values()))) for results in (plain, low)]
        assert not torch.equal(*scores)
        torch.testing.assert_close(*scores, rtol=0.05, atol=0.02)
        # Peaks of a network that saw 16 crops are flat, so some joints may jump; most must not.
        distance = torch.linalg.vector_norm(points[0] - points[1], dim=-1)
        assert distance.median() < 3


# ------------------------------------------------------------------------------------------ photos and videos
class TestRunOnPhotos:
    def test_boxes_of_the_annotations_give_the_annotated_poses(self, trained, annotated_run, tiny_mpii, tmp_path):
        _, people = load_mpii(tiny_mpii)
        boxes: dict[str, list] = {}
        for path, center, side in zip(people.image_paths, people.center, people.side, strict=True):
            width = float(side) / 1.25  # the crop leaves a margin about the box
            corner = center.astype(float) + 0.5 - width / 2  # COCO's frame
            boxes.setdefault(path.name, []).append([*corner.tolist(), width, width])
        (tmp_path / "boxes.json").write_text(json.dumps(boxes))
        found = run_on(tiny_mpii / "images", trained, tmp_path / "out", "--person_box", tmp_path / "boxes.json")
        for name, expected in load_predictions(annotated_run / "2d_pose_estimations.pt").items():
            torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-3)

    def test_a_folder_of_photos_and_one_photo_of_it(self, trained, tiny_mpii, tmp_path):
        folder = tiny_mpii / "images"
        found = run_on(folder, trained, tmp_path / "all", "--person_box", "whole")
        assert list(found) == sorted(path.name for path in folder.iterdir())
        assert all(poses.shape == (1, 16, 2) for poses in found.values())
        assert files(tmp_path / "all") == ["2d_pose_estimations.pt", "metas.pt", "predictions.json"]
        for name, meta in load_metas(tmp_path / "all" / "metas.pt").items():
            height, width = read_image(folder / name).shape[:2]
            assert meta["size"] == [width, height]
            assert meta["boxes"].tolist() == [[-0.5, -0.5, width - 0.5, height - 0.5]]

        name = "00003.jpg"
        alone = run_on(folder / name, trained, tmp_path / "one", "--person_box", "whole")
        assert list(alone) == [name]
        torch.testing.assert_close(alone[name], found[name], rtol=0, atol=1e-3)

    def test_published_weights_need_no_option_but_their_path(self, tiny_mpii, tmp_path):
        torch.manual_seed(0)
        model = HourglassNet(Architecture(stacks=2, features=16))
        torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, tmp_path / "hg2.pth")
        arguments = ["--data_dir", tiny_mpii / "images" / "00001.jpg", "--output_dir", tmp_path / "out"]
        call("run", "hourglass_mpii", "--load", tmp_path / "hg2.pth", *arguments, "--workers", 0).succeeded()
        assert load_predictions(tmp_path / "out" / "2d_pose_estimations.pt")["00001.jpg"].shape == (1, 16, 2)


FRAMES = 5


@pytest.fixture(scope="module")
def clip(tiny_mpii: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a photo that moves to the left."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    photo = cv2.imread(str(tiny_mpii / "images" / "00001.jpg"))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 320))
    for frame in range(FRAMES):
        writer.write(photo[:320, 12 * frame : 12 * frame + 320])
    writer.release()
    return path


@pytest.fixture(scope="module")
def video_run(clip: Path, trained: Experiment) -> Path:
    """The output of run.py on it. Two workers are asked for: one must read the stream alone."""
    output = clip.parent / "out"
    call(
        "run", "hourglass_mpii", "--load", trained.checkpoint, "--data_dir", clip, "--output_dir", output,
        "--workers", 2, "--test_batch_size", 2, "--person_box", "whole",
    ).succeeded()  # fmt: skip
    return output


class TestVideo:
    def test_every_frame_once_in_order(self, video_run, clip, trained, tmp_path):
        names = [f"clip/{number:06d}" for number in range(FRAMES)]
        found = load_predictions(video_run / "2d_pose_estimations.pt")
        assert list(found) == names
        assert list(load_metas(video_run / "metas.pt")) == names
        assert [record["image"] for record in json.loads((video_run / "predictions.json").read_text())] == names

        for number, (_, frame) in enumerate(open_source(clip)):
            Image.fromarray(frame).save(tmp_path / f"{number}.png")
        as_photos = run_on(tmp_path, trained, tmp_path / "out", "--person_box", "whole")
        for expected, poses in zip(as_photos.values(), found.values(), strict=True):
            torch.testing.assert_close(poses, expected, rtol=0, atol=1e-3)

    def test_overlay_of_a_video(self, video_run, clip, tmp_path):
        arguments = ["--img_dir", clip, "--2d_pose_estimations", video_run / "2d_pose_estimations.pt"]
        result = call("viz", "2d_overlay", *arguments, "--output_dir", tmp_path).succeeded()
        assert result.err == ""
        assert files(tmp_path) == [*(f"clip/{n:06d}.png" for n in range(FRAMES)), "contact_sheet.png"]


# ------------------------------------------------------------------------------------------ pictures
def test_overlay_of_photos(annotated_run, tiny_mpii, tmp_path):
    arguments = ["--img_dir", tiny_mpii / "images", "--2d_pose_estimations", annotated_run / "2d_pose_estimations.pt"]
    call("viz", "2d_overlay", *arguments, "--output_dir", tmp_path).succeeded()
    names = list(load_predictions(annotated_run / "2d_pose_estimations.pt"))
    assert files(tmp_path) == [*names, "contact_sheet.png"]
    for name in names:
        photo, drawn = read_image(tiny_mpii / "images" / name), read_image(tmp_path / name)
        plain, _ = enlarge_small(photo)
        beside = drawn[: plain.shape[0], : plain.shape[1]]
        assert (np.abs(plain.astype(int) - beside).max(axis=2) > 60).sum() > 50, "nothing was drawn"


def test_training_curves(trained, resumed, tmp_path):
    arguments = ["--load", trained.folder, resumed.folder, "--output_dir", tmp_path]
    result = call("viz", "training_curves", *arguments).succeeded()
    assert "PCKh@0.5" in result.out
    assert files(tmp_path) == ["training_curves.pdf", "training_curves.png"]
    assert read_image(tmp_path / "training_curves.png").std() > 5


# ------------------------------------------------------------------------------------------ other data
def test_train_on_lsp_extended(tiny_mpii, tmp_path):
    """A folder in LSP-extended's own layout, of the rendered people: 14 × 3 × N, one-based."""
    training, _ = load_mpii(tiny_mpii)
    order, count = joint_map(MPII, LSP), 16
    (tmp_path / "lsp" / "images").mkdir(parents=True)
    joints = np.zeros((count, 14, 3))
    for index in range(count):
        person = index % len(training)
        shutil.copy(training.image_paths[person], tmp_path / "lsp" / "images" / f"im{index + 1:05d}.jpg")
        marked = training.annotated[person][order]
        joints[index, marked] = np.column_stack([training.joints[person][order] + 1, np.ones(14)])[marked]
    scipy.io.savemat(tmp_path / "lsp" / "joints.mat", {"joints": joints.transpose(1, 2, 0)})

    arguments = train_arguments(tmp_path / "lsp", tmp_path, "--epochs", 1, workers=0)
    result = call("train", "hourglass_lsp", *arguments[1:], cwd=tmp_path).succeeded()
    assert "LSP-extended alone" in result.warnings()[0]
    folder = tmp_path / "checkpoints" / "hourglass_lsp_tiny"
    assert files(folder) == TRAINED_FILES
    assert load_prediction_array(folder / "preds_valid.mat").shape == (2, 14, 2)
    assert torch.load(folder / "checkpoint.pth.tar", weights_only=True)["skeleton"] == "LSP"

    arguments = ["--load", folder, "--data_dir", tmp_path / "lsp" / "images" / "im00001.jpg", "--workers", 0]
    call("run", "hourglass_mpii", *arguments, "--output_dir", tmp_path / "out").succeeded()
    assert load_metas(tmp_path / "out" / "metas.pt")["im00001.jpg"]["skeleton"] == "LSP"
    assert load_predictions(tmp_path / "out" / "2d_pose_estimations.pt")["im00001.jpg"].shape == (1, 14, 2)


def test_scores_of_the_real_mpii_file(tmp_path, monkeypatch):
    if not DATA.is_dir():
        pytest.skip("../shared/data is not here")
    monkeypatch.setattr(evaluation, "draw_pckh_curves", lambda curves, output_dir: None)  # slow
    path = DATA / "mpii" / "detections_our_format.mat"
    arguments = ["--data_dir", path.parent, "--prediction_files", path, "--output_dir", tmp_path]
    result = call("eval", "mpii_PCKh", *arguments, "--model_names", "theirs").succeeded()
    expected = {
        "head": 95.60, "shoulder": 92.71, "elbow": 83.36, "wrist": 76.74, "hip": 81.93, "knee": 73.36, "ankle": 65.45,
        "mean": 81.46, "mean_by_count": 82.34,
    }  # fmt: skip
    scores = json.loads((tmp_path / "pckh.json").read_text())["theirs"]
    assert scores["PCKh@0.5"] == pytest.approx(expected, abs=0.01)
    assert all(name in result.out for name in expected)
    assert "81.46" in result.out


def test_people_in_real_photos(trained, tmp_path):
    folder = DATA / "mpii" / "test_images"
    if not folder.is_dir():
        pytest.skip("../shared/data is not here")
    arguments = ["--load", trained.folder, "--data_dir", folder, "--output_dir", tmp_path, "--person_box", "hog"]
    result = call("run", "hourglass_mpii", *arguments).succeeded()
    found = load_predictions(tmp_path / "2d_pose_estimations.pt")
    assert list(found) == sorted(path.name for path in folder.iterdir())
    assert sum(map(len, found.values())) >= 3
    empty = sum(not len(poses) for poses in found.values())
    assert len(result.warnings()) == (empty > 0)


# ------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["train", "hourglas_mpii"], "did you mean hourglass_mpii?"),
        (["train", "hourglass_mpii", "--featurs", 8], "did you mean --features?"),
        (["run", "hourglass_mpii", "--load", "x", "--test-batch-size", 0], "--test_batch_size: '0' is not"),
        (["train", "hourglass_mpii", "--label_type", "Gauss"], "'Gaussian', 'Cauchy'"),
    ],
    ids=["script", "option", "value", "choice"],
)
def test_typos_are_answered_in_one_line(argv, part, tmp_path):
    assert part in spawn(*argv, cwd=tmp_path).refusal()
    assert files(tmp_path) == []


def test_without_data_says_how_to_get_it(tmp_path):
    line = call("train", "hourglass_mpii", cwd=tmp_path).refusal()
    assert "data/mpii" in line
    assert "--data_dir sample" in line
    assert files(tmp_path) == []
