"""Which samples of a minibatch are whose, among several processes; alone, all of them are one's own.

The minibatch of a training step is a global one: `--train_batch_size` samples a rank. Rank r takes the r-th part of
it, and draws the random numbers of the whole of it, so that two processes compute what one with the double batch
size would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from utils.compute.distributed import ALONE, Processes


@dataclass(frozen=True)
class Part:
    """This rank's rows of a global minibatch: `size` of `total`, from `start` on. Sizes differ by one at most.

    The training loop puts it into the minibatch as "part"; without one, a minibatch is whole.
    """

    start: int
    size: int
    total: int
    processes: Processes = field(default=ALONE, repr=False, compare=False)

    @property
    def rows(self) -> slice:
        """The rows to train on: never none. A rank that is left without a sample repeats the first, with weight 0."""
        return slice(self.start, self.start + self.size) if self.size else slice(0, 1)

    @property
    def weight(self) -> float:
        """What a mean over this part counts in the mean over ranks, so that this is the mean over all samples.

        The gradients of all ranks are averaged with equal weights, though the last minibatch may leave some fewer.
        """
        return self.processes.size * self.size / self.total


def part_of(total: int, processes: Processes = ALONE) -> Part:
    """The rank's contiguous part of `total` samples."""
    start, end = (total * one // processes.size for one in (processes.rank, processes.rank + 1))
    return Part(start, end - start, total, processes)


def shard(items: Sequence, processes: Processes = ALONE) -> Sequence:
    """The rank's part of a sequence: in the order of ranks, the parts are the whole."""
    part = part_of(len(items), processes)
    return items[part.start : part.start + part.size]


def mean_of_counted(total: Tensor, count: Tensor, part: Part | None = None) -> Tensor:
    """A loss's mean over those of the minibatch that count, of which the rank's samples have `total` () and `count` ().

    Some ranks' samples may have more that counts (joints with annotations) than others'. 0 where nothing counts. Among
    several ranks it is the rank's part of that mean: with `Part.weight`, the parts' mean over ranks is the whole.
    """
    if part is None or part.processes.size == 1:
        return total / count.clamp(min=1)
    of_all = part.processes.all_reduce_sum(count).clamp(min=1)
    return total * (part.total / (of_all * max(part.size, 1)))


# ------------------------------------------------------------------------------------------ random numbers
class BatchGenerator(torch.Generator):
    """A generator by which the functions below draw for the whole minibatch and give the rank's rows."""

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
    """(count, *shape) whole numbers uniform in [0, high), for `count` samples of the minibatch, on its device."""
    return _draw(lambda *size, **named: torch.randint(high, size, **named), count, shape, generator, torch.int64)


def _draw(function, count, shape, generator, dtype):
    part = getattr(generator, "part", None)
    rows = slice(None) if part is None else part.rows
    total = count if part is None else part.total
    numbers = function(total, *shape, generator=generator, device=generator.device, dtype=dtype)[rows]
    if len(numbers) != count:
        raise ValueError(f"{count} samples, but the rank's part of the minibatch has {len(numbers)}")
    return numbers
