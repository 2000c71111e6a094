"""Which samples of a minibatch are whose, among several processes; alone, all of them are one's own.

The minibatch of a training step is a global one: `--train_batch_size` samples a rank. Rank r takes the r-th part of
it, and draws the random numbers of the whole of it, so that two processes compute what one with the double batch
size would.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.compute.distributed import all_reduce_sum, rank, world_size


@dataclass(frozen=True)
class Part:
    """This rank's rows of a global minibatch: `size` of `total`, from `start` on. Sizes differ by one at most."""

    start: int
    size: int
    total: int

    @property
    def rows(self) -> slice:
        """The rows to train on: never none. A rank that is left without a sample repeats the first, with weight 0."""
        return slice(self.start, self.start + self.size) if self.size else slice(0, 1)

    @property
    def weight(self) -> float:
        """What a mean over this part counts in the mean over ranks, so that this is the mean over all samples."""
        return world_size() * self.size / self.total


def part_of(total: int) -> Part:
    """The rank's contiguous part of `total` samples."""
    start, end = (total * one // world_size() for one in (rank(), rank() + 1))
    return Part(start, end - start, total)


def shard(items: Sequence) -> Sequence:
    """The rank's part of a sequence: in the order of ranks, the parts are the whole."""
    part = part_of(len(items))
    return items[part.start : part.start + part.size]


# ------------------------------------------------------------------------------------------ the step's part
_current: Part | None = None


@contextmanager
def training_on(part: Part) -> Iterator[None]:
    """Within the block, a step of the training loop, this is the part that is trained on."""
    global _current  # noqa: PLW0603 - a step is one at a time
    former, _current = _current, part
    try:
        yield
    finally:
        _current = former


def current_part() -> Part | None:
    """The part that the step of the training loop trains on; None outside of one."""
    return _current


def loss_weight() -> float:
    """What the step's loss, a mean over the rank's samples, has to be multiplied by; 1 for equal parts.

    The gradients of all ranks are averaged with equal weights, though the last minibatch may leave some fewer samples.
    """
    return 1.0 if _current is None else _current.weight


def mean_of_counted(total: Tensor, count: Tensor) -> Tensor:
    """A loss's mean over those of the minibatch that count, of which the rank's samples have `total` () and `count` ().

    Some ranks' samples may have more that counts (joints with annotations) than others'. 0 where nothing counts. Among
    several ranks it is the rank's part of that mean: with `loss_weight`, the parts' mean over ranks is the whole.
    """
    part = _current
    if part is None or world_size() == 1:
        return total / count.clamp(min=1)
    of_all = all_reduce_sum(count).clamp(min=1)
    return total * (part.total / (of_all * max(part.size, 1)))


class BatchGenerator(torch.Generator):
    """A generator by which the functions below draw for the whole minibatch and give the rank's rows."""

    def __new__(cls, device: torch.device | str = "cpu", part: Part | None = None):
        generator = super().__new__(cls, device)
        generator.part = part if part is not None else _current
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
