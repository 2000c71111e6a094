"""What the tests of the hourglass trainer share: a small network, minibatches and an update."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from stacked_hourglass.annotations.people import People
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.samples.datasets import PoseCrops
from stacked_hourglass.trainer import HourglassTrainer

MEAN, STDDEV = [0.4, 0.45, 0.5], [0.2, 0.21, 0.22]
CPU = torch.device("cpu")


def network(seed: int = 0, **architecture) -> HourglassNet:
    torch.manual_seed(seed)
    return HourglassNet(replace(Architecture(stacks=1, features=8), **architecture))


def minibatch(people: People, augment: bool = False) -> dict:
    dataset = PoseCrops(people, augment)
    return default_collate([dataset[0, index] for index in range(len(people))])


class Fixed(nn.Module):
    """A network whose last of two stacks has a peak at (u, v) for every joint of every image."""

    def __init__(self, u: int, v: int):
        super().__init__()
        self.maps = torch.zeros(16, 64, 64)
        self.maps[:, v, u] = 1

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.maps.expand(len(images), 16, 64, 64)
        return [-maps, maps]


def step(trainer: HourglassTrainer, batch: dict, iteration: int = 3, **architecture) -> tuple[HourglassNet, dict]:
    model = network(**architecture).train()
    optimizer = trainer.make_optimizer(model, 1e-3, 0)
    return model, trainer.update(model, optimizer, batch, iteration, trainer.optimisation)
