"""Heat maps: rendering targets, decoding predictions, the flip test. Batched torch, on the input's device.

A heat map of H × W has pixel centres at integers. A crop is `stride` times as large (256 -> 64: stride 4) and
centres map to centres: u = (x - (stride - 1) / 2) / stride, that is (x - 1.5) / 4.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from utils.compute.batch_parts import Part, mean_of_counted

STRIDE = 4
LOCATION_TEMPERATURE = 0.05  # of `location_loss`: the height by which a place that is e times as likely is higher


def crop_to_heatmap(points: Tensor, stride: int = STRIDE) -> Tensor:
    """Crop pixels to heat-map pixels, (..., 2)."""
    return (points - (stride - 1) / 2) / stride


def heatmap_to_crop(points: Tensor, stride: int = STRIDE) -> Tensor:
    """Heat-map pixels to crop pixels, (..., 2)."""
    return points * stride + (stride - 1) / 2


def render_heatmaps(
    points: Tensor, size: tuple[int, int] = (64, 64), sigma: float = 1.0, label_type: str = "Gaussian"
) -> Tensor:
    """Target maps with a peak of 1 at the exact (sub-pixel) place of each joint.

    With d the distance to the joint, "Gaussian" is exp(-d² / 2σ²); "Cauchy" is (σ² / (d² + σ²))^1.5, the
    bivariate Cauchy density scaled to the same peak, whose heavy tails still pull from far away.

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
    dx2 = (xs - x[..., None]) ** 2  # (B, J, W)
    dy2 = (ys - y[..., None]) ** 2  # (B, J, H)
    if label_type == "Gaussian":
        along_x, along_y = (torch.exp(-d2 / (2 * sigma**2)) for d2 in (dx2, dy2))
        maps = along_y[..., :, None] * along_x[..., None, :]
    elif label_type == "Cauchy":
        maps = (sigma**2 / (dx2[..., None, :] + dy2[..., :, None] + sigma**2)) ** 1.5
    else:
        raise ValueError(f"label_type {label_type!r}: Gaussian or Cauchy")
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)  # NaN is outside
    return maps.masked_fill(~inside[..., None, None], 0.0)


def location_loss(
    heatmaps: Tensor, targets: Tensor, counted: Tensor, part: Part | None = None, saturation: float = 0.0
) -> Tensor:
    """Cross-entropy, in nats, of each map as a distribution of the joint's place: softmax(map / T) against its target.

    Where nearly all of a target is empty, the squared error hardly tells a map with a peak in a wrong place from a good
    one: this loss compares every place with every other, and its gradient reaches from the first step on to maps that
    have no peak at all. T is `LOCATION_TEMPERATURE`.

    Args:
        heatmaps: (B, J, H, W).
        targets: the same, as `render_heatmaps` gives them; one without a peak (a joint outside the map) does not count.
        counted: (B, J) bool.
        part: which part of a minibatch of several processes this is.
        saturation: q above 0 makes a joint's loss e saturate: (1 − exp(−q (e − h))) / q with h the target's entropy,
            the least value of e. Its gradient is that of e times exp(−q (e − h)): labels that contradict what the
            network is sure of, as wrong ones do, count little (as in Zhang and Sabuncu, "Generalized Cross Entropy
            Loss", NeurIPS 2018). An untrained network has e − h of 3 to 6 nats.

    Returns: the mean over the joints that count (`batch_parts.mean_of_counted`); 0 where none does.
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

    The shift (Newell et al., ECCV 2016, section 3) is applied along x and y apart; along an axis on whose border the
    peak lies, or where both neighbours are equal, there is none.

    Returns: points (B, J, 2) x, y in heat-map pixels and scores (B, J), the height of the peaks; float32.
    """
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.float().flatten(2)
    scores, index = flat.max(-1)
    x, y = index % width, index // width

    def shift(place: Tensor, length: int, step: int) -> Tensor:
        inner = (place > 0) & (place < length - 1)
        before = flat.gather(-1, (index - step).clamp(min=0)[..., None])[..., 0]
        after = flat.gather(-1, (index + step).clamp(max=height * width - 1)[..., None])[..., 0]
        return 0.25 * torch.sign(after - before) * inner

    points = torch.stack([x + shift(x, width, 1), y + shift(y, height, width)], dim=-1)
    return points, scores


def flip_heatmaps(heatmaps: Tensor, flip_order: Sequence[int]) -> Tensor:
    """Maps (B, J, H, W) of mirrored pictures to the maps of the pictures: mirror x, exchange left and right."""
    order = torch.as_tensor(flip_order, device=heatmaps.device)
    return heatmaps.flip(-1).index_select(1, order)


def flip_test(heatmaps: Tensor, mirrored: Tensor, flip_order: Sequence[int]) -> Tensor:
    """Mean of the maps predicted for pictures and, flipped back, of those predicted for their mirror images."""
    return (heatmaps + flip_heatmaps(mirrored, flip_order)) / 2
