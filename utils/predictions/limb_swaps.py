"""Finds and repairs swapped limbs along a track: a detector's confusion of left and right legs or arms.

A hidden Markov model (Rabiner, Proc. IEEE 1989) whose states say whether legs and arms are swapped; the most probable
states come from Viterbi's algorithm. What swaps is the difference d of a right and a left joint: it changes its sign.

* Motion: d changes little from frame to frame. The change has Student's t distribution, whose scale is the median
  change along the track, so that a jittery detector tells less.
* Hips and shoulders point to the same side, up to the torso's twist: a von Mises distribution of their angle.
* A limb is swapped with probability `SWAP_RATE`, so that the sides which the detector gives most of the time stay.

The parameters were chosen on motion capture with measured detector errors and inserted swaps, see docs/results.md.
"""

import math

import torch
from torch import Tensor

from utils.transform import Skeleton

SIDED_JOINTS = {"legs": ("hip", "knee", "ankle"), "arms": ("shoulder", "elbow", "wrist")}
SWAP_RATE = 0.12
FREEDOM = 6.0  # degrees of freedom of the change of d
TORSO = 2.0  # concentration of the angle between hips and shoulders
LEAST_CHANGE = 0.05  # of the person's size, scale of the change of d in a perfect track
SHORT = 0.02  # of the squared size; the direction of shorter hips or shoulders tells less
CERTAIN = 1e6  # log-likelihood ratio
STATES = torch.tensor([[1, 1], [-1, 1], [1, -1], [-1, -1]])  # (state, limbs): sign of legs and arms, -1 is swapped


def repair_swaps(joints: Tensor, skeleton: Skeleton, size: float) -> tuple[Tensor, Tensor]:
    """Swap left and right of the legs or arms back in frames where a detector confused them.

    Args:
        joints: (T, J, 2 or 3), NaN where missing.
        skeleton: their order.
        size: the person's size in the unit of `joints`.

    Returns: the joints, and whether (T, 2) the legs and the arms were swapped.
    """
    limbs = joints[:, _limb_indices(skeleton)] / size  # (T, limbs, sides, 3, D)
    difference = limbs[:, :, 0] - limbs[:, :, 1]  # (T, limbs, 3, D)
    present = difference.isfinite().flatten(2).all(2)  # (T, limbs)
    swapped = _most_probable(_frame_evidence(difference, present), _motion_evidence(difference, present)) & present
    return swap_sides(joints, skeleton, swapped), swapped


def swap_sides(values: Tensor, skeleton: Skeleton, swapped: Tensor) -> Tensor:
    """Exchange right and left in values (T, J, ...) where `swapped` (T, 2) says so of the legs and the arms."""
    indices, result = _limb_indices(skeleton), values.clone()
    limbs = values[:, indices]
    mask = swapped.view(*swapped.shape, *[1] * (limbs.ndim - 2))
    result[:, indices] = torch.where(mask, limbs.flip(2), limbs)
    return result


def _limb_indices(skeleton: Skeleton) -> Tensor:
    """(limbs, sides, 3), right first."""
    return torch.tensor(
        [[[skeleton.index(f"{side}_{name}") for name in names] for side in "rl"] for names in SIDED_JOINTS.values()]
    )


def _frame_evidence(difference: Tensor, present: Tensor) -> Tensor:
    """Log-probability (T, states) of each state in its frame, from the rate of swaps and the torso."""
    states = STATES.to(difference)
    rate = math.log(1 / SWAP_RATE - 1) / 2
    hips, shoulders = difference[:, 0, 0], difference[:, 1, 0]
    length = hips.norm(dim=-1) * shoulders.norm(dim=-1)
    torso = (TORSO * (hips * shoulders).sum(-1) / (length + SHORT)).nan_to_num()
    return rate * (present.to(difference) @ states.T) + torso[:, None] * states.prod(1)


def _motion_evidence(difference: Tensor, present: Tensor) -> Tensor:
    """Log-likelihood ratio (T - 1, limbs) of the same sign as in the last known frame, against the other sign.

    Frames without the limb hand the sign on.
    """
    last = _last_known(difference)
    same = (difference[1:] - last).square().sum(-1)
    other = (difference[1:] + last).square().sum(-1)
    scale = torch.minimum(same, other).nanmedian().nan_to_num().clamp(min=LEAST_CHANGE**2)
    ratio = ((1 + other / scale / FREEDOM) / (1 + same / scale / FREEDOM)).log()
    evidence = (FREEDOM + 1) / 2 * ratio.nan_to_num().sum(-1)
    return torch.where(present[1:], evidence, CERTAIN)


def _last_known(difference: Tensor) -> Tensor:
    """(T - 1, limbs, 3, D): before each frame but the first, the last finite difference of each joint."""
    count = len(difference)
    frames = torch.arange(count, device=difference.device).view(-1, 1, 1)
    known = torch.where(difference.isfinite().all(-1), frames, 0).cummax(0).values[:-1]
    return difference.gather(0, known[..., None].expand(-1, -1, -1, difference.shape[-1]))


def _most_probable(evidence: Tensor, motion: Tensor) -> Tensor:
    """Viterbi: log-probabilities (T, states) and ratios (T - 1, limbs) -> swapped (T, limbs)."""
    states = STATES.to(evidence)
    alike = states[:, None] * states / 2  # (from, to, limbs): half a ratio for, half against
    total, choices = evidence[0], []
    for frame, ratio in enumerate(motion, start=1):
        best, choice = (total[:, None] + alike @ ratio).max(0)
        choices.append(choice)
        total = best + evidence[frame]
    state = total.argmax()
    path = [state]
    for choice in reversed(choices):
        state = choice[state]
        path.append(state)
    return STATES.to(evidence.device)[torch.stack(path[::-1])] < 0
