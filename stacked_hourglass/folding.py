"""An hourglass prepared for inference: fewer passes over memory, outputs equal to rounding.

    fast = for_inference(load_hourglass("CHECKPOINT"))

A batch norm after a convolution whose output goes nowhere else is folded into its weights: two of a bottleneck's three,
the stem's and those before the heat maps. The first norm of a bottleneck stays, since its input is also the skip
connection. On a CPU in float32, ReLU and the skip connection's sum are computed within the convolutions, where this
PyTorch has oneDNN's operators for it.
"""

import copy

import torch
from torch import Tensor, nn

from stacked_hourglass.hourglass import Bottleneck, HourglassNet


def for_inference(model: HourglassNet, fuse: bool = True) -> HourglassNet:
    """A copy with folded batch norms, channels-last; `model` is unchanged.

    Attributes are those of `model`, the state dict is not. A network in training mode, and layer norms, stay as they
    are: their statistics depend on the input.

    Args:
        model: in eval mode.
        fuse: use oneDNN's fused operators on a CPU. Not for autocast and `torch.compile`, which do not know them.
    """
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)
    with torch.no_grad():
        model.bn1 = _folded(model.conv1, model.bn1)
        for conv_and_norm in model.fc:
            conv_and_norm[1] = _folded(conv_and_norm[0], conv_and_norm[1])
        for block in [module for module in model.modules() if isinstance(module, Bottleneck)]:
            block.bn2, block.bn3 = _folded(block.conv1, block.bn2), _folded(block.conv2, block.bn3)
    weight = model.conv1.weight
    if fuse and weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_fused_operators():
        _fuse_bottlenecks(model)
    return model


def _folded(conv: nn.Conv2d, norm: nn.Module) -> nn.Module:
    """Fold `norm` into the convolution before it, in place; returns what remains of it."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.training or norm.running_mean is None:
        return norm
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.double()
    shift = norm.bias.double() if norm.affine else 0
    weight = (conv.weight.double() * scale[:, None, None, None]).to(conv.weight.dtype)
    conv.weight.copy_(weight)
    conv.bias.copy_((conv.bias.double() - norm.running_mean.double()) * scale + shift)
    return nn.Identity()


class FusedBottleneck(nn.Module):
    """A bottleneck with folded norms: ReLU and the sum with the skip connection within the convolutions."""

    def __init__(self, block: Bottleneck):
        super().__init__()
        self.bn1, self.relu, self.downsample = block.bn1, block.relu, block.downsample
        self.conv1, self.conv2, self.conv3 = block.conv1, block.conv2, block.conv3

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, H, W) -> (B, 2 × planes, H, W)"""
        out = _convolution_and_relu(self.relu(self.bn1(x)), self.conv1)
        out = _convolution_and_relu(out, self.conv2)
        return _convolution_and_sum(out, self.downsample(x), self.conv3)


def _fuse_bottlenecks(module: nn.Module) -> None:
    """Replace bottlenecks whose last two norms are folded, in place."""
    for name, child in module.named_children():
        if not isinstance(child, Bottleneck):
            _fuse_bottlenecks(child)
        elif isinstance(child.bn2, nn.Identity) and isinstance(child.bn3, nn.Identity):
            setattr(module, name, FusedBottleneck(child))


def _has_fused_operators() -> bool:
    """Whether the operators exist as they are called here; they are not part of PyTorch's public interface."""
    probe = nn.Conv2d(8, 8, 1)
    image = torch.zeros(1, 8, 2, 2)
    try:
        with torch.no_grad():
            _convolution_and_sum(_convolution_and_relu(image, probe), image, probe)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True


def _convolution_and_relu(x: Tensor, conv: nn.Conv2d) -> Tensor:
    return torch.ops.mkldnn._convolution_pointwise(
        x, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups, "relu", [], ""
    )


def _convolution_and_sum(x: Tensor, other: Tensor, conv: nn.Conv2d) -> Tensor:
    shape = conv.padding, conv.stride, conv.dilation, conv.groups
    return torch.ops.mkldnn._convolution_pointwise.binary(
        x, other, conv.weight, conv.bias, *shape, "add", 1.0, None, [], None
    )
