"""What the tests of `eval.py` on 2D poses share: prediction files in every form, and an evaluation by its door."""

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.osutils import UserError
from utils.predictions.coco_results import save_coco_results
from utils.predictions.prediction_arrays import save_prediction_array
from utils.predictions.prediction_files import save_predictions


def save_all_forms(folder: Path, array: np.ndarray, by_image: dict[str, torch.Tensor]) -> list[Path]:
    """The same poses as arrays of people (mat, h5, npz) and by image (pt, json)."""
    files = [folder / f"{suffix}_form.{suffix}" for suffix in ("mat", "h5", "npz", "pt", "json")]
    for path in files[:3]:
        save_prediction_array(path, array)
    save_predictions(files[3], by_image)
    save_coco_results(files[4], by_image)
    return files


def evaluated(
    door: Callable,
    result: str,
    data_dir: Path,
    files: Sequence[Path],
    names: Sequence[str] | None = None,
    output_dir: Path | None = None,
) -> dict:
    """What the script of this door writes into its file `result`."""
    output_dir = output_dir or data_dir / "out"
    door(Namespace(data_dir=data_dir, prediction_files=files, model_names=names, output_dir=output_dir))
    return json.loads((output_dir / result).read_text())


def assert_refused(
    evaluate: Callable, data_dir: Path, files: Sequence[Path], message: str, names: Sequence[str] | None = None
) -> None:
    """The evaluation ends in a UserError and writes nothing."""
    with pytest.raises(UserError, match=message):
        evaluate(data_dir, files, names)
    assert not (data_dir / "out").exists()
