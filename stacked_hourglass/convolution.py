"""A convolution that trains faster on CPUs with AVX2.

There, oneDNN in fp32 and channels-last takes twice as long for the input gradient of a 1 × 1 convolution as for its
forward pass, though both are products of the same size; and 1.5 to 1.8 times as long for the weight gradient of a 3 × 3
convolution as in contiguous layout. So the first is taken as a forward pass with the transposed weights, and the second
of contiguous copies, which cost a tenth of what they save. All else is as fast as in any layout, or faster.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input, conv2d_weight


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` with a bias, without dilation, groups or padding modes; 1 × 1 kernels of stride 1 without padding."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if torch.is_grad_enabled() and _is_slow(input, weight):
            return _Convolution.apply(input, weight, bias, self.stride, self.padding)
        return super()._conv_forward(input, weight, bias)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input: Tensor, weight: Tensor, bias: Tensor, stride: tuple, padding: tuple) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(input, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        (input, weight), how = ctx.saved_tensors, (ctx.stride, ctx.padding)
        pointwise = weight.shape[2:] == (1, 1)
        of_input = of_weight = of_bias = None
        if ctx.needs_input_grad[0] and pointwise:
            of_input = F.conv2d(grad, weight.transpose(0, 1))
        elif ctx.needs_input_grad[0]:
            of_input = conv2d_input(input.shape, weight, grad, *how)
        if ctx.needs_input_grad[1] and pointwise:
            of_weight = conv2d_weight(input, weight.shape, grad)
        elif ctx.needs_input_grad[1]:
            of_weight = conv2d_weight(input.contiguous(), weight.shape, grad.contiguous(), *how)
        if ctx.needs_input_grad[2]:
            of_bias = grad.sum((0, 2, 3))
        return of_input, of_weight, of_bias, None, None


def _is_slow(input: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN's own gradients are wanted, and slow: fp32 in channels-last on a CPU with AVX2."""
    return (
        weight.requires_grad
        and input.device.type == "cpu"
        and input.dtype == weight.dtype == torch.float32
        and input.is_contiguous(memory_format=torch.channels_last)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and torch.backends.cpu.get_cpu_capability() == "AVX2"
    )
