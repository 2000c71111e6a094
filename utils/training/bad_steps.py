"""Stops training when losses or weights become NaN or infinite, before they reach a checkpoint."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from utils.compute.distributed import ALONE, Processes
from utils.osutils import RunFailed, first_few

SHOWN = 6  # samples in the message


class BadSteps:
    """Counts consecutive steps with a non-finite loss. Only `check` and `check_weights` synchronise with the device.

    With several processes, all of them stop if any one has a bad loss.
    """

    def __init__(
        self,
        most: int,
        steps_per_epoch: int,
        processes: Processes = ALONE,
        names: Callable[[Sequence[int]], list[str]] | None = None,
    ):
        """
        Args:
            most: consecutive bad steps that are tolerated; 0 for no limit.
            names: names of samples, from their indices; by default the indices.
        """
        self._most, self._steps, self._processes = most, steps_per_epoch, processes
        self._names = names or (lambda samples: [str(sample) for sample in samples])
        self._noted: list[tuple[int, Tensor, Tensor | None]] = []  # since the last check: iteration, total, samples
        self._row: list[tuple[int, list[int]]] = []  # consecutive bad steps so far: iteration, samples

    def note(self, iteration: int, losses: Mapping[str, Tensor | float], samples: Tensor | None = None) -> None:
        """Record the losses of a step and the indices (B,) of its samples."""
        total = sum(torch.as_tensor(loss).detach() for loss in losses.values())  # finite only if every loss is
        self._noted.append((iteration, total, samples))

    def check(self) -> None:
        """Raise RunFailed after too many consecutive bad steps; all processes call it after the same step."""
        if not self._most or not self._noted:
            self._noted.clear()
            return
        finite = torch.stack([total.float().isfinite() for _, total, _ in self._noted]).tolist()
        bad = [not all(ranks) for ranks in zip(*self._processes.gather_objects(finite), strict=True)]
        for (iteration, _, samples), is_bad in zip(self._noted, bad, strict=True):
            self._row = [*self._row, (iteration, _numbers(samples))] if is_bad else []
            if len(self._row) > self._most:
                self._end()
        self._noted.clear()

    def check_weights(self, model: nn.Module) -> None:
        """Raise RunFailed if a weight or running statistic is not finite; called before a checkpoint is written."""
        self.check()
        tensors = [one for one in model.state_dict().values() if one.is_floating_point() and one.numel()]
        if not self._most or not tensors:
            return
        largest = torch.stack([tensor.abs().max().float() for tensor in tensors])
        if self._processes.any_rank(not largest.isfinite().all().item()):
            if self._row:
                self._end()
            raise RunFailed(f"the network's weights are NaN or infinite; {_ADVICE}")

    def _end(self) -> None:
        iterations = [iteration for iteration, _ in self._row]
        own = self._row[0][1]
        samples = sorted({number for part in self._processes.gather_objects(own) for number in part})
        # The names of those that are shown alone: a data set may make them one by one.
        names = self._names(samples[:SHOWN]) + [""] * (len(samples) - SHOWN)
        whose = f" on samples {first_few(names, ',', SHOWN)}" if samples else ""
        raise RunFailed(
            f"the loss is NaN or infinite in {len(iterations)} steps in a row, from step {iterations[0] + 1} (epoch "
            f"{iterations[0] // self._steps + 1}){whose}; {_ADVICE}"
        )


_ADVICE = "nothing was written since the last checkpoint; check these samples, or lower --lr"


def _numbers(samples: Tensor | None) -> list[int]:
    return [] if samples is None else samples.flatten().tolist()
