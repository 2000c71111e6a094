"""An hourglass prepared for inference: fewer passes over memory, outputs equal to rounding.

    fast = for_inference(load_hourglass("CHECKPOINT"))

A batch norm after a convolution whose output goes nowhere else is folded into its weights: two of a bottleneck's three,
the stem's and those before the heat maps. What the heat maps give to the next stack is a product of two convolutions,
so it is folded into the convolution that it is added to.
"""

import copy

import torch
from torch import Tensor, nn

from stacked_hourglass.hourglass import Bottleneck, HourglassNet


def for_inference(model: HourglassNet) -> HourglassNet:
    """A copy with folded batch norms, channels-last; `model` is unchanged.

    Attributes are those of `model`, the state dict is not. A network in training mode, and layer norms, stay as they
    are: their statistics depend on the input.
    """
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)
    with torch.no_grad():
        model.bn1 = _folded(model.conv1, model.bn1)
        for conv_and_norm in model.fc:
            conv_and_norm[1] = _folded(conv_and_norm[0], conv_and_norm[1])
        for block in [module for module in model.modules() if isinstance(module, Bottleneck)]:
            block.bn2, block.bn3 = _folded(block.conv1, block.bn2), _folded(block.conv2, block.bn3)
        _fold_heatmaps(model)
    return model


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor] | None:
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
    if (known := scale_and_shift(norm)) is None:
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
