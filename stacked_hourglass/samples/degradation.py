"""Degrades training images: blur, downscaling, JPEG compression, random erasing.

Batched on the images' device. The random decisions are drawn on the CPU, so that only the affected rows are computed,
without a device sync. Everything is off by default.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.compute.batch_parts import uniform

BEST_JPEG_QUALITY = 95.0
ERASED_ASPECT = 3.3  # the longer side of an erased rectangle is up to this many times the shorter
LEAST_ERASED_AREA = 0.02  # fraction of the image

# The quantisation of quality 50, ITU-T T.81 (1992), tables K.1 (luminance) and K.2 (chrominance).
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *[(99,) * 8] * 4,
)  # fmt: skip
# RGB to Y, Cb, Cr (JFIF), the latter two centred on 0.
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@dataclass(frozen=True)
class Degradation:
    """Blur, then downscaling, then JPEG, each applied independently with its probability.

    Attributes:
        blur_prob: probability of a Gaussian blur.
        max_blur: maximum σ, crop pixels; σ is uniform.
        downscale_prob: probability of scaling down and up again.
        max_downscale: maximum factor; log-uniform.
        jpeg_prob: probability of JPEG compression.
        min_jpeg_quality: minimum libjpeg quality (1 to 95); uniform up to 95.
    """

    blur_prob: float = 0.0
    max_blur: float = 2.0
    downscale_prob: float = 0.0
    max_downscale: float = 4.0
    jpeg_prob: float = 0.0
    min_jpeg_quality: float = 20.0

    def __bool__(self) -> bool:
        return bool(self.blur_prob or self.downscale_prob or self.jpeg_prob)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> new images. `generator`: on the CPU. H and W are multiples of 16."""
        blurred, sigma, scaled, factor, compressed, quality = uniform(len(images), 6, generator=generator).unbind(-1)
        quality = self.min_jpeg_quality + quality * (BEST_JPEG_QUALITY - self.min_jpeg_quality)
        steps = (
            (blur, blurred < self.blur_prob, sigma * self.max_blur),
            (downscale, scaled < self.downscale_prob, torch.exp(factor * math.log(self.max_downscale))),
            (jpeg, compressed < self.jpeg_prob, quality),
        )
        images = images.clone()
        for function, chosen, strength in steps:
            rows = chosen.nonzero()[:, 0]
            if len(rows):
                there = rows.to(images.device, non_blocking=True)
                images[there] = function(images[there], strength[rows].to(images.device, non_blocking=True))
        return images


@dataclass(frozen=True)
class RandomErasing:
    """Cover a rectangle of an image (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020).

    Half of the rectangles show the image upside down, i.e. a natural texture like that of an occluding object; the
    others have a random colour.

    Attributes:
        erase_prob: probability of erasing.
        max_erased_area: maximum fraction of the image area.
    """

    erase_prob: float = 0.0
    max_erased_area: float = 0.2

    def __bool__(self) -> bool:
        return bool(self.erase_prob)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> new images. `generator`: on the CPU."""
        numbers = uniform(len(images), 9, generator=generator)
        rows = (numbers[:, 0] < self.erase_prob).nonzero()[:, 0]
        images = images.clone()
        if not len(rows):
            return images
        there = rows.to(images.device, non_blocking=True)
        part = images[there]
        drawn = numbers[rows].to(images.device, non_blocking=True)[:, :, None, None]  # (R, 9, 1, 1)
        area, aspect, x, y, textured = drawn[:, 1:6].unbind(1)
        colour = drawn[:, 6:]
        height, width = images.shape[-2:]
        least = min(LEAST_ERASED_AREA, self.max_erased_area)
        area = (least + area * (self.max_erased_area - least)) * height * width
        aspect = torch.exp((2 * aspect - 1) * math.log(ERASED_ASPECT))
        wide, high = (area * aspect).sqrt().clamp(max=width), (area / aspect).sqrt().clamp(max=height)
        x, y = x * (width - wide), y * (height - high)
        xs = torch.arange(width, device=images.device) + 0.5
        ys = torch.arange(height, device=images.device)[:, None] + 0.5
        covered = (xs >= x) & (xs < x + wide) & (ys >= y) & (ys < y + high)  # (R, H, W)
        fill = torch.where(textured[:, None] < 0.5, part.flip(-2), colour.expand_as(part)).to(images.dtype)
        images[there] = torch.where(covered[:, None], fill, part)
        return images


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of (B, 3, H, W) with σ (B,) px, renormalised at the border."""
    return _along_both(images, gaussian_matrices, sigma)


def downscale(images: Tensor, factor: Tensor) -> Tensor:
    """Downscale (B, 3, H, W) by `factor` (B,) >= 1, with antialiasing, and upscale bilinearly to the same size."""
    return _along_both(images, rescale_matrices, factor)


def _along_both(images: Tensor, make, strength: Tensor) -> Tensor:
    """Apply a (B, n, n) matrix along both axes of the pictures."""
    vertical, horizontal = (make(strength.to(images.dtype), size)[:, None] for size in images.shape[-2:])
    return (vertical @ images @ horizontal.mT).clamp_(0, 1)


def gaussian_matrices(sigma: Tensor, size: int) -> Tensor:
    """(B, size, size) matrices that blur a line of pixels with σ (B,) px; every row sums to 1."""
    places = torch.arange(size, device=sigma.device, dtype=sigma.dtype)
    distance = (places[:, None] - places) / sigma.clamp(min=1e-3)[:, None, None]
    return (-distance.square() / 2).softmax(-1)


def rescale_matrices(factor: Tensor, size: int) -> Tensor:
    """(B, size, size) matrices that scale a line of pixels down by (B,) and up again; every row sums to 1.

    The factor is rounded so that the number of small pixels is an integer. Small pixel i is centred on
    (i + 0.5) · factor − 0.5 and averages with a triangle of half width `factor`.
    """
    places = torch.arange(size, device=factor.device, dtype=factor.dtype)
    count = (size / factor[:, None, None]).round().clamp(min=1)  # (B, 1, 1) small pixels
    factor = size / count
    centres = (places[:, None] + 0.5) * factor - 0.5  # (B, size, 1), of small pixels; those past `count` are not used
    down = (1 - (places - centres.clamp(max=size - 1)).abs() / factor).clamp(min=0)
    down = down / down.sum(-1, keepdim=True)
    small = ((places[:, None] + 0.5) / factor - 0.5).clamp(min=0).minimum(count - 1)
    up = (1 - (small - places).abs()).clamp(min=0)
    return up @ down


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Simulate JPEG on (B, 3, H, W) in [0, 1], with libjpeg quality (B,) from 1 to 100 and 2 × 2 chroma subsampling.

    H and W are multiples of 16. Differs from libjpeg by rounding (under one grey level on average, 0.2 on a photo).
    """
    quality = quality.to(images.dtype)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    ycc = torch.tensor(TO_YCC, dtype=images.dtype, device=images.device)
    planes = torch.einsum("ij,bjhw->bihw", ycc, images * 255).round_()
    luma = _quantised(planes[:, :1] - 128, LUMINANCE, scale).clamp_(-128, 127) + 128
    chroma = _quantised(F.avg_pool2d(planes[:, 1:], 2).round_(), CHROMINANCE, scale).clamp_(-128, 127)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(ycc), torch.cat([luma, chroma], 1))
    return rgb.round_().clamp_(0, 255) / 255


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], scale: Tensor) -> Tensor:
    """Quantise the DCT of the 8 × 8 blocks of integers (B, C, H, W) with the table at `scale` (B,) percent."""
    count, channels, height, width = planes.shape
    steps = torch.tensor(table, dtype=planes.dtype, device=planes.device) * scale[:, None, None]
    steps = ((steps + 50) / 100).floor_().clamp_(1, 255)[:, None, None, None]  # (B, 1, 1, 1, 8, 8)
    dct = _dct(planes)
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)  # (B, C, H/8, W/8, 8, 8)
    coefficients = ((dct @ blocks @ dct.T) / steps).round_() * steps
    return (dct.T @ coefficients @ dct).transpose(3, 4).reshape(planes.shape).round_()


def _dct(like: Tensor) -> Tensor:
    """(8, 8) orthonormal DCT-II: rows are frequencies."""
    n = torch.arange(8, dtype=like.dtype, device=like.device)
    basis = torch.cos(math.pi / 8 * (n + 0.5) * n[:, None]) / 2
    basis[0] /= math.sqrt(2)
    return basis
