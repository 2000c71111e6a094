"""MATLAB files with the same bytes every time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_mat(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a MATLAB 5 file whose header names no time of day."""
    import scipy.io  # noqa: PLC0415 - helper processes, which render, need none of it

    scipy.io.savemat(path, dict(arrays))
    with open(path, "r+b") as file:  # SciPy writes the time of day into the header's 116 characters
        file.write(b"MATLAB 5.0 MAT-file, rendered sample data".ljust(116))
