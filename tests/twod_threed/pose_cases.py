"""Random poses for the tests of metrics."""

import numpy as np
import torch


def poses(seed, count=6, joints=17, size=250.0):
    """(count, joints, 3) float64."""
    return size * torch.from_numpy(np.random.default_rng(seed).standard_normal((count, joints, 3)))
