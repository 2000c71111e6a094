"""Soft-argmax: where a heat map is highest, as a weighted mean of places, so that a gradient passes.

    p = softmax(map / T) over the whole map,  q = p × window / sum(p × window),  result = sum(q × place)

The window stands about the hard maximum, whose place is a constant to the gradient. Without one, q = p. With d the
distance from the hard maximum in px of the map (Euclidean, in 2D too) and h = window_width / 2:

    "Parzen"    1 - 6 (d/h)² (1 - d/h) for d <= h/2,  2 (1 - d/h)³ for d <= h,  0 beyond
    "Uniform"   1 for d <= h,  0 beyond: in 2D a disc

The softmax's normaliser cancels in q, so that with a window no pixel outside of it matters once the hard maximum is
found: a single pass over the map finds it, and all the rest is work on the window's few pixels.
"""

import math

import torch
from torch import Tensor, nn

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
            step_size: what a pixel adds to it.
            window_fn: None, "Parzen" or "Uniform".
            window_width: px of the map; twice the farthest distance that counts. Without a window it has no effect.
            softmax_temp: T, what the map is divided by: the smaller, the nearer to the hard maximum.

        Raises ValueError for another window, and for a width or temperature that is not above 0.
        """
        super().__init__()
        if window_fn not in WINDOWS:
            raise ValueError(f"window_fn {window_fn!r}: None, 'Parzen' or 'Uniform'")
        for name, value in (("window_width", window_width), ("softmax_temp", softmax_temp)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} {value}: a number above 0 is right")
        self.base_index, self.step_size = base_index, step_size
        self.window_fn, self.window_width, self.softmax_temp = window_fn, window_width, softmax_temp
        self._offsets, self._log_window = self._make_window()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (..., *size) to places (..., dims), x first; in float64 for float64 maps, else in float32.

        The first of equal maxima counts, in reading order. A map with NaN or +inf, or of -inf alone, gives NaN; other
        maps of the batch are not touched by it. A pixel of -inf has no weight.
        """
        lead, size = maps.shape[: -self.dims], maps.shape[-self.dims :]
        maps = maps.reshape(-1, *size)
        places = self._mean_place(maps) if self.window_fn is None else self._windowed_place(maps)
        return (self.base_index + self.step_size * places).reshape(*lead, self.dims)

    def extra_repr(self) -> str:
        window = f"{self.window_fn}, window_width={self.window_width}" if self.window_fn else "None"
        return (
            f"base_index={self.base_index}, step_size={self.step_size}, window_fn={window}, "
            f"softmax_temp={self.softmax_temp}"
        )

    def settings(self) -> dict:
        """The arguments that make the like of it, as plain types."""
        names = ("base_index", "step_size", "window_fn", "window_width", "softmax_temp")
        return {name: getattr(self, name) for name in names}

    def _logits(self, pixels: Tensor) -> Tensor:
        """(N, P) over the temperature, less each map's highest, which cancels in the softmax but would cost digits."""
        pixels = pixels if pixels.dtype == torch.float64 else pixels.float()  # places to 1e-5 px need as much
        return (pixels - pixels.detach().amax(-1, keepdim=True)) / self.softmax_temp

    # ---------------------------------------------------------------------------------------------- without a window
    def _mean_place(self, maps: Tensor) -> Tensor:
        """(N, *size) -> (N, dims), px, x first."""
        size = maps.shape[1:]
        weights = self._logits(maps.flatten(1)).softmax(-1).unflatten(1, size)
        means = []
        for axis, length in enumerate(size, 1):
            others = [other for other in range(1, 1 + self.dims) if other != axis]
            along = weights.sum(others) if others else weights  # (N, length)
            # About the middle, so that rounding of the weights' sum counts half.
            middle = (length - 1) / 2
            means.append(middle + (along * (torch.arange(length, device=maps.device) - middle)).sum(-1))
        return torch.stack(means[::-1], -1)

    # ---------------------------------------------------------------------------------------------- with a window
    def _windowed_place(self, maps: Tensor) -> Tensor:
        """(N, *size) -> (N, dims), px, x first. After the search for the maximum, only the window's pixels are read."""
        self._follow(maps.device)
        centre = hard_maximum(maps.detach())  # (N, dims)
        index, inside = torch.zeros_like(centre[:, :1]), True
        for axis, length in reversed(list(enumerate(maps.shape[:0:-1]))):  # rows first: (N, P) indices, row by row
            line = centre[:, axis, None] + self._offsets[:, axis]
            kept = line.clamp(0, length - 1)
            index, inside = index * length + kept, (kept == line) & inside
        logits = self._logits(maps.flatten(1).gather(1, index))  # (N, P)
        weights = (logits + torch.where(inside, self._log_window, -math.inf)).softmax(-1)
        return centre + (weights[..., None] * self._offsets).sum(1)

    def _make_window(self) -> tuple[Tensor, Tensor]:
        """Of the P pixels that the window can touch: (P, dims) px from the hard maximum, x first; (P,) log height."""
        reach = math.floor(self.window_width / 2)
        steps = torch.arange(-reach, reach + 1)
        offsets = torch.cartesian_prod(*[steps] * self.dims).reshape(-1, self.dims)
        height = _height(offsets.double().square().sum(-1).sqrt(), self.window_fn, self.window_width)
        return offsets[height > 0], height[height > 0].log().float()

    def _follow(self, device: torch.device) -> None:
        """The window goes where the maps are; no buffer, since a module cast to half precision would round it."""
        if self._offsets.device != device:
            with torch.inference_mode(False):  # an inference tensor could not take part in training later
                self._offsets, self._log_window = self._offsets.to(device), self._log_window.to(device)


class SoftArgmax1D(_SoftArgmax):
    """(..., L) -> (...): the place of the maximum along the last axis, base_index + step_size × px. See the module."""

    dims = 1

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps)[..., 0]


class SoftArgmax2D(_SoftArgmax):
    """(..., H, W), such as heat maps (B, J, H, W) -> (..., 2) as x, y: base_index + step_size × px. See the module."""

    dims = 2


def hard_maximum(maps: Tensor) -> Tensor:
    """(N, L) or (N, H, W) -> (N, 1) or (N, 2), px, x first: the first highest pixel in reading order; NaN is highest.

    A map is read once, for the height of each row, which is several times as fast as the place of the maximum of all.
    """
    if maps.ndim == 2:
        return maps.argmax(-1, keepdim=True)
    y = maps.amax(-1).argmax(-1, keepdim=True)  # (N, 1)
    row = maps.gather(1, y[..., None].expand(-1, -1, maps.shape[-1]))[:, 0]
    return torch.cat([row.argmax(-1, keepdim=True), y], -1)


def _height(distance: Tensor, window_fn: str | None, width: float) -> Tensor:
    """A window's height at a distance, px, from its middle."""
    relative = distance / (width / 2)
    if window_fn != "Parzen":
        return (relative <= 1).to(distance.dtype)
    near = 1 - 6 * relative.square() * (1 - relative)
    return torch.where(relative <= 0.5, near, 2 * (1 - relative).clamp(min=0) ** 3)
