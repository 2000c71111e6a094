"""Minibatches as sample indices: for data held on the device, and batch samplers for a DataLoader."""

import math

import torch
from torch import Tensor

from utils.compute.batch_parts import Part, part_of, shard
from utils.compute.devices import seeded_generator
from utils.compute.distributed import ALONE, Processes


class IndexLoader:
    """Minibatches of sample indices, {"index": (B,)} on the device. A training epoch is a permutation.

    Has the interface of a DataLoader with an `EpochSampler`: `batch_sampler.start(epoch, skip)`, `part(number)`.
    With several processes, each yields its part of every minibatch in training, otherwise its part of the samples.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        device: torch.device,
        seed: int | None = None,
        processes: Processes = ALONE,
    ):
        """`batch_size`: per process. `seed`: None for the samples in order."""
        self._length, self._device, self._seed, self._processes = length, device, seed, processes
        self._batch_size = batch_size if seed is None else batch_size * processes.size
        self._epoch = self._skip = 0
        self.batch_sampler = self

    def start(self, epoch: int, skip: int = 0) -> None:
        """The next iteration is over `epoch`, without its first `skip` minibatches."""
        self._epoch, self._skip = epoch, skip

    def part(self, number: int) -> Part:
        """This process's part of minibatch `number` (from 0) of a training epoch."""
        return part_of(min(self._batch_size, self._length - number * self._batch_size), self._processes)

    def __len__(self) -> int:
        return len(range(0, len(self._in_order()), self._batch_size))

    def __iter__(self):
        order = self._in_order()
        if self._seed is not None:
            generator = seeded_generator(self._seed, self._epoch)
            order = torch.randperm(self._length, generator=generator)
        for number, index in enumerate(order.to(self._device).split(self._batch_size)):
            if number >= self._skip and len(index):
                yield {"index": index if self._seed is None else index[self.part(number).rows]}

    def _in_order(self) -> Tensor:
        samples = torch.arange(self._length)
        return shard(samples, self._processes) if self._seed is None else samples


class EpochSampler:
    """A batch sampler of (epoch, index) pairs that can start at any step; (seed, epoch) determines the order.

    The dataset gets the epoch with each index, so that the augmentation of a sample depends on (seed, epoch, index)
    alone: it is the same for any number of workers, and after resuming.

    All processes use the same order; each gets its part of every minibatch.
    """

    def __init__(self, length: int, batch_size: int, seed: int, processes: Processes = ALONE):
        """`batch_size`: per process."""
        self._length, self._batch_size, self._seed = length, batch_size * processes.size, seed
        self._processes = processes
        self._epoch = self._skip = 0

    def start(self, epoch: int, skip: int = 0) -> None:
        """The next iteration is over `epoch`, without its first `skip` minibatches."""
        self._epoch, self._skip = epoch, skip

    def part(self, number: int) -> Part:
        """This process's part of minibatch `number` (from 0) of an epoch."""
        return part_of(min(self._batch_size, self._length - number * self._batch_size), self._processes)

    def __len__(self) -> int:
        return math.ceil(self._length / self._batch_size)

    def __iter__(self):
        generator = seeded_generator(self._seed, self._epoch)
        order = torch.randperm(self._length, generator=generator).tolist()
        for batch in range(self._skip, len(self)):
            chosen = order[batch * self._batch_size : (batch + 1) * self._batch_size]
            yield [(self._epoch, index) for index in chosen[self.part(batch).rows]]
