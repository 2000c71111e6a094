"""PCKh and PCK of batches of tensors, on their device, for validation during training.

`metrics.pckh` defines PCKh. PCK (Yang and Ramanan, "Articulated Human Detection with Flexible Mixtures of
Parts", TPAMI 2013) uses the torso length instead, from right shoulder to left hip, as is usual on Leeds Sports Pose.
Rates are hits / counts over all batches.
"""

import torch
from torch import Tensor

from utils.transform import Skeleton


def pckh_hits(
    pred: Tensor, truth: Tensor, head_sizes: Tensor, counted: Tensor, threshold: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Detections and counts of one batch, to be summed over batches; rate = hits / counts.

    Args:
        pred, truth: (N, J, 2), in the same frame; a counted NaN is a miss.
        head_sizes: (N,), in the unit of the joints; people with NaN or 0 are excluded.
        counted: (N, J) bool, the joints to count.
        threshold: fraction of the head size.

    Returns (J,) hits and (J,) counts, int64 on the device of `pred`.
    """
    return _hits(pred, truth, threshold * head_sizes, counted)


def pck_hits(
    pred: Tensor, truth: Tensor, counted: Tensor, skeleton: Skeleton, fraction: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Detections and counts of PCK: error < fraction × torso, right shoulder to left hip of the truth.

    Args:
        pred, truth: (N, J, 2), in the same frame; a counted NaN is a miss.
        counted: (N, J) bool, the joints to count. People with an uncounted end of the torso, or a torso of length 0,
            are excluded.
        skeleton: joint order, with r_shoulder and l_hip.
        fraction: threshold as a fraction of the torso length.

    Returns (J,) hits and (J,) counts, int64 on the device of `pred`.
    """
    ends = skeleton.indices(["r_shoulder", "l_hip"])
    shoulder, hip = truth[:, ends].unbind(dim=1)
    torso = torch.linalg.vector_norm(shoulder - hip, dim=1)
    return _hits(pred, truth, fraction * torso, counted & counted[:, ends].all(dim=1, keepdim=True))


def _hits(pred: Tensor, truth: Tensor, radius: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Counted joints closer than each person's `radius` (N,), and counted joints: (J,) each."""
    counted = counted & (radius > 0)[:, None]
    close = torch.linalg.vector_norm(pred - truth, dim=2) < radius[:, None]
    return (close & counted).sum(dim=0), counted.sum(dim=0)
