"""`run.py stitched_mpii` on photos and annotated people, and the pictures of both scripts."""

import json
import shlex
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from command_line import call, files
from option_effects import noted_workers
from stitched_runs import ALWAYS, ESTIMATIONS, TRUTHS, poses, write_video
from tiny_checkpoints import SMALL, hourglass_file

from utils.predictions.coco_results import load_coco_results
from utils.predictions.prediction_files import load_metas, load_predictions

SHOWN_SCRIPTS = [("run", "stitched_mpii"), ("run", "stitched_h36m")]


# ------------------------------------------------------------------------------------------ photos
@pytest.mark.shows("data_dir", "output_dir")
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


@pytest.mark.shows("person_box")
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


@pytest.mark.shows("workers")
def test_results_do_not_depend_on_batches_and_workers(run, photos, tmp_path, monkeypatch):
    noted = noted_workers(monkeypatch)
    run(photos).succeeded()
    assert not noted, "threads of this process"
    run(photos, "--test_batch_size", 2, "--workers", 2, out="other").succeeded()
    assert noted
    assert min(noted) >= 1  # 1 on a machine of one core
    for name, people in poses(tmp_path / "other").items():
        torch.testing.assert_close(people, poses(tmp_path / "out")[name], rtol=1e-3, atol=0.1)


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


# ------------------------------------------------------------------------------------------ pictures
@pytest.mark.shows("draw")
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


def test_frames_of_a_camera_are_not_drawn(run, tmp_path):
    assert "--draw: frames of camera 7 are not stored" in run(7, "--draw").refusal()
    assert not (tmp_path / "out").exists()


def test_an_hourglass_of_coco_joints_through_run_and_viz(networks, run, tmp_path):
    """2D poses in COCO order, 3D poses and pictures; then only the 2D poses, lifted by the 3D baseline."""
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
    argv = ("--load", networks[3], "--data_dir", tmp_path / "out", "--output_dir", tmp_path / "lifted")
    lifted = call("run", "2d3d_h36m", *argv, "--device", "cpu", cwd=tmp_path)
    assert "approximate, made from other COCO joints" in "".join(lifted.warnings())
    assert load_predictions(tmp_path / "lifted/3d_pose_estimations.pt")["1.jpg"].shape == (1, 17, 3)
