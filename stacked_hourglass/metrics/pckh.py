"""PCKh: how often a predicted joint is close enough to the true one.

PCKh (Andriluka, Pishchulin, Gehler, Schiele, "2D Human Pose Estimation: New Benchmark and State of the Art
Analysis", CVPR 2014) measures distances by the person's head. As computed here:

* A joint is detected where its error < threshold × head size. The comparison is strict, so PCKh@0 is 0. (The
  benchmark's own script counts a tie as a detection; on real-valued coordinates ties do not occur.)
* Head size = 0.6 × the diagonal of the head box.
* The mask is the ground truth's `jnt_missing`: such joints are excluded. Masking with the annotation's visibility flag
  instead would exclude the hard joints and inflate the result.
* head is the head top alone; shoulder, elbow, wrist, hip, knee and ankle are the mean of the left and the right
  joint's rate. `mean` is the plain mean over 14 joints, upper neck among them, pelvis and thorax not; `mean_by_count`
  weighs the same 14 joints by how many people count for each.
* AUC: area under the curve of PCKh over thresholds 0, 0.01, ..., 0.5 by the trapezoidal rule, divided by 0.5, so that a
  perfect prediction, detected at every threshold but 0, has 99 %.

All rates are in percent. A joint without any counted person has rate NaN and is excluded from every mean.

    table = pckh(predicted, truth, head_box_sizes(head_boxes))
    table["PCKh@0.5"]["mean"]  # percent; of each column, and beside it "PCKh@0.1" and "AUC"

Predictions and truth may be in any common frame, with head sizes in its unit. No torch import here;
`stacked_hourglass.metrics.batch_hits` has the same for batches of tensors, `lsp_pck` for Leeds Sports Pose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from utils.transform import MPII, Skeleton

HEAD_BOX_FACTOR = 0.6
PCKH_THRESHOLDS = (0.5, 0.1)
# Quotients, not multiples: 0.01 × 35 is not the double nearest to 0.35, 35 / 100 is.
CURVE_THRESHOLDS = np.arange(51) / 100

PAIRED_JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
PAIRS = {joint: (f"r_{joint}", f"l_{joint}") for joint in PAIRED_JOINTS}


@dataclass(frozen=True)
class Grouping:
    """The columns of a table, and the joints averaged in each.

    Attributes:
        skeleton: joint order, J joints.
        groups: column -> names of its joints.
        mean_joints: names of the joints in the columns `mean` and `mean_by_count`.
    """

    skeleton: Skeleton
    groups: Mapping[str, tuple[str, ...]]
    mean_joints: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Titles of a table's columns."""
        return (*self.groups, "mean", "mean_by_count")


MPII_GROUPING = Grouping(
    MPII,
    {"head": ("head_top",), **PAIRS},
    tuple(joint for joint in MPII.joints if joint not in ("pelvis", "thorax")),
)


def head_box_sizes(head_boxes: np.ndarray) -> np.ndarray:
    """(N,) px: 0.6 × the diagonal of head boxes (N, 2, 2), two opposite corners × xy."""
    return HEAD_BOX_FACTOR * np.linalg.norm(head_boxes[:, 1] - head_boxes[:, 0], axis=1)


def normalised_errors(pred: np.ndarray, truth: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(N, J) distances of `pred` from `truth`, both (N, J, 2), as fractions of `sizes` (N,), all above 0.

    Raises ValueError if the shapes disagree: nothing is broadcast.
    """
    if pred.shape != truth.shape or pred.ndim != 3 or sizes.shape != pred.shape[:1]:
        raise ValueError(
            f"predictions {pred.shape}, truth {truth.shape} and sizes {sizes.shape}: expected (N, J, 2) twice and (N,)"
        )
    return np.linalg.norm(pred - truth, axis=2) / sizes[:, None]


def pckh(
    predicted: np.ndarray, truth: np.ndarray, head_sizes: np.ndarray, missing: np.ndarray | None = None
) -> dict[str, dict[str, float]]:
    """PCKh@0.5, PCKh@0.1 and AUC of predicted joints; see `pckh_table`.

    Args:
        predicted, truth: (N, 16, 2), MPII order, in the same frame. A NaN prediction is a miss.
        head_sizes: (N,) 0.6 × the head box's diagonal (`head_box_sizes`), in the unit of the joints.
        missing: (N, 16), true for excluded joints; by default those whose truth is NaN.

    Raises ValueError if the shapes disagree.
    """
    predicted, truth, head_sizes = (np.asarray(values) for values in (predicted, truth, head_sizes))
    errors = normalised_errors(predicted, truth, head_sizes)
    return pckh_table(errors, np.isnan(truth).any(axis=2) if missing is None else np.asarray(missing))


def pckh_per_joint(errors: np.ndarray, missing: np.ndarray, thresholds: Sequence[float] | np.ndarray) -> np.ndarray:
    """Detection rate of every joint at every threshold.

    Args:
        errors: (N, J), fractions of the head size; a counted NaN is a miss.
        missing: (N, J), true for excluded joints.
        thresholds: (T,), fractions of the head size.

    Returns (T, J) percent, NaN for a joint that is missing for everybody.
    """
    counted = ~missing.astype(bool)
    hits = (errors < np.asarray(thresholds)[:, None, None]) & counted
    with np.errstate(invalid="ignore"):
        return 100 * hits.sum(axis=1) / counted.sum(axis=0)


def grouped_rates(
    per_joint: np.ndarray, missing: np.ndarray, grouping: Grouping = MPII_GROUPING
) -> dict[str, np.ndarray]:
    """Rates of joints, grouped into the columns of the published tables and the two means.

    Args:
        per_joint: (T, J) percent, in the order of the grouping's skeleton; NaN for a joint missing for everybody.
        missing: (N, J), true for excluded joints.
        grouping: the joints of each column.

    Returns "head", ..., "ankle", "mean", "mean_by_count" -> (T,) percent, NaN for a column without counted joints.
    """
    skeleton = grouping.skeleton
    rates = {group: _mean(per_joint[:, skeleton.indices(joints)]) for group, joints in grouping.groups.items()}
    in_mean = skeleton.indices(grouping.mean_joints)
    counts = (~missing.astype(bool)).sum(axis=0)[in_mean]
    rates["mean"] = _mean(per_joint[:, in_mean])
    rates["mean_by_count"] = _mean(per_joint[:, in_mean], counts)
    return rates


def _mean(rates: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean of (T, J) over the joints that have a rate: (T,), NaN without any."""
    known = ~np.isnan(rates)
    weights = known * (1 if weights is None else weights)
    with np.errstate(invalid="ignore"):
        return (np.where(known, rates, 0) * weights).sum(axis=1) / weights.sum(axis=1)


def pckh_curves(errors: np.ndarray, missing: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """PCKh at `CURVE_THRESHOLDS`: column -> (51,) percent. Arguments (N, 16) as for `pckh_table`."""
    missing = np.zeros(errors.shape, bool) if missing is None else missing
    return grouped_rates(pckh_per_joint(errors, missing, CURVE_THRESHOLDS), missing)


def pckh_table(errors: np.ndarray, missing: np.ndarray | None = None) -> dict[str, dict[str, float]]:
    """PCKh@0.5, PCKh@0.1 and AUC of one model.

    Args:
        errors: (N, 16), MPII order, from `normalised_errors`.
        missing: (N, 16), true for excluded joints; by default none.

    Returns {"PCKh@0.5": {"head": percent, ..., "mean_by_count": percent}, "PCKh@0.1": {...}, "AUC": {...}}; NaN for a
    column without counted joints.
    """
    missing = np.zeros(errors.shape, bool) if missing is None else missing
    at = grouped_rates(pckh_per_joint(errors, missing, PCKH_THRESHOLDS), missing)
    table = {
        f"PCKh@{threshold}": {column: float(rates[row]) for column, rates in at.items()}
        for row, threshold in enumerate(PCKH_THRESHOLDS)
    }
    table["AUC"] = {column: area(curve) for column, curve in pckh_curves(errors, missing).items()}
    return table


def area(curve: np.ndarray) -> float:
    """Area under rates (T,) at evenly spaced thresholds by the trapezoidal rule, divided by their range."""
    return float((curve[1:] + curve[:-1]).mean() / 2)
