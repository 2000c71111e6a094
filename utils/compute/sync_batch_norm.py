"""Batch norm over the minibatch of all ranks together: what one process with the whole minibatch would compute.

PyTorch's own `SyncBatchNorm` runs on GPUs and torch.distributed alone; this one goes wherever the engine goes.
"""

from functools import cache

import torch
from torch import Tensor, nn

from utils.compute.batch_parts import current_part
from utils.compute.distributed import all_reduce_sum, world_size


class _SumOverRanks(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum over ranks of what they have."""

    @staticmethod
    def forward(ctx, tensor):
        return all_reduce_sum(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return all_reduce_sum(gradient)


class _Synchronised:
    """Statistics over all ranks in training; elsewhere the plain batch norm's own.

    Training is a step of the loop, and wherever gradients are computed. A validation may use each batch's statistics
    too, but there ranks have different numbers of batches.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …) of any dtype; statistics are float32 at least."""
        part = current_part()
        if not (self.training and (part or torch.is_grad_enabled()) and world_size() > 1):
            return super().forward(x)
        return self._over_ranks(x, counts=part is None or part.size > 0)

    def _over_ranks(self, x: Tensor, counts: bool) -> Tensor:
        """Without `counts` the samples, which stand in for none, add nothing to the statistics."""
        axes, view = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        count = wide.new_full((1,), counts * x.numel() / x.shape[1])
        # Two passes, since a mean of squares minus a squared mean loses the digits of a small deviation.
        sums, total = _SumOverRanks.apply(torch.cat([counts * wide.sum(axes), count])).split([x.shape[1], 1])
        mean = sums / total.detach()
        centred = wide - mean.view(view)
        variance = _SumOverRanks.apply(counts * centred.square().sum(axes)) / total.detach()
        self._track(mean.detach(), variance.detach() * total / (total - 1).clamp(min=1))
        normalised = centred * (variance + self.eps).rsqrt().view(view)
        if self.affine:
            normalised = normalised * self.weight.view(view) + self.bias.view(view)
        return normalised.to(x.dtype)

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


def synchronise_batch_norms(model: nn.Module) -> None:
    """Let every batch norm of a network see all ranks' samples; parameters, buffers and their names stay.

    Before the network is compiled and wrapped.
    """
    _Synchronised._over_ranks = _outside_graphs()
    kinds = {nn.BatchNorm1d: SyncBatchNorm1d, nn.BatchNorm2d: SyncBatchNorm2d}
    for module in model.modules():
        # The module changes its class and keeps the rest, so whatever holds it or its parameters holds the right one.
        module.__class__ = kinds.get(type(module), type(module))
