"""Object keypoint similarity (OKS), COCO's similarity of 2D poses (cocodataset.org/#keypoints-eval).

For a person with area s² and a joint at distance d from its true position, the joint's similarity is
exp(-d² / (2 s² k²)) with k = 2σ; σ is the deviation of COCO's annotators for that joint, in units of s. A person's OKS
is the mean over the annotated joints.

COCO's AP also ranks detections by score and matches them to people. If every person has exactly one pose, in a given
box, no matching is needed: `oks_scores` returns fractions of people instead, which are not comparable with AP.

Functions accept tensors or NumPy arrays, and return the same type.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stacked_hourglass.metrics.coco_ap import OKS_THRESHOLDS
from utils.compute.arrays import in_kind
from utils.transform import COCO, Skeleton

SIGMAS: Mapping[str, float] = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "hip": 0.107,
    "knee": 0.087, "ankle": 0.089,
}  # fmt: skip


def sigmas_of(joints: Sequence[str]) -> list[float]:
    """COCO's σ of each joint, by name. Raises KeyError for a joint that COCO does not have."""
    return [SIGMAS[joint[2:] if joint[:2] in ("r_", "l_") else joint] for joint in joints]


def shared_with_coco(skeleton: Skeleton) -> tuple[str, ...]:
    """The joints that `skeleton` and COCO both have, in COCO's order: 12 for MPII and LSP, shoulders to ankles."""
    return tuple(joint for joint in COCO.joints if joint in skeleton.joints)


@in_kind
def joint_similarities(pred: Tensor, truth: Tensor, area: Tensor, joints: Sequence[str]) -> Tensor:
    """Similarity of every joint, (N, J) in [0, 1], float64.

    Args:
        pred, truth: (N, J, 2) in the same frame. A NaN prediction has similarity 0.
        area: (N,) areas of the people, in squared units of the joints, above 0.
        joints: J names.
    """
    k = 2 * torch.tensor(sigmas_of(joints), dtype=torch.float64, device=pred.device)
    squared = (pred.double() - truth.double()).square().sum(-1)
    return torch.exp(-squared / (2 * area.double()[:, None] * k**2)).nan_to_num(nan=0.0)


@in_kind
def oks(pred: Tensor, truth: Tensor, annotated: Tensor, area: Tensor, joints: Sequence[str]) -> Tensor:
    """OKS of every person, (N,) float64: the mean similarity of the annotated joints; NaN without any.

    `annotated`: (N, J) bool; the other arguments as for `joint_similarities`.
    """
    similar = joint_similarities(pred, truth, area, joints)
    # The truth of a joint without annotation is undefined.
    return similar.masked_fill(~annotated.bool(), 0.0).sum(1) / annotated.bool().sum(1)


@in_kind
def oks_scores(values: Tensor) -> dict[str, float]:
    """Scores over people's OKS (N,), one pose per person; NaN values are excluded.

    Returns:
        "mean": mean OKS.
        "above_0.5", "above_0.75": fraction of people with at least this OKS.
        "above_0.5:0.95": mean of the fractions at 0.5, 0.55, ..., 0.95, similar to AP with one pose per person.
        "people": number of people counted.

    All are NaN if nobody is counted.
    """
    values = values[~values.isnan()]
    shares = [(values >= threshold).double().mean() for threshold in OKS_THRESHOLDS]
    scores = {"mean": values.double().mean(), "above_0.5": shares[0], "above_0.75": shares[5]}
    scores["above_0.5:0.95"] = torch.stack(shares).mean()
    return {name: float(value) for name, value in scores.items()} | {"people": len(values)}
