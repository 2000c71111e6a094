"""A tiny Human3.6M folder, shared by the tests of the 3D baseline."""

from pathlib import Path

import pytest

from utils.sample.human36m import make_h36m


@pytest.fixture(scope="session")
def tiny_h36m(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven people, 15 actions × 2 sequences of 2 to 10 frames, no pictures; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("data") / "h36m"
    make_h36m(folder, training=0, validation=0, frames=6)
    return folder
