"""People for tests of pictures: standing, the right hand raised, in 3D and where a camera sees them."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.transform import H36M, H36M_2D

WIDTH, HEIGHT = 640, 480  # px, of the photos
# A person who faces the camera, in its frame: x right, y down, z forward, mm. The person's right has x < 0.
FACING = {
    "pelvis": (0, 0, 0), "r_hip": (-130, 0, 0), "r_knee": (-140, 450, 0), "r_ankle": (-150, 900, 0),
    "l_hip": (130, 0, 0), "l_knee": (140, 450, 0), "l_ankle": (150, 900, 0),
    "spine": (0, -250, 0), "thorax": (0, -500, 0), "nose": (0, -600, -80), "head_top": (0, -720, 0),
    "r_shoulder": (-170, -480, 0), "r_elbow": (-300, -640, 0), "r_wrist": (-420, -860, 0),
    "l_shoulder": (170, -480, 0), "l_elbow": (200, -200, 0), "l_wrist": (210, 50, 0),
}  # fmt: skip


def people(count: int, facing: bool = True) -> Tensor:
    """(count, 17, 3) mm, camera frame, hip at the origin; seen from the front or from behind."""
    pose = torch.tensor([FACING[joint] for joint in H36M.joints], dtype=torch.float32)
    return (pose * (1 if facing else torch.tensor([-1.0, 1, -1]))).repeat(count, 1, 1)


def joints_of(poses: Tensor) -> Tensor:
    """(P, 16, 2) px, order `H36M_2D`: the poses (P, 17, 3) side by side in a photo of `WIDTH` × `HEIGHT` px."""
    flat = poses[:, H36M.indices(H36M_2D.joints), :2] * 0.2
    offsets = torch.tensor([[WIDTH * (k + 1) / (len(poses) + 1), HEIGHT / 2] for k in range(len(poses))])
    return flat + offsets.reshape(-1, 1, 2)


def write_photo(path: Path, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), level, np.uint8))
    return path
