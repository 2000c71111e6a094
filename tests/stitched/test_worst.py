"""`viz.py worst`: the largest errors, the prediction beside the truth."""

import pytest
import torch
from command_line import call, files
from standing_people import joints_of, people, write_photo

from stitched.worst import errors_2d
from utils.imaging.images import read_image
from utils.look.palette import ERROR_RAMP
from utils.predictions.prediction_files import save_metas, save_predictions
from utils.transform import H36M


@pytest.fixture
def run(tmp_path):
    """Two photos with one person each, the second one worse."""
    truth = {name: joints_of(people(1)) for name in ("a.png", "b.png")}
    for name in truth:
        write_photo(tmp_path / "photos" / name)
    predictions = {"a.png": truth["a.png"] + 3, "b.png": truth["b.png"] + 40}
    save_predictions(tmp_path / "run/2d_pose_estimations.pt", predictions)
    save_predictions(tmp_path / "run/2d_pose_ground_truths.pt", truth)
    save_metas(tmp_path / "run/metas.pt", {name: {"skeleton": "H36M_2D"} for name in truth})
    return tmp_path


def draw(folder, *argv):
    return call("viz", "worst", "--predictions", folder / "run", "--output_dir", folder / "out", *argv)


def test_the_worst_is_first(run):
    out = draw(run, "--img_dir", run / "photos").succeeded().out
    assert files(run / "out") == ["001_b_person0.png", "002_a_person0.png", "contact_sheet.png"]
    assert "the 2 largest errors" in out
    draw(run, "--img_dir", run / "photos", "--num_pictures", 1, "--output_dir", run / "one").succeeded()
    assert files(run / "one") == ["001_b_person0.png"]


def test_the_error_by_hand():
    truth = torch.tensor([[[0.0, 0], [30, 40], [torch.nan, 0]]])
    prediction = torch.tensor([[[0.0, 5], [30, 40], [9, 9]]])
    [found] = errors_2d({"a": prediction}, {"a": truth})
    assert found.error == pytest.approx(100 * 2.5 / 50)  # 5 px and 0 px, of a diagonal of 50 px


def test_sequences_without_photos(tmp_path):
    truth = {f"S9/Walking/{camera}": people(3) for camera in ("54138969", "55011271")}
    moved = {key: poses.clone() for key, poses in truth.items()}
    moved["S9/Walking/55011271"][2, H36M.index("r_wrist")] += 100
    save_predictions(tmp_path / "run/3d_pose_estimations.pt", moved)
    save_predictions(tmp_path / "run/3d_pose_ground_truths.pt", truth)
    [name] = ["001_S9_Walking_55011271_000002.png"]
    pictures = []
    for argv in ((), ("--color", "error"), ("--views", "front,side")):
        draw(tmp_path, "--num_pictures", 1, *argv).succeeded()
        assert files(tmp_path / "out") == [name]
        pictures.append(read_image(tmp_path / "out" / name))
    plain, colored, seen = pictures
    assert colored.shape == plain.shape
    assert (colored == ERROR_RAMP[0]).all(axis=2).sum() > (plain == ERROR_RAMP[0]).all(axis=2).sum()
    assert seen.shape[0] > 1.5 * plain.shape[0]


@pytest.mark.parametrize("argv", [("--views", "front"), ("--color", "error")])
def test_options_of_3d_poses_are_refused_where_2d_poses_are_drawn(run, argv):
    assert f"{argv[0]} is for 3D poses" in draw(run, "--img_dir", run / "photos", *argv).refusal()
    assert files(run / "out") == []


def test_a_run_without_truth(run):
    (run / "run/2d_pose_ground_truths.pt").unlink()
    line = draw(run, "--img_dir", run / "photos").refusal()
    assert "has no ground truth" in line
    assert files(run / "out") == []
