"""A small network, its optimizer after two steps, and a pickle that runs code."""

from pathlib import Path

import pytest
import torch
from torch import nn

from utils.osutils import UserError

SETTINGS = {
    "allow_unsafe_load": False, "lr": 0.1, "data_dir": Path("data/mpii"), "given": {"lr", "exp"}, "schedule": [60, 90],
}  # fmt: skip


class RunsCode:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def small_network(features=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, features), nn.BatchNorm1d(features), nn.Linear(features, 2))


def trained(network=None, optimizer_type=torch.optim.Adam, **settings):
    """A network and its optimizer after two steps."""
    network = network or small_network()
    optimizer = optimizer_type(network.parameters(), 0.01, **settings)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
    return network, optimizer


def one_line_error(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)
