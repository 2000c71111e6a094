"""`run.py stitched_mpii` and `stitched_h36m`: what they write for which input, what they say, and what they refuse."""

import json
import shlex
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from command_line import Result, call, files
from tiny_checkpoints import SMALL, hourglass_file
from tiny_fine_tuning import make_images, make_networks

from options import GROUPS, SCRIPTS
from stacked_hourglass import demo_weights
from stitched import run as run_module
from stitched.loading import load_network, stitched_extras
from twod_threed.mpjpe import mpjpe, p_mpjpe
from utils.imaging import camera_source
from utils.imaging.image_sources import open_source
from utils.predictions.coco_results import load_coco_results
from utils.predictions.prediction_files import load_metas, load_predictions
from utils.training.checkpoints import write_checkpoint

REAL = Path("../shared/data/h36m_sample")
ESTIMATIONS = ["2d_pose_estimations.pt", "3d_pose_estimations.pt"]
TRUTHS = ["2d_pose_ground_truths.pt", "3d_pose_ground_truths.pt"]
ALWAYS = ["metas.pt", "predictions.json"]


# Another value than that of the two networks, and theirs.
OTHER_SHAPES = {
    "stacks": (2, 1), "features": (16, 8), "blocks": (2, 1), "num_classes": (14, 16), "use_layer_norm": (True, False),
    "no_batch_norm_affine": (True, False), "batch_norm_momentum": (0.7, 0.1), "predict_joint_visibility": (True, False),
    "linear_size": (32, 16), "num_stage": (2, 1), "dataset_normalization": (True, "instance"),
    "add_attention": (True, False), "attention_history_length": (3, 8), "attention_heads": (2, 4),
}  # fmt: skip
OF_LIFTER = ("linear_size", "num_stage", "dataset_normalization")


@pytest.fixture(scope="module")
def h36m(tmp_path_factory) -> Path:
    """6 pictures of S1 and 4 of S9, which show nothing."""
    return make_images(tmp_path_factory.mktemp("data") / "h36m")


@pytest.fixture(scope="module")
def networks(h36m, tmp_path_factory) -> tuple[object, ...]:
    """The options that name an untrained hourglass and an untrained 3D baseline."""
    return make_networks(tmp_path_factory.mktemp("networks"), h36m)


@pytest.fixture(scope="module")
def stitched(networks, tmp_path_factory) -> Path:
    """The same two networks as one checkpoint."""
    network = load_network(load_hourglass=networks[1], load_2d3d=networks[3])
    path = tmp_path_factory.mktemp("stitched") / "stitched.pth.tar"
    content = {"format_version": 1, "script": "stitched_fine_tune", "options": {}}
    write_checkpoint(path, content | {"state_dict": network.state_dict()} | stitched_extras(network))
    return path


@pytest.fixture
def run(networks, tmp_path) -> Callable[..., Result]:
    """`run(DATA, …)` into `tmp_path / "out"`; other networks, or another script or folder, where given."""

    def running(data_dir, *more, script="stitched_mpii", load=networks, out="out") -> Result:
        argv = ("--data_dir", data_dir, "--output_dir", tmp_path / out, "--workers", 0, "--device", "cpu", *more)
        return call("run", script, *load, *argv, cwd=tmp_path)

    return running


@pytest.fixture
def photos(tmp_path) -> Path:
    """Three photos of blotches; one of them is in a folder of its own."""
    rng = np.random.default_rng(0)
    for name, size in {"a.png": (80, 60), "b.png": (60, 90), "sub/a.png": (70, 70)}.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), size))
    return tmp_path / "photos"


def write_video(path: Path, frames: int = 4, size: tuple[int, int] = (320, 240)) -> Path:
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12.5, size)
    for _ in range(frames):
        writer.write(cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), size))
    writer.release()
    return path


def poses(folder: Path, kind: str = "3d_pose_estimations") -> dict[str, torch.Tensor]:
    return load_predictions(folder / f"{kind}.pt")


# ------------------------------------------------------------------------------------------ photos
def test_photos(run, photos, tmp_path):
    result = run(photos).succeeded()
    out = tmp_path / "out"
    assert files(out) == [*ESTIMATIONS, *ALWAYS]
    lifted, joints = poses(out), poses(out, "2d_pose_estimations")
    assert list(lifted) == list(joints) == ["a.png", "b.png", "sub/a.png"]
    for name, people in lifted.items():
        assert people.shape == (1, 17, 3)
        assert people.isfinite().all()
        assert not people[:, 0].any(), "the hip is the origin"
        assert joints[name].shape == (1, 16, 2)
    meta = load_metas(out / "metas.pt")["b.png"]
    assert meta["size"] == [60, 90]
    assert (meta["skeleton"], meta["skeleton_3d"], meta["unit"], meta["root"]) == ("MPII", "H36M", "mm", "hip")
    assert "tracks" not in meta
    assert "fps" not in meta
    results = load_coco_results(out / "predictions.json")
    torch.testing.assert_close(torch.from_numpy(results.keypoints_3d["sub/a.png"]).float(), lifted["sub/a.png"])
    torch.testing.assert_close(torch.from_numpy(results.keypoints["sub/a.png"]).float(), joints["sub/a.png"])
    assert result.out.startswith("3 people in 3 photos, ")
    assert " people/s\n" in result.out
    assert all(name in result.out for name in (*ESTIMATIONS, *ALWAYS))
    assert "3D: Human3.6M order, mm, camera coordinates (x right, y down, z forward), hip at the origin" in result.out
    command = result.out.splitlines()[-1].removeprefix("draw them: python viz.py ").split()
    assert command == [
        "2d_overlay_3d_pred", "--img_dir", str(photos), "--2d_pose_estimations", str(out / ESTIMATIONS[0]),
        "--3d_pose_estimations", str(out / ESTIMATIONS[1]),
    ]  # fmt: skip


def test_one_photo_with_several_people(run, photos, tmp_path):
    boxes = [{"image": "a.png", "bbox": [x, 0, 30, 50], "score": score} for x, score in ((40, 0.6), (5, 0.9))]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    run(photos / "a.png", "--person_box", tmp_path / "boxes.json").succeeded()
    assert poses(tmp_path / "out")["a.png"].shape == (2, 17, 3)
    records = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [(record["person"], len(record["keypoints_3d"])) for record in records] == [(0, 51), (1, 51)]
    [first, _] = poses(tmp_path / "out", "2d_pose_estimations")["a.png"]
    assert (first - torch.tensor([19.5, 24.5])).abs().max() <= 32, "best score first, in its own crop"


def test_a_folder_of_mixed_files(run, photos, tmp_path):
    (photos / "notes.txt").write_text("x")
    (photos / "broken.jpg").write_bytes(b"no photo")
    (photos / "sub" / "clip.mp4").write_bytes(b"x")
    others, broken = run(photos).warnings()
    assert others.endswith("2 files of " + str(photos) + " ignored, not photos by name: notes.txt, sub/clip.mp4")
    assert "1 of 4 photos unreadable, skipped: " in broken
    assert "broken.jpg" in broken
    assert list(poses(tmp_path / "out")) == ["a.png", "b.png", "sub/a.png"]


def test_nobody_found_is_listed_and_not_fatal(run, photos, tmp_path):
    for path in photos.rglob("*.png"):
        cv2.imwrite(str(path), np.full((80, 60, 3), 120, np.uint8))
    result = run(photos, "--person_box", "hog", "--draw")
    [warning] = result.warnings()
    assert "viz.py" not in result.out
    assert not (tmp_path / "out/pictures").exists()
    assert "no person found in 3 photos (--person_box hog): a.png; b.png; sub/a.png" in warning
    assert {name: len(people) for name, people in poses(tmp_path / "out").items()} == {
        "a.png": 0, "b.png": 0, "sub/a.png": 0,
    }  # fmt: skip
    assert json.loads((tmp_path / "out/predictions.json").read_text()) == []


def test_results_do_not_depend_on_batches_and_workers(run, photos, tmp_path):
    run(photos).succeeded()
    run(photos, "--test_batch_size", 2, "--workers", 2, out="other").succeeded()
    for name, people in poses(tmp_path / "other").items():
        torch.testing.assert_close(people, poses(tmp_path / "out")[name], rtol=1e-3, atol=0.1)


# ------------------------------------------------------------------------------------------ videos and cameras
def test_people_of_a_video_are_followed(run, tmp_path):
    """Two people, found in changing order; the left one is away for a frame, and somebody comes."""
    clip = write_video(tmp_path / "clip.avi", 4)
    left, right, new = [20, 20, 60, 150], [200, 20, 60, 150], [120, 20, 60, 150]
    found = [[right, left], [right], [left, new, right], [new, right, left]]
    boxes = {f"clip/{number:06d}": frame for number, frame in enumerate(found)}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    result = run(clip, "--person_box", tmp_path / "boxes.json").succeeded()
    out = tmp_path / "out"
    metas = load_metas(out / "metas.pt")
    assert list(metas) == list(poses(out)) == [f"clip/{number:06d}" for number in range(4)]
    assert [meta["tracks"] for meta in metas.values()] == [[0, 1], [1], [0, 1, 2], [0, 1, 2]]
    assert [meta["boxes"][:, 0].tolist() for meta in metas.values()] == [
        [19.5, 199.5], [199.5], [19.5, 199.5, 119.5], [19.5, 199.5, 119.5],
    ]  # fmt: skip
    assert all((meta["fps"], meta["size"]) == (12.5, [320, 240]) for meta in metas.values())
    assert [meta["time"] for meta in metas.values()] == pytest.approx([0, 0.08, 0.16, 0.24])
    records = json.loads((out / "predictions.json").read_text())
    assert [(record["image"][-1], record["track"]) for record in records] == [
        (str(number), track) for number, meta in enumerate(metas.values()) for track in meta["tracks"]
    ]
    joints = poses(out, "2d_pose_estimations")
    for name, meta in metas.items():
        assert poses(out)[name].shape == (len(meta["tracks"]), 17, 3)
        middles = (meta["boxes"][:, :2] + meta["boxes"][:, 2:]) / 2
        assert ((joints[name] - middles[:, None]).abs() <= 1.25 * 150 / 2 + 1).all(), "each in its own crop"
    assert f"python viz.py video --img_dir {clip} " in result.out


def test_absolute_poses_are_the_relative_ones_moved(run, tmp_path):
    clip = write_video(tmp_path / "clip.avi", 3)
    run(clip, "--person_box", "whole", out="relative").succeeded()
    result = run(clip, "--person_box", "whole", "--absolute", "--focal", 400).succeeded()
    assert "focal length of 3 frames: 400 px (--focal)" in result.out
    assert "camera at the origin" in result.out
    for name, meta in load_metas(tmp_path / "out/metas.pt").items():
        assert (meta["root"], meta["focal"]) == ("camera", 400)
        moved = poses(tmp_path / "out")[name] - poses(tmp_path / "relative")[name]
        torch.testing.assert_close(moved, meta["root_positions"][:, None].expand_as(moved).float(), rtol=1e-3, atol=0.5)
        assert meta["root_positions"][0, 2] >= 300
    assert "a view of 55 degrees is assumed" in run(clip, "--person_box", "whole", "--absolute").succeeded().out
    assert "--focal has no effect without --absolute" in run(clip, "--focal", 400).refusal()


@pytest.mark.parametrize("method", ["one_euro", "zero_phase"])
def test_smoothing_keeps_the_raw_poses_and_fills_short_gaps(run, tmp_path, method):
    clip = write_video(tmp_path / "clip.avi", 5)
    boxes = {f"clip/{number:06d}": [] if number == 2 else [[20 + number, 20, 60, 150]] for number in range(5)}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    run(clip, "--person_box", tmp_path / "boxes.json", out="raw").succeeded()
    result = run(clip, "--person_box", tmp_path / "boxes.json", "--smooth", method).succeeded()
    assert f"smoothed by {method}: 1 pose filled in gaps of up to 0.5 s" in result.out
    out, metas = tmp_path / "out", load_metas(tmp_path / "out/metas.pt")
    assert [meta["tracks"] for meta in metas.values()] == [[0]] * 5
    assert [meta["filled"] for meta in metas.values()] == [[number == 2] for number in range(5)]
    for kind, key in (("2d_pose_estimations", "raw_joints"), ("3d_pose_estimations", "raw_joints_3d")):
        raw, smooth = poses(tmp_path / "raw", kind), poses(out, kind)
        for number, (name, meta) in enumerate(metas.items()):
            assert smooth[name].isfinite().all()
            if number == 2:
                assert meta[key].isnan().all()
            else:
                torch.testing.assert_close(meta[key], raw[name], rtol=1e-3, atol=0.1)
    assert len(json.loads((out / "predictions.json").read_text())) == 5
    assert "--smooth one_euro: only for a video or a camera" in run(tmp_path, "--smooth", "one_euro").refusal()


@pytest.mark.parametrize(
    ("chosen", "frames"),
    [(("--max_frames", 2), (0, 1)), (("--start", 0.16, "--every", 2, "--end", 0.4), (2, 4))],
)
def test_some_frames_of_a_video(run, tmp_path, chosen, frames):
    result = run(write_video(tmp_path / "clip.avi", 6), *chosen, "--draw", "--person_box", "whole").succeeded()
    assert result.warnings() == []
    assert list(poses(tmp_path / "out")) == [f"clip/{number:06d}" for number in frames]
    source = open_source(tmp_path / "out/pictures/clip.mp4")
    assert source.times == pytest.approx([0, 0.08 * (frames[1] - frames[0])], abs=1e-3)


def test_a_video_with_nobody_is_not_drawn(run, tmp_path):
    result = run(write_video(tmp_path / "clip.avi", 2), "--person_box", "hog", "--draw").succeeded()
    assert "no person was found, so nothing is drawn" in result.out
    assert not (tmp_path / "out/pictures").exists()


def test_a_video_that_ends_early_keeps_what_is_there(run, tmp_path):
    whole = write_video(tmp_path / "whole.avi", 20).read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    [warning] = run(tmp_path / "cut.avi", "--person_box", "whole").warnings()
    count = len(poses(tmp_path / "out"))
    assert f"cut.avi ends early: it declares 20 frames, {count} were readable" in warning
    assert 0 < count < 20


def test_a_camera_runs_until_ctrl_c(run, tmp_path, monkeypatch):
    class Camera:
        def __init__(self):
            self.pictures = 0

        def read(self):
            self.pictures += 1
            if self.pictures == 3:
                signal.raise_signal(signal.SIGINT)
            return True, np.full((48, 64, 3), self.pictures, np.uint8)

        def isOpened(self):
            return True

        def get(self, _):
            return 30.0

        def release(self):
            pass

    monkeypatch.setattr(camera_source, "_open_capture", lambda index: Camera())
    result = run(0, "--person_box", "whole").succeeded()
    metas = load_metas(tmp_path / "out/metas.pt")
    assert list(metas) == [f"camera_0/{number:06d}" for number in range(3)]
    assert all(meta["tracks"] == [0] and meta["size"] == [64, 48] for meta in metas.values())
    assert len({meta["fps"] for meta in metas.values()}) == 1
    assert "viz.py" not in result.out, "its pictures are gone"
    run(0, "--max_frames", 2, out="two").succeeded()
    assert len(poses(tmp_path / "two")) == 2


# ------------------------------------------------------------------------------------------ MPII
@pytest.mark.parametrize(("more", "count"), [((), 4), (("--run_with_train",), 8)], ids=["validation", "training"])
def test_annotated_people(run, tiny_mpii, tmp_path, more, count):
    result = run(tiny_mpii, *more).succeeded()
    array = [] if more else ["preds_valid.mat"]
    assert files(tmp_path / "out") == sorted([*ESTIMATIONS, TRUTHS[0], *ALWAYS, *array])
    lifted = poses(tmp_path / "out")
    assert sum(map(len, lifted.values())) == count
    assert list(lifted) == list(poses(tmp_path / "out", "2d_pose_ground_truths"))
    assert f"viz.py 2d_overlay_3d_pred --img_dir {tiny_mpii / 'images'} " in result.out


# ------------------------------------------------------------------------------------------ Human3.6M
def test_human36m(run, h36m, tmp_path):
    result = run(h36m, script="stitched_h36m").succeeded()
    out = tmp_path / "out"
    assert files(out) == sorted([*ESTIMATIONS, *TRUTHS, *ALWAYS])
    lifted, truth = poses(out), poses(out, "3d_pose_ground_truths")
    images = h36m / "images"
    assert sorted(lifted) == sorted(path.relative_to(images).as_posix() for path in (images / "S9").rglob("*.jpg"))
    assert list(lifted) == list(truth) == list(poses(out, "2d_pose_ground_truths"))
    predicted, true = torch.cat(list(lifted.values())), torch.cat(list(truth.values()))
    assert f"MPJPE {mpjpe(predicted, true):.1f} mm (Protocol 1: " in result.out
    assert f", {p_mpjpe(predicted, true):.1f} mm after Procrustes alignment of each pose (Protocol 2)" in result.out
    assert "mean over 4 frames and 17 joints" in result.out
    parts = [f"--{kind} {out / f'{kind}.pt'}" for kind in (Path(name).stem for name in (*ESTIMATIONS, TRUTHS[1]))]
    assert f"python viz.py 2d_overlay_3d_gt_3d_pred --img_dir {images} {' '.join(parts)}" in result.out
    name = "S9/Walking/54138969/000001.jpg"
    meta = load_metas(out / "metas.pt")[name]
    assert (meta["clip"], meta["frame"], meta["skeleton_truth"]) == ("S9/Walking/54138969", 1, "H36M_2D")
    # The truth is the middle of the crop.
    joints = poses(out, "2d_pose_ground_truths")[name][0]
    side = 1.25 * 1.05 * (joints.amax(0) - joints.amin(0)).max()
    middle = (joints.amax(0) + joints.amin(0)) / 2
    assert (poses(out, "2d_pose_estimations")[name][0] - middle).abs().max() <= side / 2 + 1


def test_the_predictions_on_human36m_can_be_scored(run, h36m, tmp_path):
    said = run(h36m, script="stitched_h36m").succeeded().out
    file = tmp_path / "out" / ESTIMATIONS[1]
    scored = call("eval", "h36m_MPJPE", "--prediction_files", file, "--output_dir", tmp_path / "eval").succeeded()
    assert "4 frames are single images: left out of MPJVE" in scored.out
    [scores] = json.loads((tmp_path / "eval/mpjpe.json").read_text()).values()
    assert f"MPJPE {scores['protocol_1']:.1f} mm" in said
    assert f", {scores['protocol_2']:.1f} mm after Procrustes" in said
    assert (scores["frames"], scores["mpjve"]) == (4, None)


def test_human36m_subjects_and_actions(run, h36m, tmp_path):
    run(h36m, "--run_with_train", "--action", "Sitting", script="stitched_h36m").succeeded()
    assert [name.split("/")[:2] for name in poses(tmp_path / "out")] == [["S1", "Sitting"]] * 3


def test_images_that_cannot_be_read_are_left_out(run, h36m, tmp_path):
    folder = Path(shutil.copytree(h36m, tmp_path / "h36m"))
    images = sorted((folder / "images/S9").rglob("*.jpg"))
    images[0].write_bytes(b"no photo")
    [warning] = run(folder, script="stitched_h36m").warnings()
    assert warning.startswith(f"warning: 1 of 4 images unreadable, left out: {images[0]}")
    for kind in (*ESTIMATIONS, *TRUTHS):
        assert len(poses(tmp_path / "out", Path(kind).stem)) == 3
    for image in images:
        image.write_bytes(b"no photo")
    assert "no image could be read; the first error: " in run(folder, script="stitched_h36m", out="no").refusal()
    assert not (tmp_path / "no").exists()


def test_real_frames_in_a_list(run, tmp_path):
    if not REAL.is_dir():
        pytest.skip("../shared/data is not here")
    real = REAL.resolve()
    result = run(real, script="stitched_h36m").succeeded()
    truth = poses(tmp_path / "out", "3d_pose_ground_truths")
    assert len(truth) == 4
    assert all((real / "images" / name).is_file() for name in truth)
    assert "mean over 4 frames" in result.out
    run(real, "--action", "SittingDown", script="stitched_h36m", out="some").succeeded()
    assert list(poses(tmp_path / "some")) == ["S5/SittingDown/54138969/002061.jpg"]
    refused = run(real, "--run_with_train", script="stitched_h36m").refusal()
    assert "--run_with_train has no effect: " in refused


# ------------------------------------------------------------------------------------------ pictures
def test_drawing_photos_at_once(run, photos, tmp_path):
    drawn = run(photos, "--draw").succeeded()
    pictures = tmp_path / "out" / "pictures"
    assert files(pictures) == ["a.png", "b.png", "contact_sheet.png", "sub/a.png"]
    assert "viz.py" not in drawn.out
    assert f"3 pictures in {pictures}" in drawn.out
    said = run(photos, out="other").succeeded().out.splitlines()[-1].removeprefix("draw them: python viz.py ").split()
    call("viz", *said, "--output_dir", tmp_path / "viz").succeeded()
    for name in files(pictures):
        assert (pictures / name).read_bytes() == (tmp_path / "viz" / name).read_bytes()


def test_the_printed_command_works_for_names_with_blanks(run, photos, tmp_path):
    folder = photos.rename(tmp_path / "my photos")
    [*_, line] = run(folder, out="my poses").succeeded().out.splitlines()
    words = shlex.split(line.removeprefix("draw them: "))
    assert words[:2] == ["python", "viz.py"]
    call("viz", *words[2:], "--output_dir", tmp_path / "viz").succeeded()
    assert files(tmp_path / "viz") == ["a.png", "b.png", "contact_sheet.png", "sub/a.png"]


def test_drawing_a_video_at_once(run, tmp_path):
    run(write_video(tmp_path / "clip.avi", 3), "--draw", "--person_box", "whole").succeeded()
    assert files(tmp_path / "out" / "pictures") == ["clip.mp4"]


def test_drawing_beside_the_truth_at_once(run, h36m, tmp_path):
    run(h36m, "--draw", script="stitched_h36m").succeeded()
    names = list(poses(tmp_path / "out"))
    assert files(tmp_path / "out" / "pictures") == sorted([*names, "contact_sheet.png"])


def test_drawing_annotated_people_at_once(run, tiny_mpii, tmp_path):
    run(tiny_mpii, "--draw").succeeded()
    assert files(tmp_path / "out" / "pictures") == sorted([*poses(tmp_path / "out"), "contact_sheet.png"])


def test_a_cameras_pictures_are_not_drawn(run, tmp_path):
    assert "--draw: frames of camera 7 are not stored" in run(7, "--draw").refusal()
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------ networks and options
def test_one_checkpoint_does_what_the_two_do_and_wins(run, photos, networks, stitched, tmp_path):
    run(photos).succeeded()
    run(photos, load=("--load", stitched), out="one").succeeded()
    [warning] = run(photos, load=("--load", stitched, *networks[:2]), out="three").warnings()
    assert "--load_hourglass ignored" in warning
    for folder in ("one", "three"):
        for name, people in poses(tmp_path / folder).items():
            torch.testing.assert_close(people, poses(tmp_path / "out")[name])


def test_without_a_checkpoint_the_demo_weights_are_used(run, photos, h36m, stitched, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", stitched)
    for script, data in (("stitched_mpii", photos), ("stitched_h36m", h36m)):
        demo = run(data, load=(), script=script, out=f"demo_{script}").succeeded()
        assert demo.out.startswith(f"no checkpoint given: the demo weights {stitched} are used; they are weak ")
        given = run(data, load=("--load", stitched), script=script, out=script).succeeded()
        assert "demo" not in given.out
        for name, people in poses(tmp_path / script).items():
            torch.testing.assert_close(people, poses(tmp_path / f"demo_{script}")[name])


def test_checkpoints_that_do_not_fit(run, photos, networks, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", tmp_path / "none.pth.tar")
    _, hourglass, _, lifter = networks
    assert "swap the two" in run(photos, load=("--load_hourglass", lifter, "--load_2d3d", hourglass)).refusal()
    missing = run(photos, load=()).refusal()
    assert all(f"--{name}" in missing for name in ("load_hourglass", "load_2d3d", "load"))
    assert "--load_2d3d missing" in run(photos, load=("--load_hourglass", hourglass)).refusal()
    assert "not a stitched network" in run(photos, load=("--load", lifter)).refusal()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("script", "data", "more", "named"),
    [
        ("stitched_mpii", "7", (), "--data_dir 7: no camera with this index responds"),
        ("stitched_mpii", "none.mp4", (), "--data_dir none.mp4: no such file"),
        ("stitched_mpii", "text.mp4", (), "not a video"),
        ("stitched_mpii", "empty.mp4", (), "empty file, not a video"),
        ("stitched_mpii", "photos", ("--max_frames", 3), "--max_frames 3: only for a video"),
        ("stitched_mpii", "photos", ("--max_frames", 0), "--max_frames"),
        ("stitched_mpii", "photos", ("--run_with_train",), "has no annotations"),
        ("stitched_mpii", "photos", ("--person_box", "hug"), "did you mean hog?"),
        ("stitched_h36m", "photos", (), "no Human3.6M poses"),
        ("stitched_h36m", "photos", ("--action", "Walkin"), "did you mean Walking?"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else value,
)
def test_what_cannot_be_run_is_refused_in_a_line(run, photos, tmp_path, script, data, more, named):
    (tmp_path / "text.mp4").write_bytes(b"this is no video " * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert named in run(data, *more, script=script).refusal()
    assert not (tmp_path / "out").exists()


def test_a_refusal_can_show_its_traceback(run, photos):
    assert "Traceback (most recent call last)" in run(photos, "--run_with_train", "--debug_traceback").err


def test_old_pickles_load_only_where_allowed(run, photos, networks, tmp_path):
    content = torch.load(networks[1], weights_only=True) | {"made": Path("here")}  # an object, not a plain type
    torch.save(content, tmp_path / "old.pth")
    load = ("--load_hourglass", tmp_path / "old.pth", *networks[2:])
    assert "--allow_unsafe_load" in run(photos, load=load).refusal()
    run(photos, "--allow_unsafe_load", load=load).succeeded()


@pytest.mark.parametrize(("option", "values"), OTHER_SHAPES.items(), ids=OTHER_SHAPES)
def test_an_option_that_contradicts_a_checkpoint_is_refused(run, photos, networks, stitched, tmp_path, option, values):
    asked, stored = values
    refused = run(photos, f"--{option}", asked).refusal()
    path = networks[3] if option in OF_LIFTER else networks[1]
    assert f"--{option} {asked}" in refused
    assert f"{path} was trained with {stored}" in refused
    refused = run(photos, f"--{option}", asked, load=("--load", stitched)).refusal()
    assert f"{stitched} was trained with {stored}" in refused
    assert not (tmp_path / "out").exists()


def test_options_that_agree_with_the_checkpoints_are_taken(run, photos, h36m, networks):
    agreeing = ("--stacks", 1, "--features", 8, "--linear_size", 16, "--num_stage", 1, "--dataset_normalization", False)
    run(photos, *agreeing).succeeded()
    refused = run(h36m, "--stacks", 2, *agreeing[2:], script="stitched_h36m").refusal()
    assert f"--stacks 2: {networks[1]} was trained with 1" in refused


@pytest.mark.parametrize("script", ["stitched_mpii", "stitched_h36m"])
def test_options_reach_the_predictor_and_the_loaders(run, script, photos, h36m, monkeypatch):
    seen = {}

    class Recorder(run_module.StitchedPredictor):
        def __init__(self, network, precision, flip, compiled):
            seen.update(device=network.mean.device.type, precision=precision, flip=flip, compiled=compiled)
            seen.update(image_scale=network.image_scale, draw=torch.rand(()).item())
            super().__init__(network, precision, flip, False)

        def __call__(self, crops, to_photo):
            seen.setdefault("batch", len(crops))
            return super().__call__(crops, to_photo)

    monkeypatch.setattr(run_module, "StitchedPredictor", Recorder)
    more = ("--precision", "bf16", "--flip", "--compile", "--test_batch_size", 2)
    data, scale = (photos, "any") if script == "stitched_mpii" else (h36m, "human36m")
    run(data, *more, script=script).succeeded()
    draws = [seen.pop("draw")]
    expected = {"device": "cpu", "precision": "bf16", "flip": True, "compiled": True, "batch": 2}
    assert seen == expected | {"image_scale": scale}
    for seed in (0, 1):
        run(data, *more, "--seed", seed, script=script, out=f"seed_{seed}").succeeded()
        draws.append(seen.pop("draw"))
    assert draws[0] == draws[1] != draws[2]
    assert "--device cuda:99" in run(data, "--device", "cuda:99", script=script).refusal()


TESTED = {
    "data_dir", "load", "load_hourglass", "load_2d3d", "output_dir", "run_with_train", "person_box", "max_frames",
    "start", "end", "every", "smooth", "absolute", "focal",
    "device", "precision", "compile", "workers", "seed", "allow_unsafe_load", "debug_traceback", "test_batch_size",
    "flip", "action", "draw", *OTHER_SHAPES,
    "show", "check_data",  # in test_live.py and test_data_check.py
}  # fmt: skip


def test_every_option_has_a_test_here():
    scripts = [SCRIPTS["run"][name] for name in ("stitched_mpii", "stitched_h36m")]
    assert {option.name for script in scripts for _, option in script.options(GROUPS)} == TESTED


def test_an_hourglass_of_coco_joints_through_run_and_viz(networks, run, tmp_path):
    """2D poses in COCO's order, 3D poses, pictures; and the 2D poses alone through the 3D baseline."""
    hourglass = hourglass_file(tmp_path / "coco.pth.tar", "COCO", replace(SMALL, num_classes=17))
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "1.jpg"), np.full((80, 60, 3), 90, np.uint8))
    load = ("--load_hourglass", hourglass, *networks[2:])
    result = run("photos", "--person_box", "whole", "--draw", load=load)
    assert "pelvis, spine, thorax, head_top of the 3D baseline's input are approximate" in result.warnings()[0]
    assert "2D: COCO order" in result.out
    assert load_predictions(tmp_path / "out/2d_pose_estimations.pt")["1.jpg"].shape == (1, 17, 2)
    assert load_predictions(tmp_path / "out/3d_pose_estimations.pt")["1.jpg"].shape == (1, 17, 3)
    assert (tmp_path / "out/pictures/1.jpg").is_file()
    argv = (
        "--load",
        networks[3],
        "--data_dir",
        tmp_path / "out",
        "--output_dir",
        tmp_path / "lifted",
        "--device",
        "cpu",
    )
    lifted = call("run", "2d3d_h36m", *argv, cwd=tmp_path)
    assert "approximate, made from other COCO joints" in "".join(lifted.warnings())
    assert load_predictions(tmp_path / "lifted/3d_pose_estimations.pt")["1.jpg"].shape == (1, 17, 3)
