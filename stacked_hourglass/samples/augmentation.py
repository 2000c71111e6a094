"""Augmentation of training crops. Workers apply the geometry in their warp; the rest is batched on the device.

`--augment_training_data` enables scale, rotation, flip and colour, drawn independently; `--add_random_masking` enables
masks.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from utils.compute.batch_parts import normal, uniform

SCALE_RANGE = 0.25  # the side is scaled by 1 ± 0.25
LARGEST_SCALE = 1 + SCALE_RANGE
ROTATION_STD = 30.0  # degrees, truncated at ± 2 standard deviations
ROTATION_PROB = 0.6
FLIP_PROB = 0.5
COLOUR_RANGE = 0.2  # every channel is scaled by 1 ± 0.2


def draw_geometry(rng: np.random.Generator) -> tuple[float, float, bool]:
    """Draw the scale of the crop's side, the rotation in degrees, and whether to flip.

    Scale and rotation are normal with standard deviations 0.25 and 30°, clipped to ±0.25 and ±60°; 40 % of the samples
    are not rotated.
    """
    scale = 1 + min(max(rng.standard_normal() * SCALE_RANGE, -SCALE_RANGE), SCALE_RANGE)
    rotation = min(max(rng.standard_normal() * ROTATION_STD, -2 * ROTATION_STD), 2 * ROTATION_STD)
    rotated, flipped = rng.random(2) < (ROTATION_PROB, FLIP_PROB)
    return float(scale), float(rotation) if rotated else 0.0, bool(flipped)


def jitter_colour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Scale every channel of (B, 3, H, W) images in [0, 1] by 1 ± 0.2, clipped at 1."""
    gains = 1 + COLOUR_RANGE * (2 * _uniform(images, generator, 3) - 1)
    return (images * gains[..., None, None]).clamp_(max=1)


@dataclass(frozen=True)
class RandomMasking:
    """Cover a bar of an image, so that the network learns to infer hidden joints.

    Attributes:
        mask_prob: probability of a mask.
        orientation_prob: probability that the bar is vertical (full columns), else horizontal (full rows).
        mean_valued_prob: probability that it has the mean pixel value, else noise around it.
        max_cover_ratio: maximum fraction of the person's width (vertical bar) or height (horizontal) to cover.
        noise_std: standard deviation of the Gaussian noise, for pixels in [0, 1].
    """

    mask_prob: float = 0.5
    orientation_prob: float = 0.5
    mean_valued_prob: float = 0.5
    max_cover_ratio: float = 0.5
    noise_std: float = 0.2

    def __call__(
        self, images: Tensor, joints: Tensor, annotated: Tensor, mean: Tensor, generator: torch.Generator
    ) -> Tensor:
        """
        Args:
            images: (B, 3, H, W) in [0, 1].
            joints: (B, J, 2) crop pixels; the annotated ones span the person's box.
            annotated: (B, J) bool. An image without any gets no mask.
            mean: (3,).

        Returns: new images; the input is not modified.
        """
        numbers = _uniform(images, generator, 5)
        noise = normal(*images.shape, generator=generator, dtype=images.dtype)
        return self._cover(images, joints, annotated, mean, numbers, noise)

    def over_clips(
        self, images: Tensor, joints: Tensor, annotated: Tensor, mean: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Occlusion that moves: a bar that passes over each clip (B, F, 3, H, W) at a steady speed.

        The others are as for a call, with a second dimension F. All but the place is drawn once for a clip.
        """
        count, frames = images.shape[:2]
        drawn = uniform(count, 6, generator=generator, dtype=images.dtype)
        noise = normal(*images.shape, generator=generator, dtype=images.dtype).flatten(0, 1)
        begin, end = (2 * drawn[:, None, 4:] - 0.5).unbind(-1)  # (B, 1), the body is from 0 to 1
        place = torch.lerp(begin, end, torch.linspace(0, 1, frames, dtype=images.dtype, device=images.device))
        numbers = torch.cat([drawn[:, None, :4].expand(-1, frames, -1), place[..., None]], -1)
        joints, annotated = joints.flatten(0, 1), annotated.flatten(0, 1)
        covered = self._cover(images.flatten(0, 1), joints, annotated, mean, numbers.flatten(0, 1), noise)
        return covered.unflatten(0, (count, frames))

    def _cover(
        self, images: Tensor, joints: Tensor, annotated: Tensor, mean: Tensor, numbers: Tensor, noise: Tensor
    ) -> Tensor:
        """`numbers` (B, 5): whether masked, vertical and mean valued, extent, and place on the person from 0 to 1."""
        masked, vertical, mean_valued, extent, place = numbers.unbind(-1)
        vertical = vertical < self.orientation_prob
        low = joints.masked_fill(~annotated[..., None], torch.inf).amin(1)  # (B, 2)
        high = joints.masked_fill(~annotated[..., None], -torch.inf).amax(1)
        low, high = (torch.where(vertical, edge[:, 0], edge[:, 1]) for edge in (low, high))
        length = (high - low) * self.max_cover_ratio * extent
        start = low + place * (high - low - length)

        height, width = images.shape[-2:]
        xs = torch.arange(width, device=images.device).expand(height, width)
        ys = torch.arange(height, device=images.device)[:, None].expand(height, width)
        along = torch.where(vertical[:, None, None], xs, ys)  # (B, H, W)
        covered = (along >= start[:, None, None]) & (along < (start + length)[:, None, None])
        covered &= ((masked < self.mask_prob) & annotated.any(1))[:, None, None]

        noise = noise * self.noise_std * (mean_valued >= self.mean_valued_prob)[:, None, None, None]
        fill = (mean[:, None, None] + noise).clamp(0, 1).to(images.dtype)
        return torch.where(covered[:, None], fill, images)


def _uniform(images: Tensor, generator: torch.Generator, count: int) -> Tensor:
    """(B, count) uniform numbers in [0, 1) on the images' device."""
    return uniform(len(images), count, generator=generator, dtype=images.dtype)
