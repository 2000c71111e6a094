"""The script that measures a 2D network's errors, on the embedded sample's annotations."""

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from command_line import load_script

from twod_threed.detector_errors import load_errors
from utils.predictions.prediction_arrays import save_prediction_array
from utils.transform import H36M_2D

PEOPLE = 4


@pytest.fixture
def run(monkeypatch):
    """`run("--output", path)`: the script, in this process."""
    script = load_script("scripts", "measure_detector_errors")

    def run_with(*argv: object) -> None:
        monkeypatch.setattr(sys, "argv", ["measure_detector_errors.py", *map(str, argv)])
        script.main()

    return run_with


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ground truth of four people, of whom one lacks a joint."""
    rng = np.random.default_rng(0)
    missing = np.zeros((16, PEOPLE))
    missing[3, 2] = 1
    truth = {
        "pos_gt_src": rng.uniform(1, 500, (16, 2, PEOPLE)),
        "jnt_missing": missing,
        "headboxes_src": np.array([[[1.0], [1.0]], [[50.0], [50.0]]]) * np.ones(PEOPLE),
    }
    scipy.io.savemat(tmp_path / "detections_our_format.mat", truth)
    return tmp_path


def test_errors_of_people_with_all_joints_by_name(folder, run, capsys):
    truth = np.moveaxis(scipy.io.loadmat(folder / "detections_our_format.mat")["pos_gt_src"], -1, 0) - 1
    truth[:, 10] += (30, 0)  # MPII's right wrist
    save_prediction_array(folder / "found.mat", truth)
    run("--data_dir", folder, "--prediction_file", folder / "found.mat", "--output", folder / "errors.npz")
    assert "3 people, 48 joints" in capsys.readouterr().out
    errors = load_errors(folder / "errors.npz").errors
    wrist = H36M_2D.index("r_wrist")
    assert errors.shape == (3, 16, 2)
    assert (errors[:, wrist, 0] > 0).all()
    errors[:, wrist] = 0
    assert errors.abs().max() < 1e-5


def test_bad_input_ends_in_a_line(folder, run, capsys):
    cases = {
        ("--data_dir", folder / "nowhere", "--prediction_file", "x.mat"): "nowhere",
        ("--data_dir", folder, "--prediction_file", folder / "none.mat"): "none.mat",
    }
    for argv, named in cases.items():
        with pytest.raises(SystemExit) as ended:
            run(*argv, "--output", folder / "out.npz")
        assert ended.value.code == 2
        assert named in capsys.readouterr().err
        assert not (folder / "out.npz").exists()
