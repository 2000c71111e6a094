"""PCKh and PCK: how often a predicted joint lies close enough to the true one.

PCKh (Andriluka, Pishchulin, Gehler, Schiele, "2D Human Pose Estimation: New Benchmark and State of the Art
Analysis", CVPR 2014) measures distances by the person's head. As computed here:

* A joint is detected where its error < threshold × head size. The comparison is strict, so PCKh@0 is 0. (The
  benchmark's own script counts a tie as a detection; on real-valued coordinates ties do not occur.)
* Head size = 0.6 × the diagonal of the head box.
* The mask is the ground truth's `jnt_missing`: such joints do not count. The annotation's visibility flag is something
  else; masking with it leaves out the hard joints and inflates the result.
* head is the head top alone; shoulder, elbow, wrist, hip, knee and ankle are the mean of the left and the right
  joint's rate. `mean` is the plain mean over 14 joints, upper neck among them, pelvis and thorax not; `mean_by_count`
  weighs the same 14 joints by how many people count for each.
* AUC: area under the curve of PCKh over thresholds 0, 0.01, ..., 0.5 by the trapezoidal rule, divided by 0.5, so that a
  perfect prediction, detected at every threshold but 0, has 99 %.

All rates are in percent. A joint that counts for nobody has no rate: NaN, left out of every mean.

PCK (Yang and Ramanan, "Articulated Human Detection with Flexible Mixtures of Parts", TPAMI 2013) is the same with
another length; `pck_hits` takes the torso, right shoulder to left hip, as is usual on Leeds Sports Pose.

Errors have no frame: predictions and truth need only share one, and head sizes its unit.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from utils.transform import MPII, Skeleton

HEAD_BOX_FACTOR = 0.6
THRESHOLDS = (0.5, 0.1)
# Quotients, not multiples: 0.01 × 35 is not the double nearest to 0.35, 35 / 100 is.
CURVE_THRESHOLDS = np.arange(51) / 100

PAIRED_JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "head": ("head_top",),
    **{joint: (f"r_{joint}", f"l_{joint}") for joint in PAIRED_JOINTS},
}
MEAN_JOINTS = tuple(joint for joint in MPII.joints if joint not in ("pelvis", "thorax"))
COLUMNS = (*GROUPS, "mean", "mean_by_count")


def head_box_sizes(head_boxes: np.ndarray) -> np.ndarray:
    """(N,) px: 0.6 × the diagonal of head boxes (N, 2, 2), two opposite corners × xy."""
    return HEAD_BOX_FACTOR * np.linalg.norm(head_boxes[:, 1] - head_boxes[:, 0], axis=1)


def normalised_errors(pred: np.ndarray, truth: np.ndarray, head_sizes: np.ndarray) -> np.ndarray:
    """(N, J) distances of `pred` from `truth`, both (N, J, 2), as fractions of `head_sizes` (N,), all above 0."""
    return np.linalg.norm(pred - truth, axis=2) / head_sizes[:, None]


def pckh_per_joint(errors: np.ndarray, missing: np.ndarray, thresholds: Sequence[float] | np.ndarray) -> np.ndarray:
    """Detection rate of every joint at every threshold.

    Args:
        errors: (N, J), fractions of the head size; a NaN that counts is a miss.
        missing: (N, J), true where the joint does not count.
        thresholds: (T,), fractions of the head size.

    Returns (T, J) percent, NaN for a joint that counts for nobody.
    """
    counted = ~missing.astype(bool)
    hits = (errors < np.asarray(thresholds)[:, None, None]) & counted
    with np.errstate(invalid="ignore"):
        return 100 * hits.sum(axis=1) / counted.sum(axis=0)


def grouped_rates(per_joint: np.ndarray, missing: np.ndarray) -> dict[str, np.ndarray]:
    """Rates of joints, in MPII order, as the columns of the published tables and the two means.

    Args:
        per_joint: (T, 16) percent, NaN for a joint that counts for nobody.
        missing: (N, 16), true where the joint does not count.

    Returns "head", ..., "ankle", "mean", "mean_by_count" -> (T,) percent, NaN where no joint counts.
    """
    rates = {group: _mean(per_joint[:, MPII.indices(joints)]) for group, joints in GROUPS.items()}
    in_mean = MPII.indices(MEAN_JOINTS)
    counts = (~missing.astype(bool)).sum(axis=0)[in_mean]
    rates["mean"] = _mean(per_joint[:, in_mean])
    rates["mean_by_count"] = _mean(per_joint[:, in_mean], counts)
    return rates


def _mean(rates: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean of (T, J) over the joints that have a rate: (T,), NaN where none has."""
    known = ~np.isnan(rates)
    weights = known * (1 if weights is None else weights)
    with np.errstate(invalid="ignore"):
        return (np.where(known, rates, 0) * weights).sum(axis=1) / weights.sum(axis=1)


def pckh_curves(errors: np.ndarray, missing: np.ndarray) -> dict[str, np.ndarray]:
    """PCKh at `CURVE_THRESHOLDS`: column -> (51,) percent. Arguments (N, 16) as for `pckh_table`."""
    return grouped_rates(pckh_per_joint(errors, missing, CURVE_THRESHOLDS), missing)


def pckh_table(errors: np.ndarray, missing: np.ndarray) -> dict[str, dict[str, float]]:
    """PCKh@0.5, PCKh@0.1 and AUC of one model.

    Args:
        errors: (N, 16), MPII order, from `normalised_errors`.
        missing: (N, 16), true where the joint does not count.

    Returns {"PCKh@0.5": {"head": percent, ..., "mean_by_count": percent}, "PCKh@0.1": {...}, "AUC": {...}}; NaN for a
    column without any joint that counts.
    """
    at = grouped_rates(pckh_per_joint(errors, missing, THRESHOLDS), missing)
    curves = pckh_curves(errors, missing)
    table = {
        f"PCKh@{threshold}": {column: float(rates[row]) for column, rates in at.items()}
        for row, threshold in enumerate(THRESHOLDS)
    }
    # Even steps, divided by their span: the trapezoidal area is the mean of the midpoints.
    table["AUC"] = {column: float((curve[1:] + curve[:-1]).mean() / 2) for column, curve in curves.items()}
    return table


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
