"""`run.py stitched_h36m`: the files it writes and the scores it prints."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from command_line import call, files
from stitched_runs import ALWAYS, ESTIMATIONS, TRUTHS, poses

from twod_threed.mpjpe import mpjpe, p_mpjpe
from utils.predictions.prediction_files import load_metas

SHOWN_SCRIPTS = [("run", "stitched_mpii"), ("run", "stitched_h36m")]

REAL = Path("../shared/data/h36m_sample")


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
    # The crop is about the true joints, and predictions lie in it.
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


@pytest.mark.shows("run_with_train", "action")
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
