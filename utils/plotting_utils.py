"""What is watched during training: averages over minibatches, and magnitudes of weights, gradients and updates."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.compute.distributed import Processes


class Ratio(NamedTuple):
    """A metric that is a share per entry, such as the PCKh of each joint: hits and counts, both (K,).

    Over minibatches the hits and the counts are summed apart, so that the result is exact whatever the batch
    size; the single number is the plain mean over the entries that were counted at all.
    """

    hits: Tensor
    counts: Tensor

    @classmethod
    def percent(cls, hits: Tensor, counts: Tensor) -> "Ratio":
        """The share in percent."""
        return cls(100 * hits, counts)


class Averages:
    """Running averages of the dicts that update and validation hooks return, kept on their device.

    A value is a scalar (weighted by the batch size) or a `Ratio`. Nothing is copied to the host before
    `result` is asked for.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def update(self, values: Mapping[str, Tensor | Ratio | float], batch_size: int = 1) -> None:
        for name, value in values.items():
            if isinstance(value, Ratio):
                total, count = _widest(value.hits), _widest(value.counts)
            else:
                total = _widest(torch.as_tensor(value).detach()) * batch_size
                count = torch.full_like(total, batch_size)
            self._sums[name] = self._sums.get(name, 0) + total
            self._counts[name] = self._counts.get(name, 0) + count

    def over_ranks(self, processes: Processes) -> "Averages":
        """The averages over what all processes have been given; every process gets the same."""
        whole = Averages()
        whole._sums, whole._counts = processes.sum_over_ranks(self._sums), processes.sum_over_ranks(self._counts)
        return whole

    def result(self) -> dict[str, float]:
        """Name -> average; NaN where nothing was counted, and where a value was NaN."""
        return {name: _mean(total, self._counts[name]) for name, total in self._sums.items()}


def _mean(totals: Tensor, counts: Tensor) -> float:
    """The mean over those entries that were counted."""
    counted = counts > 0
    averages = torch.where(counted, totals / counts, 0)
    return (averages.sum() / counted.sum()).item()


def _widest(tensor: Tensor) -> Tensor:
    """In float64, or in float32 on MPS, which has no wider type."""
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)


def norm(tensors: Iterable[Tensor]) -> Tensor:
    """Euclidean norm of all entries of several tensors together; 0 for none."""
    squares = [tensor.detach().float().pow(2).sum() for tensor in tensors]
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros(())


class Magnitudes:
    """Norms of a network's weights, gradients and of one step's update; `before` the step, `after` it."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._before: list[Tensor] = []

    def before(self) -> None:
        self._before = [p.detach().clone() for p in self._parameters]

    def after(self) -> dict[str, float]:
        """The norms, once the step is done and while the gradients are still there."""
        updates = (new.detach() - old for new, old in zip(self._parameters, self._before, strict=True))
        result = {
            "magnitude/weights": norm(self._parameters).item(),
            "magnitude/gradients": norm(p.grad for p in self._parameters if p.grad is not None).item(),
            "magnitude/update": norm(updates).item(),
        }
        self._before = []
        return result
