from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import loadmat, savemat

from utils.osutils import UserError
from utils.predictions.prediction_arrays import (
    ARRAY_SUFFIXES,
    load_pose_array,
    load_prediction_array,
    require_finite,
    save_prediction_array,
)
from utils.transform import LSP, MPII

MPII_DETECTIONS = Path("../shared/data/mpii/detections_our_format.mat")


def some_array(people=3):
    return np.arange(people * 32, dtype=np.float64).reshape(people, 16, 2) / 3


def write_array(path, array, key="preds"):
    """The array as it is, under a key of a file of the suffix's format."""
    if path.suffix == ".mat":
        savemat(path, {key: array})
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file[key] = array
    else:
        np.savez(path, **{key: array})


@pytest.mark.parametrize("suffix", ARRAY_SUFFIXES)
@settings(max_examples=10)
@given(array=arrays(np.float32, (2, 16, 2), elements=st.floats(-4096, 4096, width=32) | st.just(np.nan)))
def test_arrays_come_back_zero_based(tmp_path_factory, suffix, array):
    path = tmp_path_factory.mktemp("arrays") / f"preds{suffix}"
    save_prediction_array(path, array)
    # Numbers smaller than the rounding of 1 + x cannot come back exactly.
    np.testing.assert_allclose(load_prediction_array(path), array, rtol=0, atol=1e-12)


def test_every_array_form_is_one_based_on_file(tmp_path):
    for suffix in ARRAY_SUFFIXES:
        save_prediction_array(tmp_path / f"a{suffix}", torch.zeros(2, 16, 2))
    with h5py.File(tmp_path / "a.h5") as file:
        stored = [loadmat(tmp_path / "a.mat")["preds"], file["preds"][()], np.load(tmp_path / "a.npz")["preds"]]
    for array in stored:
        assert array.shape == (2, 16, 2)
        assert (array == 1).all()


def test_pos_pred_src_is_read_joints_first_and_one_based(tmp_path):
    array = some_array()
    savemat(tmp_path / "a.mat", {"pos_pred_src": np.moveaxis(array, 0, -1) + 1})
    np.testing.assert_allclose(load_prediction_array(tmp_path / "a.mat"), array)
    savemat(tmp_path / "one.mat", {"pos_pred_src": array[0] + 1})
    np.testing.assert_allclose(load_prediction_array(tmp_path / "one.mat"), array[:1])


def test_matlab_7_3_is_read_with_its_axes_reversed(tmp_path):
    array = some_array()
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["preds"] = (array + 1).T
    np.testing.assert_allclose(load_prediction_array(tmp_path / "a.mat"), array)


def test_mpii_detections_are_read():
    if not MPII_DETECTIONS.is_file():
        pytest.skip("../shared/data is not here")
    array = load_prediction_array(MPII_DETECTIONS)
    assert array.shape == (2958, 16, 2)
    np.testing.assert_allclose(array[0, 0], [950.8445, 579.6429], atol=1e-3)


@pytest.mark.parametrize("suffix", ARRAY_SUFFIXES)
def test_damaged_arrays_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save_prediction_array(path, some_array())
    whole = path.read_bytes()
    for content in [*(whole[: len(whole) * part // 5] for part in range(5)), b"hello, this is text" * 20]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"a{suffix}: (truncated, damaged|has no 'preds')"):
            load_prediction_array(path)


@pytest.mark.parametrize("suffix", ARRAY_SUFFIXES)
def test_a_missing_key_names_the_keys_found(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_array(path, some_array(), "joints")
    with pytest.raises(UserError, match=r"has no 'preds' \(it holds joints\)"):
        load_prediction_array(path)


@pytest.mark.parametrize("array", [np.zeros((3, 32)), np.zeros((16, 2, 3)), np.zeros((3, 16, 2), complex)])
def test_other_shapes_are_refused(tmp_path, array):
    np.savez(tmp_path / "a.npz", preds=array)
    with pytest.raises(UserError, match=r"expected 'preds', N × joints × 2 \(one-based px"):
        load_prediction_array(tmp_path / "a.npz")


def test_pickled_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", preds=np.array([{}], dtype=object))
    with pytest.raises(UserError, match=r"a\.npz: truncated, damaged"):
        load_prediction_array(tmp_path / "a.npz")


def test_array_suffixes_and_shapes_are_checked_when_saving(tmp_path):
    with pytest.raises(UserError, match=r"choose \.mat, \.h5, \.npz"):
        save_prediction_array(tmp_path / "a.csv", some_array())
    with pytest.raises(ValueError, match="N × J × 2"):
        save_prediction_array(tmp_path / "a.mat", some_array()[0])
    with pytest.raises(UserError, match="does not exist"):
        load_prediction_array(tmp_path / "a.mat")
    assert not list(tmp_path.iterdir())


# 3D


@pytest.mark.parametrize("suffix", ARRAY_SUFFIXES)
def test_3d_poses_come_back_as_on_file(tmp_path, suffix):
    poses = np.random.default_rng(0).normal(0, 300, (4, 17, 3)).astype(np.float32)
    write_array(tmp_path / f"a{suffix}", poses)
    loaded = load_pose_array(tmp_path / f"a{suffix}")
    assert loaded.dtype == np.float64
    np.testing.assert_array_equal(loaded, poses)


def test_2d_and_3d_arrays_are_not_confused(tmp_path):
    save_prediction_array(tmp_path / "a.npz", some_array())
    with pytest.raises(UserError, match=r"3 × 16 × 2 .*expected 'preds', N × joints × 3 \(mm, frames in validation"):
        load_pose_array(tmp_path / "a.npz")
    write_array(tmp_path / "b.npz", np.zeros((1, 17, 3)))
    with pytest.raises(UserError, match=r"1 × 17 × 3 .*expected 'preds', N × joints × 2"):
        load_prediction_array(tmp_path / "b.npz")


# require_finite


def test_nan_is_named_by_person_and_joint():
    array = some_array(6)
    require_finite(array, "preds.mat", MPII)
    array[1, 0, 0] = np.nan
    array[4, [1, 15]] = np.inf
    with pytest.raises(UserError, match="3 of 96 joints, of 2 people") as caught:
        require_finite(array, "preds.mat", MPII)
    assert "preds.mat" in str(caught.value)
    assert "person 1 (r_ankle), person 4 (r_knee, l_wrist)" in str(caught.value)


def test_many_nan_make_a_short_message():
    with pytest.raises(UserError) as caught:
        require_finite(np.full((400, 14, 2), np.nan), "a.h5", LSP)
    message = str(caught.value)
    assert "5600 of 5600 joints, of 400 people" in message
    assert "person 2 (" in message
    assert "person 3 (" not in message
    assert "..." in message
