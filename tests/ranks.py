"""Fake processes: what one rank of several sees, without the others."""

import pickle
from collections import deque
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


class Relayed(MadeUp):
    """One of two ranks that run one after the other: rank 1 gets what rank 0 has broadcast before."""

    def __init__(self, rank: int, sent: deque[bytes]):
        super().__init__(rank, 2)
        self._sent = sent

    def broadcast_object(self, value: Any) -> Any:
        if self.rank == 0:
            self._sent.append(pickle.dumps(value))
            return value
        return pickle.loads(self._sent.popleft())


def one_after_the_other() -> tuple[Processes, Processes]:
    """Two ranks. Do with rank 0 first what both do; then rank 1 gets what rank 0 has broadcast."""
    sent: deque[bytes] = deque()
    return Processes(Relayed(0, sent)), Processes(Relayed(1, sent))
