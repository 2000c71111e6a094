"""Folders of Human3.6M poses: a small one, and the real layout where it is present."""

import pytest
from h36m_folders import CMU, h5_path, some_positions, write_table

from utils.human36m.files import write_positions


@pytest.fixture
def folder(tmp_path):
    """S1 with both takes of Walking and Sitting and one of SittingDown; S9 with one WalkDog."""
    names = [(1, "Walking 1"), (1, "Walking"), (1, "Sitting 1"), (1, "Sitting 2"), (1, "SittingDown"), (9, "WalkDog 1")]
    for seed, (subject, name) in enumerate(names):
        write_positions(h5_path(tmp_path, subject, name), some_positions(4 + seed, seed))
    write_table(tmp_path)
    return tmp_path


@pytest.fixture
def cmu():
    if not CMU.is_dir():
        pytest.skip("../shared/data is not here")
    return CMU
