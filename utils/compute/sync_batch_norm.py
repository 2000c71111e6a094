"""Batch norm over the minibatch of all ranks together: what one process with the whole minibatch would compute.

PyTorch's own `SyncBatchNorm` runs on GPUs and torch.distributed alone; this one goes wherever the engine goes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from utils.compute.batch_parts import Part
from utils.compute.distributed import Processes


class _SumOverRanks(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum over ranks of what they have."""

    @staticmethod
    def forward(ctx, tensor, processes):
        ctx.processes = processes
        return processes.all_reduce_sum(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.processes.all_reduce_sum(gradient), None


class SharedStatistics:
    """What the batch norms of one network know of the processes that they share statistics with."""

    def __init__(self, processes: Processes):
        self.processes = processes
        self.part: Part | None = None

    @contextmanager
    def training_on(self, part: Part) -> Iterator[None]:
        """Within the block, a step of the training loop, this is the rank's part of the minibatch."""
        self.part = part
        try:
            yield
        finally:
            self.part = None


class _Synchronised:
    """Statistics over all ranks in training; elsewhere the plain batch norm's own.

    Training is a step of the loop, and wherever gradients are computed. A validation may use each batch's statistics
    too, but there ranks have different numbers of batches.
    """

    shared: SharedStatistics

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …) of any dtype; statistics are float32 at least."""
        in_step = self.shared.part is not None or torch.is_grad_enabled()
        if not (self.training and in_step and self.shared.processes.size > 1):
            return super().forward(x)
        return self._over_ranks(x)

    def _over_ranks(self, x: Tensor) -> Tensor:
        part = self.shared.part
        counts = part is None or part.size > 0  # else the samples stand in for none and add nothing
        axes, view = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        count = wide.new_full((1,), counts * x.numel() / x.shape[1])
        # Two passes, since a mean of squares minus a squared mean loses the digits of a small deviation.
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
    """The exchange, which the compiler leaves out: it would break the graph all the same, amid warnings.

    No decorator, since `torch.compiler.disable` imports the compiler, which takes seconds.
    """
    return torch.compiler.disable(_Synchronised._over_ranks)


def synchronise_batch_norms(model: nn.Module, processes: Processes) -> SharedStatistics:
    """Let every batch norm of a network see all ranks' samples; parameters, buffers and their names stay.

    Before the network is compiled and wrapped. Each training step runs within `training_on` of what this returns.
    """
    _Synchronised._over_ranks = _outside_graphs()
    kinds = {nn.BatchNorm1d: SyncBatchNorm1d, nn.BatchNorm2d: SyncBatchNorm2d}
    shared = SharedStatistics(processes)
    for module in model.modules():
        if type(module) in kinds:
            # The module changes its class and keeps the rest: whatever holds it or its parameters holds the right one.
            module.__class__, module.shared = kinds[type(module)], shared
    return shared
