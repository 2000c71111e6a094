"""Checkpoints of untrained networks, as training would have written them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch

from stacked_hourglass import hourglass as hourglass_module
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stitched.loading import load_network, stitched_extras
from twod_threed.model import LinearModel
from twod_threed.normalisation import Normalisation
from utils.training.checkpoints import write_checkpoint

SMALL = Architecture(stacks=1, features=8, batch_norm_momentum=0.3)


@contextmanager
def levels(count: int) -> Iterator[None]:
    """Within it hourglasses have `count` levels in place of four."""
    with patch.object(hourglass_module, "DEPTH", count):
        yield


def make_normalisation(kind="instance"):
    sizes = ((16, 2), (16, 2), (17, 3), (17, 3))
    return Normalisation(kind, *(1 + torch.rand(s, generator=torch.Generator().manual_seed(1)) for s in sizes))


def hourglass_file(path, skeleton="MPII", architecture=SMALL):
    torch.manual_seed(2)
    content = {
        "script": "hourglass_mpii",
        "options": {"batch_norm_momentum": architecture.batch_norm_momentum},
        "state_dict": HourglassNet(architecture).state_dict(),
        "mean": [0.1, 0.2, 0.3],
        "skeleton": skeleton,
    }
    torch.save(content, path)
    return path


def lifter_file(path, kind="instance"):
    torch.manual_seed(3)
    model = LinearModel(linear_size=12, num_stage=1, without_hip=kind == "instance")
    content = {"script": "2d3d_h36m", "state_dict": model.state_dict()}
    torch.save(content | ({"normalisation": make_normalisation(kind).plain()} if kind else {}), path)
    return path


def stitched_file(path: Path, hourglass: Path, lifter: Path) -> Path:
    """A whole stitched network of two checkpoints."""
    network = load_network(load_hourglass=hourglass, load_2d3d=lifter)
    content = {"script": "stitched_fine_tune", "state_dict": network.state_dict(), "options": {}}
    write_checkpoint(path, content | stitched_extras(network))
    return path
