"""An hourglass prepared for inference: fewer passes over memory, outputs equal to rounding.

    fast = for_inference(load_hourglass("CHECKPOINT"))

A batch norm after a convolution whose output goes nowhere else is folded into its weights: two of a bottleneck's three,
the stem's and those before the heat maps. What the heat maps give to the next stack is a product of two convolutions,
so it is folded into the convolution that it is added to.

On a CPU in float32, ReLU and the skip connection's sum are computed within the convolutions, where this PyTorch has
oneDNN's operators for it. The first norm of a bottleneck, whose input is also the skip connection, and the ReLU after
it become one pass: with scale s > 0 and shift b,

    relu(s x + b) = s max(x, -b / s) + b

(a minimum for s < 0), and the convolution after it takes up s and b.
"""

import copy
import math

import torch
from torch import Tensor, nn

from stacked_hourglass.hourglass import Bottleneck, HourglassNet

LEAST_SCALE = 1e-12  # of its shift; below it a norm's scale changes nothing


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
        _fold_heatmaps(model)
        weight = model.conv1.weight
        if fuse and weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_fused_operators():
            _fuse_bottlenecks(model)
            _fuse_relus(model)
    return model


def _scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor] | None:
    """The batch norm x -> scale x + shift, (C,) float64; None if it depends on the input, or is another norm."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.training or norm.running_mean is None:
        return None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.double()
    shift = norm.bias.double() if norm.affine else torch.zeros_like(scale)
    return scale, shift - norm.running_mean.double() * scale


def _folded(conv: nn.Conv2d, norm: nn.Module) -> nn.Module:
    """Fold `norm` into the convolution before it, in place; returns what remains of it."""
    if (known := _scale_and_shift(norm)) is None:
        return norm
    scale, shift = known
    conv.weight.copy_(conv.weight.double() * scale[:, None, None, None])
    conv.bias.copy_(conv.bias.double() * scale + shift)
    return nn.Identity()


def _fold_heatmaps(model: HourglassNet) -> None:
    """Fold `score_` of each stack, a 1 × 1 convolution of the heat maps, into `fc_`, in place."""
    for score, into, of_features in zip(model.score, model.score_, model.fc_, strict=False):  # the last has no next
        weight = into.weight.double().flatten(1)  # (features, J)
        of_features.weight.add_((weight @ score.weight.double().flatten(1))[..., None, None])
        of_features.bias.add_(weight @ score.bias.double() + into.bias.double())
    model.score_ = nn.ModuleList()


def _folded_clamp(scale: Tensor, shift: Tensor, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Fold relu(scale x + shift) into the 1 × 1 convolution after it, in place.

    Returns: (C, 1, 1) least and most that is left of x, all that remains to be done.
    """
    constant = scale.abs() <= LEAST_SCALE * shift.abs()  # the ReLU's output does not depend on x
    bound = torch.where(constant, 0, -shift / scale.where(~constant, 1))
    least, most = bound.where(constant | (scale > 0), -math.inf), bound.where(constant | (scale < 0), math.inf)
    shift = torch.where(constant, shift.relu(), shift)
    weight = conv.weight.double()
    conv.bias.copy_(conv.bias.double() + weight.flatten(1) @ shift)
    conv.weight.copy_(weight * scale[:, None, None])
    return tuple(edge[:, None, None].to(conv.weight.dtype) for edge in (least, most))


class FusedBottleneck(nn.Module):
    """A bottleneck without norms: ReLU and the sum with the skip connection within the convolutions.

    `block`: one whose last two norms are folded. Its first is x -> scale x + shift, and its first convolution changes.
    """

    def __init__(self, block: Bottleneck, scale: Tensor, shift: Tensor):
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.downsample = block.conv1, block.conv2, block.conv3, block.downsample
        least, most = _folded_clamp(scale, shift, self.conv1)
        self.register_buffer("least", least, persistent=False)
        self.register_buffer("most", most, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, H, W) -> (B, 2 × planes, H, W)"""
        out = _convolution_and_relu(x.clamp(self.least, self.most), self.conv1)
        out = _convolution_and_relu(out, self.conv2)
        return _convolution_and_sum(out, self.downsample(x), self.conv3)


class ConvolutionAndRelu(nn.Module):
    """A convolution and the ReLU after it."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H', W')"""
        return _convolution_and_relu(x, self.conv)


def _fuse_bottlenecks(module: nn.Module) -> None:
    """Replace bottlenecks whose last two norms are folded, in place."""
    for name, child in module.named_children():
        if not isinstance(child, Bottleneck):
            _fuse_bottlenecks(child)
        elif all(isinstance(norm, nn.Identity) for norm in (child.bn2, child.bn3)) and (
            known := _scale_and_shift(child.bn1)
        ):
            setattr(module, name, FusedBottleneck(child, *known))


def _fuse_relus(model: HourglassNet) -> None:
    """The ReLUs of the stem and before the heat maps, where the norms between are folded; in place."""
    if isinstance(model.bn1, nn.Identity):
        model.conv1, model.relu = ConvolutionAndRelu(model.conv1), nn.Identity()
    for stack, (conv, norm, _) in enumerate(model.fc):
        if isinstance(norm, nn.Identity):
            model.fc[stack] = ConvolutionAndRelu(conv)


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
