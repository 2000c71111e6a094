"""What the tests of `run.py stitched_mpii` and `stitched_h36m` share."""

from pathlib import Path

import cv2
import numpy as np
import torch

from utils.predictions.prediction_files import load_predictions

ESTIMATIONS = ["2d_pose_estimations.pt", "3d_pose_estimations.pt"]
TRUTHS = ["2d_pose_ground_truths.pt", "3d_pose_ground_truths.pt"]
ALWAYS = ["metas.pt", "predictions.json"]


def write_video(path: Path, frames: int = 4, size: tuple[int, int] = (320, 240)) -> Path:
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12.5, size)
    for _ in range(frames):
        writer.write(cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), size))
    writer.release()
    return path


def poses(folder: Path, kind: str = "3d_pose_estimations") -> dict[str, torch.Tensor]:
    return load_predictions(folder / f"{kind}.pt")
