"""Smooths poses over time: the One-Euro filter, a zero-phase filter, and filling of gaps.

A sequence is one person in T frames: poses (T, J, D) with NaN where the person is missing, and timestamps (T,) in
seconds, which need not be evenly spaced.

The default parameters were chosen on motion capture (S9 and S11 of a data set in Human3.6M's layout) with measured
detector errors and swapped limbs, see docs/results.md.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class OneEuro:
    """Parameters of the One-Euro filter; speeds are in units of the person's size per second.

    Attributes:
        min_cutoff: Hz, cutoff frequency at rest. Lower values smooth more.
        beta: Hz per unit of speed, increase of the cutoff frequency. Higher values follow fast motion with less lag.
        d_cutoff: Hz, cutoff frequency of the speed estimate.
    """

    min_cutoff: float = 0.5
    beta: float = 0.2
    d_cutoff: float = 1.0


@dataclass(frozen=True)
class ZeroPhase:
    """Parameter of the zero-phase filter.

    Attributes:
        width: seconds, standard deviation of the Gaussian weights.
    """

    width: float = 0.12


def one_euro(poses: Tensor, times: Tensor, size: float, parameters: OneEuro = OneEuro()) -> Tensor:
    """Casiez, Roussel and Vogel, "1€ Filter", CHI 2012: a low-pass filter whose cutoff frequency rises with the speed.

    It uses past frames only, so that it lags behind and also works on a live stream. All coordinates of a joint share
    one cutoff frequency. Missing joints stay NaN; the filter continues from the last known position.

    Args:
        poses: (T, J, D).
        times: (T,) seconds.
        size: the person's size in the unit of `poses`.
    """
    smooth = poses.clone()
    last = torch.full_like(poses[0], torch.nan)
    speed, last_time = torch.zeros_like(last), torch.full_like(last[:, :1], torch.nan)
    for frame, (pose, time) in enumerate(zip(poses, times.tolist(), strict=True)):
        present, known = pose.isfinite().all(-1, keepdim=True), last.isfinite().all(-1, keepdim=True)
        step = (time - last_time).clamp(min=1e-6)
        new_speed = torch.lerp(speed, (pose - last) / step, _weight(step, parameters.d_cutoff))
        cutoff = parameters.min_cutoff + parameters.beta * new_speed.norm(dim=-1, keepdim=True) / size
        filtered = torch.lerp(last, pose, _weight(step, cutoff))
        speed = torch.where(present & known, new_speed, speed)
        last = torch.where(present & known, filtered, torch.where(present, pose, last))
        last_time = torch.where(present, torch.full_like(last_time, time), last_time)
        smooth[frame] = torch.where(present, last, pose)
    return smooth


def _weight(step: Tensor, cutoff: Tensor | float) -> Tensor:
    """Weight of the new value in an exponential filter of this cutoff frequency (Hz), after `step` seconds."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))


def zero_phase(poses: Tensor, times: Tensor, parameters: ZeroPhase = ZeroPhase()) -> Tensor:
    """Local linear regression over time with Gaussian weights (Fan and Gijbels, "Local Polynomial Modelling", 1996).

    It uses past and future frames, so that it has no lag, also at the ends. Missing joints stay NaN and have no weight.

    Args:
        poses: (T, J, D).
        times: (T,) seconds.
    """
    step = float(times.diff().median()) if len(times) > 1 else 1.0
    reach = min(len(times) - 1, math.ceil(3 * parameters.width / max(step, 1e-6)))
    index = torch.arange(len(times), device=poses.device)[:, None] + torch.arange(
        -reach, reach + 1, device=poses.device
    )
    inside, index = (index >= 0) & (index < len(times)), index.clamp(0, len(times) - 1)
    distance = times[index] - times[:, None]  # (T, K)
    weights = torch.exp(-0.5 * (distance / parameters.width).square()) * inside
    near = poses[index]  # (T, K, J, D)
    present = near.isfinite().all(-1)
    weights, distance = (weights[..., None] * present).to(poses.dtype), distance[..., None].to(poses.dtype)
    near = near.nan_to_num() * present[..., None]
    s0, s1, s2 = ((weights * distance**power).sum(1)[..., None] for power in range(3))
    y0 = (weights[..., None] * near).sum(1)
    y1 = ((weights * distance)[..., None] * near).sum(1)
    spread = s0 * s2 - s1.square()
    enough = spread > 1e-9 * s0.square() * parameters.width**2
    fitted = torch.where(enough, (s2 * y0 - s1 * y1) / torch.where(enough, spread, 1), y0 / s0)
    return torch.where(poses.isfinite(), fitted, poses)


def fill_gaps(values: Tensor, times: Tensor, longest: float) -> tuple[Tensor, Tensor]:
    """Interpolate linearly over missing frames between frames that are at most `longest` seconds apart.

    Args:
        values: (T, ...); a frame with any NaN counts as missing.
        times: (T,) seconds.

    Returns: the values, and which frames (T,) were filled.
    """
    present = values.isfinite().reshape(len(values), -1).all(1)
    known, frames = present.nonzero()[:, 0], torch.arange(len(values), device=values.device)
    if len(known) < 2:
        return values, torch.zeros_like(present)
    after = torch.searchsorted(known, frames).clamp(1, len(known) - 1)
    left, right = known[after - 1], known[after]
    filled = ~present & (frames > left) & (frames < right) & (times[right] - times[left] <= longest + 1e-6)
    share = ((times - times[left]) / (times[right] - times[left])).to(values.dtype)
    between = torch.lerp(values[left], values[right], share.view(-1, *[1] * (values.ndim - 1)))
    return torch.where(filled.view(-1, *[1] * (values.ndim - 1)), between, values), filled
