"""The script that measures a 2D network's errors, on the embedded sample's annotations."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from command_line import call_script, load_script

from twod_threed.detector_errors import load_errors
from utils.predictions.prediction_arrays import save_prediction_array
from utils.transform import H36M_2D, MPII

PEOPLE = 4


@pytest.fixture(scope="module")
def script():
    return load_script("scripts", "measure_detector_errors")


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


def test_people_with_all_joints_are_measured(folder, script):
    """In units of the person's size: the root mean square distance of the other joints from the pelvis."""
    truth = np.moveaxis(scipy.io.loadmat(folder / "detections_our_format.mat")["pos_gt_src"], -1, 0) - 1
    found = truth.copy()
    found[:, MPII.index("r_wrist"), 0] += 30
    save_prediction_array(folder / "found.mat", found)
    argv = ("--data_dir", folder, "--prediction_file", folder / "found.mat", "--output", folder / "errors.npz")
    assert "3 people, 48 joints" in call_script(script, *argv).succeeded().out
    errors = load_errors(folder / "errors.npz").errors
    wrist = H36M_2D.index("r_wrist")
    assert errors.shape == (3, 16, 2)
    complete = truth[[0, 1, 3]]
    distances = np.linalg.norm(complete - complete[:, [MPII.index("pelvis")]], axis=-1)
    sizes = np.sqrt(np.square(distances).sum(1) / 15)
    np.testing.assert_allclose(errors[:, wrist], [(30 / size, 0) for size in sizes], rtol=1e-5, atol=1e-5)
    errors[:, wrist] = 0
    assert errors.abs().max() < 1e-5


def test_bad_input_ends_in_a_line_that_names_it(folder, script):
    cases = {
        ("--data_dir", folder / "nowhere", "--prediction_file", "x.mat"): "nowhere",
        ("--data_dir", folder, "--prediction_file", folder / "none.mat"): "none.mat",
    }
    for argv, named in cases.items():
        assert named in call_script(script, *argv, "--output", folder / "out.npz").last_error()
        assert not (folder / "out.npz").exists()
