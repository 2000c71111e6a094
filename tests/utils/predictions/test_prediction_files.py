import json
import pickle
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
from utils.predictions.prediction_files import (
    ARRAY_SUFFIXES,
    load_coco_results,
    load_metas,
    load_prediction_array,
    load_predictions,
    require_finite,
    save_coco_results,
    save_metas,
    save_prediction_array,
    save_predictions,
)
from utils.transform import LSP, MPII

MPII_DETECTIONS = Path("../shared/data/mpii/detections_our_format.mat")


def some_array(people=3):
    return np.arange(people * 32, dtype=np.float64).reshape(people, 16, 2) / 3


# .pt


def test_predictions_keep_every_person_of_an_image(tmp_path):
    path = tmp_path / "2d_pose_estimations.pt"
    given_poses = {"a.jpg": torch.rand(3, 16, 2), "S9/Walking 1/54138969": torch.rand(1, 17, 3)}
    save_predictions(path, given_poses)
    loaded = load_predictions(path)
    assert loaded.keys() == given_poses.keys()
    assert all(torch.equal(loaded[name], poses) for name, poses in given_poses.items())
    assert torch.equal(torch.load(path, weights_only=True)["a.jpg"], given_poses["a.jpg"])


def test_a_saved_view_does_not_drag_its_storage_along(tmp_path):
    save_predictions(tmp_path / "a.pt", {"a": torch.zeros(10_000, 16, 2, requires_grad=True)[:1]})
    assert (tmp_path / "a.pt").stat().st_size < 10_000
    assert not load_predictions(tmp_path / "a.pt")["a"].requires_grad


@pytest.mark.parametrize("width", [2, 3])
def test_a_bare_pose_becomes_one_person(tmp_path, width):
    torch.save({"a": torch.ones(16, width, dtype=torch.int64)}, tmp_path / "a.pt")
    poses = load_predictions(tmp_path / "a.pt")["a"]
    assert poses.shape == (1, 16, width)
    assert poses.dtype == torch.float32


@pytest.mark.parametrize("poses", [torch.zeros(16), torch.zeros(1, 16, 4), [[1.0, 2.0]], None])
def test_saving_refuses_what_is_no_pose_and_writes_nothing(tmp_path, poses):
    with pytest.raises(ValueError, match="people × joints × 2"):
        save_predictions(tmp_path / "a.pt", {"a": poses})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        torch.zeros(2, 16, 2),
        [torch.zeros(1, 16, 2)],
        {"a": [[1.0, 2.0]]},
        {"a": torch.zeros(16)},
        {"a": torch.zeros(1, 16, 4)},
        {"a": torch.zeros(1, 16, 2, dtype=torch.bool)},
        {3: torch.zeros(1, 16, 2)},
    ],
)
def test_loading_refuses_other_kinds(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(UserError, match="a prediction file is a dict, image name"):
        load_predictions(tmp_path / "a.pt")


def test_a_pickle_needing_file_is_refused(tmp_path):
    torch.save({"a": np.zeros((1, 16, 2))}, tmp_path / "a.pt")
    with pytest.raises(UserError, match="arbitrary unpickling"):
        load_predictions(tmp_path / "a.pt")


@pytest.mark.parametrize("load", [load_predictions, load_metas])
def test_damaged_torch_files_are_refused(tmp_path, load):
    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(1, 16, 2)}, path)
    whole = path.read_bytes()
    damaged = [whole[: len(whole) * part // 5] for part in range(5)]
    for content in [*damaged, b"hello, this is text", b'{"a": 1}', pickle.dumps({"a": 1})]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.pt: truncated, damaged"):
            load(path)


def test_missing_files_and_folders_are_named(tmp_path):
    for load in (load_predictions, load_metas, load_coco_results):
        with pytest.raises(UserError, match=r"no\.pt does not exist"):
            load(tmp_path / "no.pt")
    with pytest.raises(UserError, match="is a folder"):
        load_predictions(tmp_path)


# metas.pt


def test_metas_round_trip(tmp_path):
    metas = {"a.jpg": {"center": torch.ones(2), "scale": 1.5, "size": (3, 4), "notes": ["x", None, True], 4: {}}}
    save_metas(tmp_path / "metas.pt", metas)
    loaded = load_metas(tmp_path / "metas.pt")
    assert torch.equal(loaded["a.jpg"].pop("center"), metas["a.jpg"].pop("center"))
    assert loaded == metas


@pytest.mark.parametrize("value", [np.float64(1), Path("a"), np.zeros(2), {(1, 2): 3}, [{"deep": np.int64(1)}]])
def test_metas_refuse_what_would_not_open_again(tmp_path, value):
    with pytest.raises(ValueError, match=r"metas\['a'\]"):
        save_metas(tmp_path / "metas.pt", {"a": value})
    assert not list(tmp_path.iterdir())


# predictions.json


def test_coco_results_by_hand(tmp_path):
    path = tmp_path / "predictions.json"
    points = torch.tensor([[[1.0, 2.0], [3.5, float("nan")]], [[5.0, 6.0], [7.0, 8.0]]])
    scores = torch.tensor([[0.5, 1.0], [0.25, 0.25]])
    poses_3d = torch.arange(12, dtype=torch.float32).reshape(2, 2, 3)
    save_coco_results(
        path, {"a.jpg": points, "b.jpg": points[:1]}, {"a.jpg": scores, "b.jpg": scores[:1]}, {"a.jpg": poses_3d}
    )
    first, second, third = json.loads(path.read_text())
    assert first == {
        "image": "a.jpg", "person": 0, "category_id": 1, "keypoints": [1, 2, 0.5, 3.5, None, 1], "score": 0.75,
        "keypoints_3d": [0, 1, 2, 3, 4, 5],
    }  # fmt: skip
    assert (second["person"], second["keypoints_3d"]) == (1, [6, 7, 8, 9, 10, 11])
    assert (third["image"], third["person"], "keypoints_3d" in third) == ("b.jpg", 0, False)

    loaded = load_coco_results(path)
    np.testing.assert_array_equal(loaded.keypoints["a.jpg"], points)
    assert torch.equal(loaded.scores["a.jpg"], scores.double())
    assert loaded.keypoints_3d.keys() == {"a.jpg"}
    assert torch.equal(loaded.keypoints_3d["a.jpg"], poses_3d.double())


def test_coco_results_do_without_scores(tmp_path):
    save_coco_results(tmp_path / "a.json", {"a": torch.zeros(1, 16, 2), "nobody": torch.zeros(0, 16, 2)})
    loaded = load_coco_results(tmp_path / "a.json")
    assert loaded.keypoints.keys() == {"a"}
    assert torch.equal(loaded.scores["a"], torch.ones(1, 16, dtype=torch.float64))
    assert not loaded.keypoints_3d


def test_coco_results_refuse_shapes_that_disagree(tmp_path):
    with pytest.raises(ValueError, match="scores"):
        save_coco_results(tmp_path / "a.json", {"a": torch.zeros(1, 16, 2)}, {"a": torch.zeros(2, 16)})
    with pytest.raises(ValueError, match="keypoints_3d"):
        save_coco_results(tmp_path / "a.json", {"a": torch.zeros(1, 16, 2)}, None, {"a": torch.zeros(2, 17, 3)})
    assert not list(tmp_path.iterdir())


def record(person=0, **changes):
    return {"image": "a.jpg", "person": person, "keypoints": [1, 2, 1, 3, 4, 1]} | changes


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({"a": 1}, "holds a dict"),
        ([[1, 2]], "record 0"),
        ([{"person": 0, "keypoints": [1, 2, 3]}], "record 0 .*image"),
        ([record(), record(1, keypoints=[1, 2])], "record 1"),
        ([record(keypoints=["x", 2, 3])], "record 0"),
        ([record(), record()], "person 0 twice"),
        ([record(), record(2)], "without gaps"),
        ([record(), record(1, keypoints=[1, 2, 3])], "number of joints"),
    ],
)
def test_wrong_coco_results_are_refused(tmp_path, records, message):
    (tmp_path / "a.json").write_text(json.dumps(records))
    with pytest.raises(UserError, match=message):
        load_coco_results(tmp_path / "a.json")


def test_truncated_coco_results_are_refused(tmp_path):
    save_coco_results(tmp_path / "a.json", {"a": torch.zeros(1, 16, 2)})
    (tmp_path / "a.json").write_text((tmp_path / "a.json").read_text()[:40])
    with pytest.raises(UserError, match="no valid JSON"):
        load_coco_results(tmp_path / "a.json")


def test_people_are_ordered_by_their_index_not_by_their_place_in_the_file(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([record(1, keypoints=[9, 9, 1]), record(0, keypoints=[4, 4, 1])]))
    assert load_coco_results(tmp_path / "a.json").keypoints["a.jpg"][:, 0, 0].tolist() == [4, 9]


# Arrays


@pytest.mark.parametrize("suffix", ARRAY_SUFFIXES)
@settings(max_examples=10, deadline=None)
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
    if suffix == ".mat":
        savemat(path, {"joints": some_array()})
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["joints"] = some_array()
    else:
        np.savez(path, joints=some_array())
    with pytest.raises(UserError, match=r"has no 'preds' \(it holds joints\)"):
        load_prediction_array(path)


@pytest.mark.parametrize("array", [np.zeros((3, 32)), np.zeros((16, 2, 3)), np.zeros((3, 16, 2), complex)])
def test_other_shapes_are_refused(tmp_path, array):
    np.savez(tmp_path / "a.npz", preds=array)
    with pytest.raises(UserError, match="right is a numeric N × joints × 2"):
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
