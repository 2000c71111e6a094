"""Processes that a test makes up: the view of one rank of several, without any other."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from utils.compute.distributed import Processes
from utils.compute.engines import Alone


class MadeUp(Alone):
    """An engine that exchanges nothing."""

    def __init__(self, rank: int, size: int, sum_: Callable[[Tensor], Any] | None = None):
        self.rank, self.size, self.local_rank, self.local_size = rank, size, rank, size
        if sum_ is not None:
            self.sum_ = sum_


def rank_of(rank: int, size: int, sum_: Callable[[Tensor], Any] | None = None) -> Processes:
    """The processes as this rank sees them. `sum_` stands for the engine's in-place sum."""
    return Processes(MadeUp(rank, size, sum_))
