import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.osutils import UserError
from utils.predictions.prediction_files import load_metas, load_predictions, save_metas, save_predictions

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
    with pytest.raises(UserError, match="refused, it holds pickled objects that could run code"):
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
    for load in (load_predictions, load_metas):
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
