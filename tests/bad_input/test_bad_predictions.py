"""Bad prediction files, through `eval.py`: one line that names the fault, nothing written."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from command_line import call, files

from utils.predictions.prediction_files import save_predictions
from utils.transform import MPII

SUFFIXES = (".mat", ".h5", ".npz")


def write(path: Path, array: np.ndarray) -> Path:
    if path.suffix == ".mat":
        scipy.io.savemat(path, {"preds": array})
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["preds"] = array
    else:
        np.savez(path, preds=array)
    return path


def refusal(path: Path, mpii: Path) -> str:
    arguments = ["--data_dir", mpii, "--prediction_files", path, "--output_dir", path.parent / "scores"]
    line = call("eval", "mpii_PCKh", *arguments).refusal()
    assert files(path.parent) == [path.name]
    return line


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nan_is_named(tiny_mpii, tmp_path, suffix):
    array = np.full((4, 16, 2), 7.0)
    array[2, MPII.index("l_wrist"), 1] = np.nan
    line = refusal(write(tmp_path / f"preds{suffix}", array), tiny_mpii)
    assert "1 of 64 joints, of 1 people, are NaN or infinite: person 2 (l_wrist)" in line


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_wrong_length_says_both_lengths(tiny_mpii, tmp_path, suffix):
    line = refusal(write(tmp_path / f"preds{suffix}", np.full((3, 16, 2), 7.0)), tiny_mpii)
    assert "3 predictions for 4 validation people" in line


def test_photo_with_a_person_too_few(tiny_mpii, tmp_path):
    names = {"00008.jpg": 1, "00009.jpg": 1, "00010.jpg": 1}
    save_predictions(tmp_path / "poses.pt", {name: torch.ones(count, 16, 2) for name, count in names.items()})
    assert "00009.jpg has 1 people, expected 2" in refusal(tmp_path / "poses.pt", tiny_mpii)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".pt", ".json"])
def test_damaged_file(tiny_mpii, tmp_path, suffix):
    (tmp_path / f"preds{suffix}").write_bytes(b"\x80 no predictions")
    assert f"preds{suffix}: " in refusal(tmp_path / f"preds{suffix}", tiny_mpii)
