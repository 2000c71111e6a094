"""What the tests of bad input share: a small training, and damaged files."""

from pathlib import Path

import numpy as np
import torch
from command_line import Result, call, train_arguments
from PIL import Image

from utils.predictions.prediction_files import load_predictions

RUN_FILES = ["2d_pose_estimations.pt", "metas.pt", "predictions.json"]
ANNOTATED_RUN_FILES = sorted([*RUN_FILES, "2d_pose_ground_truths.pt", "preds_valid.mat"])


def train(data_dir: Path, work: Path, *more: object) -> Result:
    return call("train", *train_arguments(data_dir, work, "--epochs", 1, *more, workers=0), cwd=work)


def cut(path: Path, share: float = 0.5) -> Path:
    """Truncate a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def poses(folder: Path) -> dict[str, torch.Tensor]:
    return load_predictions(folder / "2d_pose_estimations.pt")


def write_text(path: Path) -> Path:
    path.write_text("not a photo")
    return path


def write_one_pixel(path: Path) -> Path:
    Image.new("RGB", (1, 1), "red").save(path)
    return path


def write_truncated(path: Path) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(path)
    return cut(path)
