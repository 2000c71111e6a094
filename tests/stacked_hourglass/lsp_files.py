"""Folders of Leeds Sports Pose with the photos that a test needs."""

import numpy as np
from scipy.io import savemat


def make(folder, count, extended, flags=None):
    """A set with photos and joints; joint j of photo n (from 0) is at (10 n + j + 1, 2 j + 1) on file."""
    (folder / "images").mkdir(parents=True)
    digits = 5 if extended else 4
    for number in range(1, count + 1):
        (folder / "images" / f"im{number:0{digits}d}.jpg").touch()
    j, n = np.meshgrid(np.arange(14.0), np.arange(count), indexing="ij")
    flags = np.full((14, count), float(extended)) if flags is None else flags
    values = np.stack([10 * n + j + 1, 2 * j + 1, flags])  # (3, 14, N)
    savemat(folder / "joints.mat", {"joints": values.transpose(1, 0, 2) if extended else values})
    return folder
