"""PCK and PCKh on Leeds Sports Pose (LSP), under both conventions of left and right.

    tables = lsp_tables(predicted, truth)  # (N, 14, 2) each, LSP order
    tables["person_centric"]["PCK@0.2"]["wrist"]  # percent

Metrics. The comparison is strict; all 14 joints are in the mean.

* PCK@0.2 (Yang and Ramanan, "Articulated Human Detection with Flexible Mixtures of Parts", TPAMI 2013): error < 0.2 ×
  torso. Torso = distance from right shoulder to left hip of the truth, under the convention's own labels.
* PCKh@0.5 (Andriluka et al., CVPR 2014): error < 0.5 × head size. LSP has no head boxes: head size = distance from neck
  to head top of the truth. MPII's is 0.75 × that distance on average, so PCKh is more forgiving here than there.
* A person without a torso (an end that is not annotated, or both ends in one place) is excluded from PCK, one without a
  head from PCKh. Joints that are not annotated are excluded.
* head is the mean of neck and head top; shoulder, elbow, wrist, hip, knee and ankle are the mean of the left and the
  right joint's rate. `mean` is the plain mean over the 14 joints, which is also that of the seven columns where every
  joint counts for somebody; `mean_by_count` weighs the joints by how many people count for each.

Conventions.

* Person-centric: the labels on file. LSP's (Johnson and Everingham, BMVC 2010) are the person's own: the right wrist
  belongs to the person's right arm, on whichever side of the image it is.
* Observer-centric (Eichner and Ferrari, "Appearance Sharing for Collective Human Pose Estimation", ACCV 2012): labels
  as if everybody faced the camera, the right joints on the left of the image. Here from coordinates, limb by limb:
  shoulders, elbows and wrists exchange sides where the right shoulder lies farther right in the image (greater x) than
  the left one; hips, knees and ankles likewise by the hips. Where not both ends of that pair are annotated, the next
  pair outward decides (elbows, wrists; knees, ankles); without a whole pair, and at equal x, the labels stay.
  Predictions are relabelled in the same way by their own coordinates, with the pair that decided for the truth. So
  exchanging the left and right of a whole limb is no error here; but in a side view, where both shoulders have nearly
  one x, a few pixels decide the labels. Figures published with Eichner and Ferrari's labels, which were made by hand,
  are comparable only roughly.

Poses have no frame: predictions and truth need only share one. No torch import here.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from stacked_hourglass.metrics.pckh import PAIRS, Grouping, grouped_rates, normalised_errors, pckh_per_joint
from utils.transform import LSP

GROUPING = Grouping(LSP, {"head": ("neck", "head_top"), **PAIRS}, LSP.joints)
CONVENTIONS = ("person_centric", "observer_centric")
TORSO = ("r_shoulder", "l_hip")
HEAD = ("neck", "head_top")
# Metric -> the joints whose distance is the unit, the threshold of the table, and those of the curve. Quotients, not
# multiples: 0.01 × 35 is not the double nearest to 0.35, 35 / 100 is.
LSP_METRICS: Mapping[str, tuple[tuple[str, str], float, np.ndarray]] = {
    "PCK@0.2": (TORSO, 0.2, np.arange(21) / 100),
    "PCKh@0.5": (HEAD, 0.5, np.arange(51) / 100),
}
# The joints of a limb from the trunk outward; the first pair that is annotated decides where right is.
LIMB_JOINTS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))

Rates = dict[str, dict[str, dict[str, np.ndarray]]]


def lsp_tables(
    pred: np.ndarray, truth: np.ndarray, annotated: np.ndarray | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Both metrics of one model under both conventions.

    Args:
        pred, truth: (N, 14, 2), LSP order, in one frame; the truth is meaningless where it is not annotated.
        annotated: (N, 14) bool; by default every joint is.

    Returns {"person_centric": {"PCK@0.2": {"head": percent, ..., "mean_by_count": percent}, "PCKh@0.5": {...}},
    "observer_centric": {...}}; NaN for a column without any joint that counts. Raises ValueError for other shapes.
    """
    rates = _rates(pred, truth, annotated, {metric: [threshold] for metric, (_, threshold, _) in LSP_METRICS.items()})
    return {
        convention: {
            metric: {column: float(rate[0]) for column, rate in by_column.items()}
            for metric, by_column in by_metric.items()
        }
        for convention, by_metric in rates.items()
    }


def lsp_curves(pred: np.ndarray, truth: np.ndarray, annotated: np.ndarray | None = None) -> Rates:
    """As `lsp_tables`, with (T,) percent at the thresholds of `LSP_METRICS` for each column."""
    return _rates(pred, truth, annotated, {metric: thresholds for metric, (_, _, thresholds) in LSP_METRICS.items()})


def counted_people(truth: np.ndarray, annotated: np.ndarray | None = None) -> dict[str, int]:
    """How many people count for each metric (person-centric labels): metric -> number of those with that unit."""
    annotated = _all_true(truth) if annotated is None else annotated
    return {metric: int((_lengths(truth, annotated, ends) > 0).sum()) for metric, (ends, _, _) in LSP_METRICS.items()}


def _rates(
    pred: np.ndarray,
    truth: np.ndarray,
    annotated: np.ndarray | None,
    thresholds: Mapping[str, Sequence[float] | np.ndarray],
) -> Rates:
    pred, truth = np.asarray(pred, np.float64), np.asarray(truth, np.float64)
    annotated = _all_true(truth) if annotated is None else np.asarray(annotated, bool)
    if truth.shape[1:] != (len(LSP), 2) or pred.shape != truth.shape or annotated.shape != truth.shape[:2]:
        raise ValueError(
            f"predictions {pred.shape}, truth {truth.shape} and annotated {annotated.shape}: expected (N, 14, 2) "
            "twice and (N, 14)"
        )
    rates: Rates = {}
    for convention, (points, joints, known) in _under_conventions(pred, truth, annotated):
        rates[convention] = {}
        for metric, (ends, _, _) in LSP_METRICS.items():
            length = _lengths(joints, known, ends)
            missing = ~known | ~(length > 0)[:, None]
            errors = normalised_errors(points, joints, np.where(length > 0, length, 1))
            rates[convention][metric] = grouped_rates(
                pckh_per_joint(errors, missing, thresholds[metric]), missing, GROUPING
            )
    return rates


def _under_conventions(
    pred: np.ndarray, truth: np.ndarray, annotated: np.ndarray
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """(convention, (pred, truth, annotated) with its labels)."""
    yield CONVENTIONS[0], (pred, truth, annotated)
    order_of_truth, order_of_pred = observer_order(truth, annotated), observer_order(pred, annotated)
    people = np.arange(len(truth))[:, None]
    relabelled = (pred[people, order_of_pred], truth[people, order_of_truth], annotated[people, order_of_truth])
    yield CONVENTIONS[1], relabelled


def observer_order(poses: np.ndarray, annotated: np.ndarray | None = None) -> np.ndarray:
    """Where each joint is to be taken from to have observer-centric labels (defined at the top).

    Args:
        poses: (N, 14, 2) with LSP's labels.
        annotated: (N, 14) bool; by default every joint is.

    Returns (N, 14): `poses[np.arange(N)[:, None], order]` has observer-centric labels.
    """
    annotated = _all_true(poses) if annotated is None else annotated
    order = np.tile(np.arange(len(LSP)), (len(poses), 1))
    for limb in LIMB_JOINTS:
        right, left = LSP.indices([f"r_{joint}" for joint in limb]), LSP.indices([f"l_{joint}" for joint in limb])
        whole = annotated[:, right] & annotated[:, left]  # (N, 3)
        pair = whole.argmax(axis=1)[:, None]  # the first that is whole
        crossed = np.take_along_axis(poses[:, right, 0] > poses[:, left, 0], pair, axis=1)[:, 0]
        exchange = np.flatnonzero(crossed & whole.any(axis=1))[:, None]
        order[exchange, right], order[exchange, left] = left, right
    return order


def _lengths(truth: np.ndarray, annotated: np.ndarray, ends: tuple[str, str]) -> np.ndarray:
    """(N,) distance between two joints; NaN where one is not annotated."""
    indices = LSP.indices(ends)
    length = np.linalg.norm(truth[:, indices[0]] - truth[:, indices[1]], axis=1)
    return np.where(annotated[:, indices].all(axis=1), length, np.nan)


def _all_true(poses: np.ndarray) -> np.ndarray:
    return np.ones(poses.shape[:2], bool)
