"""Minibatches of data that lies whole on the device: a batch is an index into it."""

import math

import torch
from torch import Tensor

from utils.compute.batch_parts import Part, part_of, shard
from utils.compute.devices import seeded_generator
from utils.compute.distributed import ALONE, Processes


class IndexLoader:
    """Minibatches of sample indices: {"index": (B,)} on the device. An epoch in training is a permutation.

    In the loop it stands for a DataLoader with an `EpochSampler`: `batch_sampler.start(epoch, skip)`, `part(number)`.
    Among several processes each gives its part of every minibatch in training, and else its part of the samples.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        device: torch.device,
        seed: int | None = None,
        processes: Processes = ALONE,
    ):
        """Without a `seed`, samples come in order. `batch_size` is of one process."""
        self._length, self._device, self._seed, self._processes = length, device, seed, processes
        self._batch_size = batch_size if seed is None else batch_size * processes.size
        self._epoch = self._skip = 0
        self.batch_sampler = self

    def start(self, epoch: int, skip: int = 0) -> None:
        """The next iteration is over `epoch`, without its first `skip` minibatches."""
        self._epoch, self._skip = epoch, skip

    def part(self, number: int) -> Part:
        """This process's part of the `number`-th minibatch of an epoch in training, from 0."""
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
    """A batch sampler that can start anywhere: (epoch, index) pairs, in an order that (seed, epoch) fixes.

    The dataset gets the epoch with each index, so that the augmentation of a sample depends on (seed, epoch,
    index) alone: the same for any number of workers, resumed or not.

    Among several processes each gets its part of every minibatch; all of them have the same order.
    """

    def __init__(self, length: int, batch_size: int, seed: int, processes: Processes = ALONE):
        """`batch_size` is of one process."""
        self._length, self._batch_size, self._seed = length, batch_size * processes.size, seed
        self._processes = processes
        self._epoch = self._skip = 0

    def start(self, epoch: int, skip: int = 0) -> None:
        """The next iteration is over `epoch`, without its first `skip` minibatches."""
        self._epoch, self._skip = epoch, skip

    def part(self, number: int) -> Part:
        """This process's part of the `number`-th minibatch of an epoch, from 0."""
        return part_of(min(self._batch_size, self._length - number * self._batch_size), self._processes)

    def __len__(self) -> int:
        return math.ceil(self._length / self._batch_size)

    def __iter__(self):
        generator = seeded_generator(self._seed, self._epoch)
        order = torch.randperm(self._length, generator=generator).tolist()
        for batch in range(self._skip, len(self)):
            chosen = order[batch * self._batch_size : (batch + 1) * self._batch_size]
            yield [(self._epoch, index) for index in chosen[self.part(batch).rows]]
