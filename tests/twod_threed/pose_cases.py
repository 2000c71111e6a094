"""Random poses, and files and changes of poses by sequence, for the tests of metrics."""

import numpy as np
import torch

from utils.predictions.prediction_files import save_predictions


def poses(seed, count=6, joints=17, size=250.0):
    """(count, joints, 3) float64."""
    return size * torch.from_numpy(np.random.default_rng(seed).standard_normal((count, joints, 3)))


def write(path, poses):
    save_predictions(path, poses)
    return path


def noisy(poses, size=20.0):
    generator = torch.Generator().manual_seed(1)
    return {key: value + size * torch.randn(value.shape, generator=generator) for key, value in poses.items()}


def changed(poses, key, change):
    """`poses` with `change` applied to a copy of the entry `key`."""
    return poses | {key: change(poses[key].clone())}
