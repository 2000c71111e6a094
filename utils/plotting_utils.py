"""Training statistics: averages over minibatches, and magnitudes of weights, gradients and updates."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.compute.distributed import Processes


class Ratio(NamedTuple):
    """A metric that is a ratio per entry, e.g. the PCKh of each joint: hits and counts, both (K,).

    Hits and counts are summed separately over minibatches, so the result does not depend on the batch size. The
    reported number is the mean over the entries with a non-zero count.
    """

    hits: Tensor
    counts: Tensor

    @classmethod
    def percent(cls, hits: Tensor, counts: Tensor) -> "Ratio":
        """The ratio in percent."""
        return cls(100 * hits, counts)


class Averages:
    """Running averages of the dicts returned by update and validation hooks, kept on their device.

    A value is a scalar (weighted by the batch size) or a `Ratio`. Nothing is copied to the host before `result`.
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
        """The averages over the values of all processes; the same on every process."""
        whole = Averages()
        whole._sums, whole._counts = processes.sum_over_ranks(self._sums), processes.sum_over_ranks(self._counts)
        return whole

    def result(self) -> dict[str, float]:
        """Name -> average; NaN if nothing was counted or a value was NaN."""
        return {name: _mean(total, self._counts[name]) for name, total in self._sums.items()}


def _mean(totals: Tensor, counts: Tensor) -> float:
    """The mean over entries with a non-zero count."""
    counted = counts > 0
    averages = torch.where(counted, totals / counts, 0)
    return (averages.sum() / counted.sum()).item()


def _widest(tensor: Tensor) -> Tensor:
    """Convert to float64, or to float32 on MPS, which has no float64."""
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)


def norm(tensors: Iterable[Tensor]) -> Tensor:
    """Euclidean norm over all entries of several tensors; 0 for none."""
    squares = [tensor.detach().float().pow(2).sum() for tensor in tensors]
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros(())


class Magnitudes:
    """Norms of a network's weights, its gradients and the update of a step. Call `before` and `after` the step."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._before: list[Tensor] = []

    def before(self) -> None:
        self._before = [p.detach().clone() for p in self._parameters]

    def after(self) -> dict[str, float]:
        """The norms, after the step and before the gradients are cleared."""
        updates = (new.detach() - old for new, old in zip(self._parameters, self._before, strict=True))
        result = {
            "magnitude/weights": norm(self._parameters).item(),
            "magnitude/gradients": norm(p.grad for p in self._parameters if p.grad is not None).item(),
            "magnitude/update": norm(updates).item(),
        }
        self._before = []
        return result
