"""A small hourglass for comparing ways of computing it."""

import torch
from torch import nn

from stacked_hourglass.hourglass import Architecture, HourglassNet


def network(**architecture) -> HourglassNet:
    """An hourglass none of whose norms is an identity."""
    torch.manual_seed(0)
    model = HourglassNet(Architecture(stacks=2, features=16, **architecture)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.3, 3)
            if module.affine:
                nn.init.uniform_(module.weight, -2, 2)  # of either sign, and some channels off
                module.weight.data[::10], module.weight.data[5::10] = 0, 1e-30
                nn.init.normal_(module.bias)
    return model
