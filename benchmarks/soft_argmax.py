"""Speed of soft-argmax with a window, compared with a window over the full map: forward and backward.

    python benchmarks/soft_argmax.py
    python benchmarks/soft_argmax.py --window_fn Uniform --batches 6 --device cuda

The baseline is a softmax over all 64 × 64 pixels, times a window over all of them, renormalised. A pose has 16 maps.
Both run in alternating turns, so that other load affects both; rates are medians over the turns.
"""

import argparse
import platform
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

from lifting import TURNS, print_table, take_turns, verdict

from stitched.soft_argmax import SoftArgmax2D

JOINTS, SIZE, WIDTH, TEMPERATURE = 16, 64, 10, 0.05
BATCHES = (1, 6, 32)
JUDGED_BATCH = 6  # the hourglass's training batch; for a single pose, call overhead dominates
BAR = 5.0


def full_map(maps: Tensor, window_fn: str) -> Tensor:
    """Soft-argmax of (B, J, H, W) straight from the definition, on full maps: (B, J, 2) as x, y."""
    height, width = maps.shape[-2:]
    xs, ys = (torch.arange(length, device=maps.device, dtype=maps.dtype) for length in (width, height))
    softmax = (maps.flatten(2) / TEMPERATURE).softmax(-1).unflatten(2, (height, width))
    top = maps.detach().flatten(2).argmax(-1)[..., None]
    along_x, along_y = (xs - top % width).square(), (ys - top // width).square()
    distance = (along_y[..., :, None] + along_x[..., None, :]).sqrt() / (WIDTH / 2)
    if window_fn == "Uniform":
        window = (distance <= 1).to(maps.dtype)
    else:
        near = 1 - 6 * distance.square() * (1 - distance)
        window = torch.where(distance <= 0.5, near, 2 * (1 - distance).clamp(min=0) ** 3)
    weights = softmax * window
    weights = weights / weights.sum((-1, -2), keepdim=True)
    return torch.stack([(weights.sum(-2) * xs).sum(-1), (weights.sum(-1) * ys).sum(-1)], -1)


def step(soft_argmax, maps: Tensor) -> int:
    """One forward and backward pass; returns the number of poses."""
    maps.grad = None
    soft_argmax(maps).sum().backward()
    if maps.device.type == "cuda":
        torch.cuda.synchronize()
    return len(maps)


def measure(batch: int, arguments: argparse.Namespace) -> float:
    """Print a table for one batch size; returns the speedup of the window over the full maps."""
    maps = torch.rand(batch, JOINTS, SIZE, SIZE, device=arguments.device, requires_grad=True)
    ours = SoftArgmax2D(window_fn=arguments.window_fn, window_width=WIDTH, softmax_temp=TEMPERATURE)
    contenders = {
        "window over the full map": partial(step, partial(full_map, window_fn=arguments.window_fn), maps),
        "ours": partial(step, ours, maps),
    }
    rates = take_turns(contenders, arguments)
    baseline, _ = contenders
    print_table(f"Batch {batch}", rates, [baseline], dict.fromkeys(rates, batch))
    return rates["ours"] / rates[baseline]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help=f"poses a batch (default: {BATCHES})")
    parser.add_argument("--window_fn", default="Parzen", choices=("Parzen", "Uniform"), help="(default: Parzen)")
    parser.add_argument("--device", default="cpu", type=torch.device, help="cpu or cuda (default: cpu)")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each measured rate (default: 3)")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"in how many turns each is timed (default: {TURNS})")
    arguments = parser.parse_args()
    print(
        f"{arguments.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python "
        f"{platform.python_version()}\n{arguments.window_fn} window of width {WIDTH} on {JOINTS} maps of {SIZE} × "
        f"{SIZE} px, fp32, forward and backward; median of {arguments.turns} turns"
    )
    ratios = {batch: measure(batch, arguments) for batch in arguments.batches}
    judged = JUDGED_BATCH if JUDGED_BATCH in ratios else max(ratios)
    verdict(f"soft-argmax in its window, batch {judged}", ratios[judged], BAR)


if __name__ == "__main__":
    main()
