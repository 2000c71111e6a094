"""Small Human3.6M folders for tests."""

from pathlib import Path

import numpy as np
import torch

from utils.camera_utils import CAMERA_NAMES, Camera, write_cameras_h5
from utils.human36m.actions import SUBJECTS
from utils.human36m.files import JOINTS

CMU = Path("../shared/data/cmu_h36m_layout")


def some_positions(frames=5, seed=0):
    """(frames, 32, 3) mm: random joints within 600 mm of a random point of the room."""
    random = np.random.default_rng(seed)
    centre = random.uniform(-2000, 2000, (frames, 1, 3))
    return (centre + random.uniform(-600, 600, (frames, JOINTS, 3))).astype(np.float32)


def h5_path(folder, subject, name):
    return folder / f"S{subject}" / "MyPoses" / "3D_positions" / f"{name}.h5"


def a_camera(name):
    f = torch.tensor([1000.0, 1000.0], dtype=torch.float64)
    zeros = torch.zeros(3, dtype=torch.float64)
    return Camera(torch.eye(3, dtype=torch.float64), zeros, f, f, zeros, zeros[:2], name)


def write_table(folder, subjects=SUBJECTS, without=()):
    keys = [(s, n) for s in subjects for n in (1, 2, 3, 4) if (s, n) not in without]
    write_cameras_h5(folder / "cameras.h5", {key: a_camera(CAMERA_NAMES[key[1] - 1]) for key in keys})


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)
