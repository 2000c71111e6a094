"""An untrained hourglass, good photos and annotations to damage, and `run.py`."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import Result, call

from stacked_hourglass.hourglass import Architecture, HourglassNet


@pytest.fixture(scope="module")
def state(one_level) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return HourglassNet(Architecture(stacks=1, features=8)).state_dict()


@pytest.fixture(scope="module")
def weights(state: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "hourglass.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def run(weights: Path, tmp_path: Path) -> Callable[..., Result]:
    """`run(PHOTOS, …)`: run.py on it, into `tmp_path / "out"`."""

    def run_on(data_dir: Path, *more: object, load: Path = weights) -> Result:
        arguments = ["--load", load, "--data_dir", data_dir, "--output_dir", tmp_path / "out", "--workers", 0, *more]
        return call("run", "hourglass_mpii", *arguments, cwd=tmp_path)

    return run_on


@pytest.fixture
def photos(tiny_mpii: Path, tmp_path: Path) -> Path:
    """A folder of two good photos, for bad ones to join."""
    (tmp_path / "photos").mkdir()
    for name in ("00001.jpg", "00003.jpg"):
        shutil.copy(tiny_mpii / "images" / name, tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def mpii(tiny_mpii: Path, tmp_path: Path) -> Path:
    """A copy of the tiny MPII folder, to be damaged."""
    return Path(shutil.copytree(tiny_mpii, tmp_path / "mpii"))
