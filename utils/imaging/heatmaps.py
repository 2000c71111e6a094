"""Heat maps: rendering targets, decoding predictions, the flip test. Batched torch, on the input's device.

A heat map has pixel centres at integers. A crop is `stride` times as large (256 -> 64: stride 4), so crop pixel x is
at u = (x - (stride - 1) / 2) / stride in the heat map, for stride 4 at (x - 1.5) / 4.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from utils.compute.batch_parts import Part, mean_of_counted

STRIDE = 4
LOCATION_TEMPERATURE = 0.05  # softmax temperature of `location_loss`, in units of heat-map height
DARK_SIGMA = 1.5  # heat-map px, width of the Gaussian that `decode_dark` smooths with
LEAST_HEIGHT = 1e-6  # of a smoothed map, before its logarithm


def crop_to_heatmap(points: Tensor, stride: int = STRIDE) -> Tensor:
    """Crop pixels to heat-map pixels, (..., 2)."""
    return (points - (stride - 1) / 2) / stride


def heatmap_to_crop(points: Tensor, stride: int = STRIDE) -> Tensor:
    """Heat-map pixels to crop pixels, (..., 2)."""
    return points * stride + (stride - 1) / 2


def render_heatmaps(
    points: Tensor, size: tuple[int, int] = (64, 64), sigma: float = 1.0, label_type: str = "Gaussian"
) -> Tensor:
    """Target maps with a peak of 1 at the exact (sub-pixel) position of each joint.

    With d the distance to the joint, "Gaussian" is exp(-d² / 2σ²); "Cauchy" is (σ² / (d² + σ²))^1.5, the bivariate
    Cauchy density scaled to the same peak, whose heavy tails give a gradient even far away.

    Args:
        points: (B, J, 2) x, y in heat-map pixels. A joint outside the map gets an empty map.
        size: (H, W).
        sigma: width in heat-map pixels.

    Returns: (B, J, H, W), in the dtype of `points`.
    """
    height, width = size
    xs = torch.arange(width, dtype=points.dtype, device=points.device)
    ys = torch.arange(height, dtype=points.dtype, device=points.device)
    x, y = points.unbind(-1)
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)  # NaN is outside
    dx2 = (xs - x[..., None]) ** 2  # (B, J, W)
    dy2 = (ys - y[..., None]) ** 2  # (B, J, H)
    if label_type == "Gaussian":
        along_x, along_y = (torch.exp(-d2 / (2 * sigma**2)) for d2 in (dx2, dy2))
        # Emptied before the product, which is the only pass over all pixels.
        along_x, along_y = (along.masked_fill(~inside[..., None], 0.0) for along in (along_x, along_y))
        return along_y[..., :, None] * along_x[..., None, :]
    if label_type != "Cauchy":
        raise ValueError(f"label_type {label_type!r}: Gaussian or Cauchy")
    maps = (sigma**2 / (dx2[..., None, :] + dy2[..., :, None] + sigma**2)) ** 1.5
    return maps.masked_fill(~inside[..., None, None], 0.0)


def location_loss(
    heatmaps: Tensor, targets: Tensor, counted: Tensor, part: Part | None = None, saturation: float = 0.0
) -> Tensor:
    """Cross-entropy, in nats, of each map as a distribution over joint positions, softmax(map / T), with its target.

    Targets are almost empty, so the squared error of a map with a misplaced peak is close to that of a good one. This
    loss compares all positions, and its gradient is useful from the first step, when maps have no peak yet. T is
    `LOCATION_TEMPERATURE`.

    Args:
        heatmaps: (B, J, H, W).
        targets: (B, J, H, W) from `render_heatmaps`; empty ones (joints outside the map) are excluded.
        counted: (B, J) bool, joints to include.
        part: this process's part of the minibatch, with several processes.
        saturation: q > 0 makes a joint's loss e saturate: (1 − exp(−q (e − h))) / q, where h is the target's entropy,
            the minimum of e. The gradient is that of e times exp(−q (e − h)), so labels that contradict a confident
            network, as wrong ones do, have little weight (as in Zhang and Sabuncu, "Generalized Cross Entropy Loss",
            NeurIPS 2018). An untrained network has e − h of 3 to 6 nats.

    Returns: the mean over the included joints (`batch_parts.mean_of_counted`); 0 without any.
    """
    flat = targets.flatten(2)
    mass = flat.sum(-1)
    counted = counted & (mass > 0)
    log_places = (heatmaps.flatten(2) / LOCATION_TEMPERATURE).log_softmax(-1)
    errors = -(flat * log_places).sum(-1) / torch.where(mass > 0, mass, 1.0)
    if saturation:
        places = flat / torch.where(mass > 0, mass, 1.0)[..., None]
        entropy = -torch.xlogy(places, places).sum(-1)
        errors = -torch.expm1(-saturation * (errors - entropy)) / saturation
    return mean_of_counted(errors.masked_fill(~counted, 0.0).sum(), counted.sum(), part)


def decode_heatmaps(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Peaks of (B, J, H, W) maps: the highest pixel, moved a quarter pixel towards its higher neighbour.

    The shift (Newell et al., ECCV 2016, section 3) is applied to x and y separately. There is none along an axis if the
    peak is on its border or both neighbours are equal.

    Returns: points (B, J, 2) x, y in heat-map pixels and scores (B, J), the peak heights; float32.
    """
    height, width = heatmaps.shape[-2:]
    heatmaps = heatmaps.float()
    place = hard_maximum(heatmaps.flatten(0, 1)).unflatten(0, heatmaps.shape[:2])
    x, y = place.unbind(-1)
    peak = y * width + x
    around = torch.stack([peak, peak - 1, peak - width, peak + 1, peak + width], -1)
    height_at = heatmaps.flatten(2).gather(-1, around.clamp_(0, height * width - 1))
    inner = torch.stack([(x > 0) & (x < width - 1), (y > 0) & (y < height - 1)], -1)
    points = place + 0.25 * torch.sign(height_at[..., 3:] - height_at[..., 1:3]) * inner
    return points, height_at[..., 0].contiguous()


def decode_dark(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Peaks of (B, J, H, W) maps by DARK: the highest pixel of the smoothed map, moved to the peak of a Gaussian there.

    Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation" (CVPR 2020): maps are
    smoothed with a Gaussian, so that of several peaks the one with the most around it wins. The logarithm L of a
    Gaussian is a parabola, whose peak is at μ − L''⁻¹ L' from the differences of L around the highest pixel μ. There is
    no shift on the border or where L is no peak; along each axis it is at most 1 px.

    Returns: points (B, J, 2) x, y in heat-map pixels and scores (B, J), the heights of the maps themselves at the
    highest pixel of the smoothed ones; float32.
    """
    height, width = heatmaps.shape[-2:]
    heatmaps = heatmaps.float()
    smooth = smooth_heatmaps(heatmaps, DARK_SIGMA)
    x, y = hard_maximum(smooth.flatten(0, 1)).unflatten(0, heatmaps.shape[:2]).unbind(-1)
    peak, step = y * width + x, torch.arange(-1, 2, device=x.device)
    around = (peak[..., None, None] + step[:, None] * width + step).clamp(0, height * width - 1)  # (B, J, 3, 3)
    logs = smooth.flatten(2).gather(-1, around.flatten(2)).clamp(min=LEAST_HEIGHT).log().unflatten(-1, (3, 3))
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    points = torch.stack([x, y], -1) + _peak_of_parabola(logs).masked_fill(~inner[..., None], 0.0)
    return points, heatmaps.flatten(2).gather(-1, peak[..., None])[..., 0]


def smooth_heatmaps(heatmaps: Tensor, sigma: float) -> Tensor:
    """Floating-point maps (..., H, W) smoothed with a Gaussian of `sigma` > 0 px; outside the map is 0.

    A map with a pixel that is NaN or infinite becomes NaN in part, and no other map is affected.
    """
    (height, width), kind = heatmaps.shape[-2:], heatmaps.device.type
    exact = torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
    with exact:  # autocast would round the heights
        return _gaussian(height, sigma, heatmaps) @ heatmaps @ _gaussian(width, sigma, heatmaps)


def _gaussian(length: int, sigma: float, like: Tensor) -> Tensor:
    """(length, length) matrix that smooths along an axis with a Gaussian; outside the map is 0."""
    places = torch.arange(length, dtype=like.dtype, device=like.device)
    distances = (places[:, None] - places) / sigma
    weights = torch.exp(-(distances**2) / 2) / (sigma * math.sqrt(2 * math.pi))
    return weights.masked_fill(distances.abs() > 4, 0.0)  # smaller ones change nothing, and denormal numbers are slow


def _peak_of_parabola(near: Tensor) -> Tensor:
    """(..., 3, 3) values around a pixel -> (..., 2) x, y from it to the peak of their second-order Taylor expansion."""
    middle = near[..., 1, 1]
    by_x, by_y = (near[..., 1, 2] - near[..., 1, 0]) / 2, (near[..., 2, 1] - near[..., 0, 1]) / 2
    by_xx = near[..., 1, 2] + near[..., 1, 0] - 2 * middle
    by_yy = near[..., 2, 1] + near[..., 0, 1] - 2 * middle
    by_xy = (near[..., 2, 2] - near[..., 2, 0] - near[..., 0, 2] + near[..., 0, 0]) / 4
    determinant = by_xx * by_yy - by_xy**2
    is_peak = (determinant > 0) & (by_xx < 0)
    shift = torch.stack([by_xy * by_y - by_yy * by_x, by_xy * by_x - by_xx * by_y], -1)
    shift = shift / torch.where(is_peak, determinant, 1.0)[..., None]
    return shift.clamp(-1, 1).masked_fill(~is_peak[..., None], 0.0)


def hard_maximum(maps: Tensor) -> Tensor:
    """(N, L) or (N, H, W) -> (N, 1) or (N, 2), px, x first: the first maximum in reading order; NaN is the largest.

    The maximum of each row is found first, which is several times as fast as one argmax over all pixels.
    """
    if maps.ndim == 2:
        return maps.max(-1, keepdim=True).indices
    number, height, width = maps.shape
    y = maps.amax(-1).max(-1).indices  # quicker than argmax
    rows = maps.reshape(-1, width).index_select(0, y + height * torch.arange(number, device=maps.device))
    return torch.stack([rows.max(-1).indices, y], -1)


DECODINGS = {"quarter": decode_heatmaps, "dark": decode_dark}


def flip_heatmaps(heatmaps: Tensor, flip_order: Sequence[int]) -> Tensor:
    """Map heat maps (B, J, H, W) of mirrored images back: mirror x and swap left and right joints."""
    order = torch.as_tensor(flip_order, device=heatmaps.device)
    return heatmaps.flip(-1).index_select(1, order)


def flip_test(heatmaps: Tensor, mirrored: Tensor, flip_order: Sequence[int]) -> Tensor:
    """Average the maps predicted for images with those predicted for the mirrored images, flipped back."""
    return (heatmaps + flip_heatmaps(mirrored, flip_order)) / 2
