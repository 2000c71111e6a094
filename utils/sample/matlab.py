"""Writes MATLAB files reproducibly."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_mat(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a MATLAB 5 file without a timestamp in the header."""
    import scipy.io  # noqa: PLC0415 - not needed by the rendering processes

    scipy.io.savemat(path, dict(arrays))
    with open(path, "r+b") as file:  # SciPy writes a timestamp into the header of 116 characters
        file.write(b"MATLAB 5.0 MAT-file, rendered sample data".ljust(116))
