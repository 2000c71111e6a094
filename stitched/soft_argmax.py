"""Soft-argmax: a differentiable argmax of a heat map, as a weighted mean of pixel positions.

    p = softmax(map / T) over the whole map,  q = p × window / sum(p × window),  result = sum(q × position)

The window is centred on the hard maximum, whose position is treated as a constant. Without a window, q = p. With d the
(Euclidean) distance from the hard maximum in px of the map, and h = window_width / 2:

    "Parzen"    1 - 6 (d/h)² (1 - d/h) for d <= h/2,  2 (1 - d/h)³ for d <= h,  0 beyond
    "Uniform"   1 for d <= h,  0 beyond: in 2D a disc

In 2D the map may be smoothed first, so that of several peaks the one with the most around it is the maximum.

The normaliser of the softmax cancels in q. With a window, one pass over the map therefore finds the hard maximum, and
the rest reads only the few pixels of the window.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from utils.compute.arrays import as_tensor, in_kind
from utils.imaging.heatmaps import hard_maximum, smooth_heatmaps

WINDOWS = (None, "Parzen", "Uniform")


class _SoftArgmax(nn.Module):
    """Soft-argmax over the last `dims` dimensions."""

    dims: int

    def __init__(
        self,
        base_index: float = 0,
        step_size: float = 1,
        window_fn: str | None = None,
        window_width: float = 10,
        softmax_temp: float = 1.0,
    ):
        """
        Args:
            base_index: the result for the first pixel, along every axis.
            step_size: the distance between two pixels in the result.
            window_fn: None, "Parzen" or "Uniform".
            window_width: px of the map; twice the radius of the window. Without a window it has no effect.
            softmax_temp: T, by which the map is divided: the smaller, the closer to the hard maximum.

        Raises ValueError for another window, and for a width or temperature that is not above 0.
        """
        super().__init__()
        if window_fn not in WINDOWS:
            raise ValueError(f"window_fn {window_fn!r}: expected None, 'Parzen' or 'Uniform'")
        for name, value in (("window_width", window_width), ("softmax_temp", softmax_temp)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} {value}: expected a number above 0")
        self.base_index, self.step_size = base_index, step_size
        self.window_fn, self.window_width, self.softmax_temp = window_fn, window_width, softmax_temp
        self._offsets, self._log_window = self._make_window()
        # Size of the maps, and for it what `_window_around` looks up: the steps in the flat index, and the edges.
        self._tables: tuple[tuple[int, ...], Tensor | None, list[Tensor]] = (), None, []

    @in_kind
    def forward(self, maps: Tensor) -> Tensor:
        """Maps (..., *size) to positions (..., dims), x first; float64 for float64 maps, else float32.

        A NumPy array gives a NumPy array. Of equal maxima, the first in reading order counts. A map with NaN or +inf,
        or with -inf only, gives NaN without affecting the other maps of the batch. A pixel of -inf has no weight.

        Raises TypeError for anything but a numeric array or tensor, and ValueError for too few dimensions.
        """
        maps = as_tensor(maps)
        if maps.ndim < self.dims:
            raise ValueError(
                f"maps have shape {tuple(maps.shape)}: expected (..., {'H, W' if self.dims == 2 else 'L'})"
            )
        lead, size = maps.shape[: -self.dims], maps.shape[-self.dims :]
        maps = self._prepared(maps.reshape(-1, *size))
        positions = self._mean_position(maps) if self.window_fn is None else self._windowed_position(maps)
        return (self.base_index + self.step_size * positions).reshape(*lead, self.dims)

    def extra_repr(self) -> str:
        window = f"{self.window_fn}, window_width={self.window_width}" if self.window_fn else "None"
        return (
            f"base_index={self.base_index}, step_size={self.step_size}, window_fn={window}, "
            f"softmax_temp={self.softmax_temp}"
        )

    def settings(self) -> dict:
        """The arguments that make an equal module, as plain types."""
        names = ("base_index", "step_size", "window_fn", "window_width", "softmax_temp")
        return {name: getattr(self, name) for name in names}

    def _prepared(self, maps: Tensor) -> Tensor:
        """(N, *size), what the search begins with."""
        return maps

    # ---------------------------------------------------------------------------------------------- without a window
    def _mean_position(self, maps: Tensor) -> Tensor:
        """(N, *size) -> (N, dims), px, x first."""
        size = maps.shape[1:]
        weights = (_below_maximum(_in_precision(maps.flatten(1))) / self.softmax_temp).softmax(-1).unflatten(1, size)
        means = []
        for axis, length in enumerate(size, 1):
            others = [other for other in range(1, 1 + self.dims) if other != axis]
            along = weights.sum(others) if others else weights  # (N, length)
            # Relative to the middle, which halves the effect of rounding in the sum of the weights.
            middle = (length - 1) / 2
            means.append(middle + (along * (torch.arange(length, device=maps.device) - middle)).sum(-1))
        return torch.stack(means[::-1], -1)

    # ---------------------------------------------------------------------------------------------- with a window
    def _windowed_position(self, maps: Tensor) -> Tensor:
        """(N, *size) -> (N, dims), px, x first. After the search for the maximum only the window's pixels are read."""
        self._follow(maps.device)
        centre = hard_maximum(maps.detach())  # (N, dims)
        index, log_window = self._window_around(centre, tuple(maps.shape[1:]))  # (N, P) both
        pixels = _in_precision(maps.flatten(1).gather(1, index))
        # The middle of the window is the maximum, which cancels in the softmax: subtracted for precision.
        below = pixels - pixels.detach()[:, pixels.shape[1] // 2, None]
        weights = torch.add(log_window, below, alpha=1 / self.softmax_temp).softmax(-1)
        return centre + self._mean_offset(weights)

    def _mean_offset(self, weights: Tensor) -> Tensor:
        """Weights (N, P) of the window's pixels to their mean offset from the hard maximum (N, dims), px, x first.

        A matrix product where nothing rounds its factors, which takes 0.6 of the time forward and backward.
        """
        if _exact_products(weights.device):
            return weights @ self._offsets.T.to(weights.dtype)
        return (weights[:, None] * self._offsets).sum(-1)

    def _window_around(self, centre: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Flat indices (N, P) of the window's pixels around `centre` (N, dims), and the log of its height there.

        Outside the map the index is that of any pixel, and the log -inf. What is the same for all maps of one size is
        looked up, which takes a fifth of the time of computing it.
        """
        lines = centre.unbind(-1)
        if type(centre) is not Tensor or torch.compiler.is_compiling():  # a trace must not be kept
            steps, edges = self._steps_and_edges(lines, size)
        else:
            if self._tables[0] != size:
                whole = [torch.arange(length, device=centre.device) for length in reversed(size)]
                self._tables = size, *self._steps_and_edges(whole, size)
            _, steps, tables = self._tables
            edges = [table.index_select(0, line) for table, line in zip(tables, lines, strict=True)]
        index = (self._flat(lines, size)[:, None] + steps).clamp_(0, math.prod(size) - 1)
        return index, sum(edges[1:], edges[0])

    def _steps_and_edges(self, lines: Sequence[Tensor], size: tuple[int, ...]) -> tuple[Tensor, list[Tensor]]:
        """The steps (P,) in the flat index, and the `_edge` of each axis with the window's centre on `lines` of it."""
        steps = self._flat(self._offsets.long().unbind(), size)
        return steps, [self._edge(line, size, axis) for axis, line in enumerate(lines)]

    @staticmethod
    def _flat(lines: Sequence[Tensor], size: tuple[int, ...]) -> Tensor:
        """The flat index, or step, of coordinates, x first."""
        x, *others = lines
        return sum((line * math.prod(size[-axis:]) for axis, line in enumerate(others, 1)), x)

    def _edge(self, lines: Tensor, size: tuple[int, ...], axis: int) -> Tensor:
        """What an axis, x first, adds to the log of the window's height with its centre on `lines` (M,): (M, P).

        -inf for pixels outside the map. The window itself comes with the first axis.
        """
        line = lines[:, None] + self._offsets[axis].long()
        height = 0.0 if axis else self._log_window
        return torch.where((line >= 0) & (line < size[-1 - axis]), height, -math.inf)

    def _make_window(self) -> tuple[Tensor, Tensor]:
        """The P pixels of the window: offset from the hard maximum (dims, P), px, x first; log height (P,)."""
        reach = math.floor(self.window_width / 2)
        steps = torch.arange(-reach, reach + 1)
        offsets = torch.cartesian_prod(*[steps] * self.dims).reshape(-1, self.dims)
        height = _height(offsets.double().square().sum(-1).sqrt(), self.window_fn, self.window_width)
        return offsets[height > 0].T.contiguous().float(), height[height > 0].log().float()

    def _follow(self, device: torch.device) -> None:
        """Move the window to the maps' device. It is not a buffer, because casting the module to half would round it.

        It is recomputed, since a window on the meta device has no values to copy.
        """
        if self._offsets.device != device:
            with torch.inference_mode(False):  # an inference tensor could not be used in training later
                self._offsets, self._log_window = (part.to(device) for part in self._make_window())
                self._tables = (), None, []


class SoftArgmax1D(_SoftArgmax):
    """(..., L) -> (...): position of the maximum along the last axis, base_index + step_size × px. See the module."""

    dims = 1

    @in_kind
    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps)[..., 0]


class SoftArgmax2D(_SoftArgmax):
    """(..., H, W), e.g. heat maps (B, J, H, W) -> (..., 2) as x, y: base_index + step_size × px. See the module."""

    dims = 2

    def __init__(self, *args: Any, smoothing: float = 0.0, **kwargs: Any):
        """
        Args:
            smoothing: σ, px of the map, of a Gaussian that smooths it first; 0 for none. Then a pixel of -inf makes
                the result NaN.
            args, kwargs: as for `SoftArgmax1D`.

        Raises ValueError also for a σ below 0.
        """
        super().__init__(*args, **kwargs)
        if not 0 <= smoothing < math.inf:
            raise ValueError(f"smoothing {smoothing}: expected 0 or a number above")
        self.smoothing = smoothing

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", smoothing={self.smoothing}" if self.smoothing else "")

    def settings(self) -> dict:
        return super().settings() | {"smoothing": self.smoothing}

    def _prepared(self, maps: Tensor) -> Tensor:
        return smooth_heatmaps(_in_precision(maps), self.smoothing) if self.smoothing else maps


def _exact_products(device: torch.device) -> bool:
    """Whether a matrix product is known to keep its factors' precision: neither autocast, TF32 nor bf16 rounds them."""
    return (
        device.type == "cpu"
        and not torch.compiler.is_dynamo_compiling()  # which cannot trace the last question
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.matmul.fp32_precision in ("none", "ieee")
    )


def _in_precision(pixels: Tensor) -> Tensor:
    """float64 as it is, other types as float32: for positions to 1e-5 px."""
    return pixels if pixels.dtype == torch.float64 else pixels.float()


def _below_maximum(pixels: Tensor) -> Tensor:
    """(N, P) minus each row's maximum, for numerical precision: it cancels in a softmax."""
    return pixels - pixels.detach().amax(-1, keepdim=True)


def _height(distance: Tensor, window_fn: str | None, width: float) -> Tensor:
    """The window's height at a distance, px, from its centre."""
    relative = distance / (width / 2)
    if window_fn != "Parzen":
        return (relative <= 1).to(distance.dtype)
    near = 1 - 6 * relative.square() * (1 - relative)
    return torch.where(relative <= 0.5, near, 2 * (1 - relative).clamp(min=0) ** 3)
