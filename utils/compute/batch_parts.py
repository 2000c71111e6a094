"""The division of a minibatch among several processes; a single process has all of it.

The minibatch of a training step is global: `--train_batch_size` samples per rank. Rank r takes the r-th part but draws
random numbers for the whole minibatch, so that two processes compute the same as one with twice the batch size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from utils.compute.distributed import ALONE, Processes


@dataclass(frozen=True)
class Part:
    """This rank's rows of a global minibatch: `size` of `total`, from `start`. Sizes differ by at most one.

    The training loop adds it to the minibatch as "part"; a minibatch without one is whole.
    """

    start: int
    size: int
    total: int
    processes: Processes = field(default=ALONE, repr=False, compare=False)

    @property
    def rows(self) -> slice:
        """The rows to train on, never empty: a rank without samples repeats the first one with weight 0."""
        return slice(self.start, self.start + self.size) if self.size else slice(0, 1)

    @property
    def weight(self) -> float:
        """The weight of this part's mean, such that the mean over ranks is the mean over all samples.

        Gradients are averaged over ranks with equal weights, but parts of the last minibatch may differ in size.
        """
        return self.processes.size * self.size / self.total


def part_of(total: int, processes: Processes = ALONE) -> Part:
    """The rank's contiguous part of `total` samples."""
    start, end = (total * one // processes.size for one in (processes.rank, processes.rank + 1))
    return Part(start, end - start, total, processes)


def shard(items: Sequence, processes: Processes = ALONE) -> Sequence:
    """The rank's part of a sequence; the parts of all ranks, in order, are the whole."""
    part = part_of(len(items), processes)
    return items[part.start : part.start + part.size]


def mean_of_counted(total: Tensor, count: Tensor, part: Part | None = None) -> Tensor:
    """Mean of a loss over valid entries of the minibatch; this rank has the sum `total` () and the number `count` ().

    Ranks may differ in the number of valid entries, e.g. annotated joints. Returns 0 if there are none at all. With
    several ranks this is the rank's share: weighted by `Part.weight`, the mean over ranks is the mean over all entries.
    """
    if part is None or part.processes.size == 1:
        return total / count.clamp(min=1)
    of_all = part.processes.all_reduce_sum(count).clamp(min=1)
    return total * (part.total / (of_all * max(part.size, 1)))


# ------------------------------------------------------------------------------------------ random numbers
class BatchGenerator(torch.Generator):
    """A generator with which the functions below draw for the whole minibatch and return the rank's rows."""

    def __new__(cls, device: torch.device | str = "cpu", part: Part | None = None):
        generator = super().__new__(cls, device)
        generator.part = part
        return generator


def uniform(count: int, *shape: int, generator: torch.Generator, dtype: torch.dtype | None = None) -> Tensor:
    """(count, *shape) numbers uniform in [0, 1), for `count` samples of the minibatch, on the generator's device."""
    return _draw(torch.rand, count, shape, generator, dtype)


def normal(count: int, *shape: int, generator: torch.Generator, dtype: torch.dtype | None = None) -> Tensor:
    """(count, *shape) standard normal numbers, for `count` samples of the minibatch, on the generator's device."""
    return _draw(torch.randn, count, shape, generator, dtype)


def integers(high: int, count: int, *shape: int, generator: torch.Generator) -> Tensor:
    """(count, *shape) integers uniform in [0, high), for `count` samples of the minibatch, on its device."""
    return _draw(lambda *size, **named: torch.randint(high, size, **named), count, shape, generator, torch.int64)


def _draw(function, count, shape, generator, dtype):
    part = getattr(generator, "part", None)
    rows = slice(None) if part is None else part.rows
    total = count if part is None else part.total
    numbers = function(total, *shape, generator=generator, device=generator.device, dtype=dtype)[rows]
    if len(numbers) != count:
        raise ValueError(f"{count} samples, but the rank's part of the minibatch has {len(numbers)}")
    return numbers
