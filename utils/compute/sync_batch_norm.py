"""Batch norm over the minibatch of all ranks, equal to that of one process with the whole minibatch.

PyTorch's `SyncBatchNorm` only supports GPUs and torch.distributed; this one works with every engine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from utils.compute.batch_parts import Part
from utils.compute.distributed import Processes


class _SumOverRanks(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of the gradients over ranks."""

    @staticmethod
    def forward(ctx, tensor, processes):
        ctx.processes = processes
        return processes.all_reduce_sum(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.processes.all_reduce_sum(gradient), None


class SharedStatistics:
    """The processes and the current part of the minibatch, shared by the batch norms of a network."""

    def __init__(self, processes: Processes):
        self.processes = processes
        self.part: Part | None = None

    @contextmanager
    def training_on(self, part: Part) -> Iterator[None]:
        """Context of a training step on the rank's part of the minibatch."""
        self.part = part
        try:
            yield
        finally:
            self.part = None


class _Synchronised:
    """Uses statistics over all ranks in training, else those of plain batch norm.

    Training means a step of the loop, or gradients enabled. A validation with batch statistics is not synchronised:
    there ranks have different numbers of batches.
    """

    shared: SharedStatistics

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …) of any dtype; statistics are at least float32."""
        in_step = self.shared.part is not None or torch.is_grad_enabled()
        if not (self.training and in_step and self.shared.processes.size > 1):
            return super().forward(x)
        return self._over_ranks(x)

    def _over_ranks(self, x: Tensor) -> Tensor:
        part = self.shared.part
        counts = part is None or part.size > 0  # else the rank repeats a sample that must not contribute
        axes, view = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        count = wide.new_full((1,), counts * x.numel() / x.shape[1])
        # Two passes: a mean of squares minus a squared mean loses precision for small deviations.
        sums, total = self._sum(torch.cat([counts * wide.sum(axes), count])).split([x.shape[1], 1])
        mean = sums / total.detach()
        centred = wide - mean.view(view)
        variance = self._sum(counts * centred.square().sum(axes)) / total.detach()
        self._track(mean.detach(), variance.detach() * total / (total - 1).clamp(min=1))
        normalised = centred * (variance + self.eps).rsqrt().view(view)
        if self.affine:
            normalised = normalised * self.weight.view(view) + self.bias.view(view)
        return normalised.to(x.dtype)

    def _sum(self, tensor: Tensor) -> Tensor:
        return _SumOverRanks.apply(tensor, self.shared.processes)

    @torch.no_grad()
    def _track(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        if self.running_mean is None or not self.track_running_stats:
            return
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased_variance.to(self.running_var.dtype), share)


class SyncBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """`BatchNorm1d` over all ranks' samples."""


class SyncBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """`BatchNorm2d` over all ranks' samples."""


@cache
def _outside_graphs():
    """The exchange, excluded from compilation: it would break the graph anyway, with warnings.

    Not a decorator: `torch.compiler.disable` imports the compiler, which takes seconds.
    """
    return torch.compiler.disable(_Synchronised._over_ranks)


def synchronise_batch_norms(model: nn.Module, processes: Processes) -> SharedStatistics:
    """Make every batch norm of a network use all ranks' samples; parameters, buffers and their names are unchanged.

    Call it before compiling and wrapping. Run each training step within `training_on` of the returned object.
    """
    _Synchronised._over_ranks = _outside_graphs()
    kinds = {nn.BatchNorm1d: SyncBatchNorm1d, nn.BatchNorm2d: SyncBatchNorm2d}
    shared = SharedStatistics(processes)
    for module in model.modules():
        if type(module) in kinds:
            # Changing the class in place keeps references to the module and its parameters valid.
            module.__class__, module.shared = kinds[type(module)], shared
    return shared
