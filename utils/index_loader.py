"""Minibatches of data that lies whole on the device: a batch is an index into it."""

from argparse import Namespace

import torch

from utils.device_utils import seeded_generator


class IndexLoader:
    """Minibatches of sample indices: {"index": (B,)} on the device. An epoch in training is a permutation.

    In the loop it stands for a DataLoader with an `EpochSampler`: `batch_sampler.start(epoch, skip)`.
    """

    def __init__(self, length: int, batch_size: int, device: torch.device, seed: int | None = None):
        """Without a `seed`, samples come in order."""
        self._length, self._batch_size, self._device, self._seed = length, batch_size, device, seed
        self._epoch = self._skip = 0
        self.batch_sampler = self

    def start(self, epoch: int, skip: int = 0) -> None:
        """The next iteration is over `epoch`, without its first `skip` minibatches."""
        self._epoch, self._skip = epoch, skip

    def __len__(self) -> int:
        return len(range(0, self._length, self._batch_size))

    def __iter__(self):
        order = torch.arange(self._length)
        if self._seed is not None:
            generator = seeded_generator(self._seed, self._epoch)
            order = torch.randperm(self._length, generator=generator)
        for index in order.to(self._device).split(self._batch_size)[self._skip :]:
            yield {"index": index}


def say_if_workers_are_of_no_use(options: Namespace) -> None:
    """One line where `--workers` was given to a script whose data lies on the device."""
    if "workers" in options.given:
        print(f"--workers {options.workers}: of no use here, the poses lie on the device")
