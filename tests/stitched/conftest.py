"""Untrained networks, pictures that show nothing, and `run.py` with them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import Result, call
from tiny_checkpoints import hourglass_file, lifter_file
from tiny_fine_tuning import make_images, make_networks

from stitched.loading import load_network, stitched_extras
from utils.training.checkpoints import write_checkpoint


@pytest.fixture(scope="session")
def h36m(tmp_path_factory) -> Path:
    """6 pictures of S1 and 4 of S9, which show nothing."""
    return make_images(tmp_path_factory.mktemp("data") / "h36m")


@pytest.fixture(scope="module")
def networks(h36m, one_level, tmp_path_factory) -> tuple[object, ...]:
    """The options that name an untrained hourglass and an untrained 3D baseline."""
    return make_networks(tmp_path_factory.mktemp("networks"), h36m)


@pytest.fixture(scope="module")
def stitched(networks, tmp_path_factory) -> Path:
    """The same two networks as one checkpoint."""
    network = load_network(load_hourglass=networks[1], load_2d3d=networks[3])
    path = tmp_path_factory.mktemp("stitched") / "stitched.pth.tar"
    content = {"format_version": 1, "script": "stitched_fine_tune", "options": {}}
    write_checkpoint(path, content | {"state_dict": network.state_dict()} | stitched_extras(network))
    return path


@pytest.fixture
def two_files(tmp_path) -> dict[str, Path]:
    """Checkpoints of an untrained hourglass and 3D baseline, as arguments of `load_network`."""
    return {
        "load_hourglass": hourglass_file(tmp_path / "hourglass.pth.tar"),
        "load_2d3d": lifter_file(tmp_path / "lifter.pth.tar"),
    }


@pytest.fixture
def run(networks, tmp_path) -> Callable[..., Result]:
    """`run(DATA, …)` into `tmp_path / "out"`; other networks, or another script or folder, where given."""

    def running(data_dir, *more, script="stitched_mpii", load=networks, out="out") -> Result:
        argv = ("--data_dir", data_dir, "--output_dir", tmp_path / out, "--workers", 0, "--device", "cpu", *more)
        return call("run", script, *load, *argv, cwd=tmp_path)

    return running


@pytest.fixture
def photos(tmp_path) -> Path:
    """Three photos of blotches; one of them is in a folder of its own."""
    rng = np.random.default_rng(0)
    for name, size in {"a.png": (80, 60), "b.png": (60, 90), "sub/a.png": (70, 70)}.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), size))
    return tmp_path / "photos"
