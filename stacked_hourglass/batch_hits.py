"""PCKh and PCK of batches of tensors, on their device, as validation during training counts them.

PCKh: `stacked_hourglass.pckh` defines it. PCK (Yang and Ramanan, "Articulated Human Detection with Flexible Mixtures of
Parts", TPAMI 2013) is the same with another length: the torso, right shoulder to left hip, as is usual on Leeds Sports
Pose. Rates are hits / counts over all batches.
"""

import torch
from torch import Tensor

from utils.transform import Skeleton


def pckh_hits(
    pred: Tensor, truth: Tensor, head_sizes: Tensor, counted: Tensor, threshold: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Detections and counts of one batch, to be added up over batches; rate = hits / counts.

    Args:
        pred, truth: (N, J, 2), in one frame; a NaN that counts is a miss.
        head_sizes: (N,), in the frame's unit; a person with NaN or 0 does not count.
        counted: (N, J) bool, the joints that count.
        threshold: fraction of the head size.

    Returns (J,) hits and (J,) counts, int64 on the device of `pred`.
    """
    return _hits(pred, truth, threshold * head_sizes, counted)


def pck_hits(
    pred: Tensor, truth: Tensor, counted: Tensor, skeleton: Skeleton, fraction: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Detections and counts of PCK: error < fraction × torso, right shoulder to left hip of the truth.

    Args:
        pred, truth: (N, J, 2), in one frame; a NaN that counts is a miss.
        counted: (N, J) bool, the joints that count. A person of whom either end of the torso does not, or with
            a torso of length 0, does not count at all.
        skeleton: the J joints; has r_shoulder and l_hip.
        fraction: of the torso's length.

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
