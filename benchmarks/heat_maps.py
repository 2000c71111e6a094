"""Heat maps: rendering targets, decoding peaks, and soft-argmax forward and backward.

    python benchmarks/heat_maps.py
    python benchmarks/heat_maps.py --batches 6 --device cuda

32 people × 16 joints on 64 × 64 px. Baselines: a Gaussian at every pixel; peaks one by one in nested loops; for
soft-argmax a softmax over all pixels, times a window over all of them, renormalised. Floors: writing as many maps,
reading them once, and both.
"""

import sys
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import torch
from baselines import decode_one_by_one, full_map_soft_argmax, render_full_grid, render_one_by_one
from measuring import machine, parser_of, print_table, take_turns, verdict
from torch import Tensor

from stitched.soft_argmax import SoftArgmax2D
from utils.compute.allocator import keep_large_blocks
from utils.imaging.heatmaps import decode_dark, decode_heatmaps, render_heatmaps

PEOPLE, JOINTS, SIZE = 32, 16, 64
WINDOW, WIDTH, TEMPERATURE = "Parzen", 10, 0.05
BATCHES = (1, 6, PEOPLE)  # of soft-argmax
JUDGED_BATCH = PEOPLE  # as the other two; of a few poses, call overhead is most of the time
READ_AND_WRITE = "reading the maps, writing zeros"
BARS = {"rendering": 8.0, "decoding": 40.0, "soft-argmax": 12.0}


def whole(work, batch: int, *arguments) -> int:
    """One call, to its end on the device; returns the number of poses."""
    work(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return batch


def forward_and_backward(soft_argmax, maps: Tensor) -> None:
    maps.grad = None
    soft_argmax(maps).sum().backward()


def measure_targets(arguments) -> None:
    points = SIZE * torch.rand(PEOPLE, JOINTS, 2, device=arguments.device)
    maps = torch.empty(PEOPLE, JOINTS, SIZE, SIZE, device=arguments.device)
    contenders = {
        "map by map": partial(whole, render_one_by_one, PEOPLE, points.cpu()),
        "all maps, pixel by pixel": partial(whole, render_full_grid, PEOPLE, points),
        "writing the maps": partial(whole, maps.fill_, PEOPLE, 1.0),
        "ours": partial(whole, render_heatmaps, PEOPLE, points),
    }
    rates = take_turns(contenders, arguments)
    full_grid = "all maps, pixel by pixel"
    print_table(
        f"Rendering {PEOPLE} × {JOINTS} target maps", rates, [full_grid], "people",
        dict.fromkeys(rates, PEOPLE), ["writing the maps"],
    )  # fmt: skip
    bound = rates["writing the maps"] / rates[full_grid], "writing the maps"
    verdict(
        f"rendering {PEOPLE} × {JOINTS} target maps", rates["ours"] / rates[full_grid], BARS["rendering"], bound=bound
    )


def measure_decoding(arguments) -> None:
    maps = torch.rand(PEOPLE, JOINTS, SIZE, SIZE, device=arguments.device)
    contenders = {
        "nested loops": partial(whole, decode_one_by_one, PEOPLE, maps.cpu()),
        "one maximum over the maps": partial(whole, maps.amax, PEOPLE, (-2, -1)),
        "ours": partial(whole, decode_heatmaps, PEOPLE, maps),
        "ours, DARK": partial(whole, decode_dark, PEOPLE, maps),
    }
    rates = take_turns(contenders, arguments)
    print_table(
        f"Decoding {PEOPLE} × {JOINTS} maps", rates, ["nested loops"], "people",
        dict.fromkeys(rates, PEOPLE), ["one maximum over the maps"],
    )  # fmt: skip
    speedup = {name: rate / rates["nested loops"] for name, rate in rates.items()}
    bound = speedup["one maximum over the maps"], "one maximum over the maps"
    verdict(f"decoding {PEOPLE} × {JOINTS} maps", speedup["ours"], BARS["decoding"], digits=1, bound=bound)


def read_and_write(maps: Tensor) -> None:
    """What no soft-argmax can do without: a look at every pixel, and a gradient for every pixel."""
    maps.detach().amax((-2, -1))
    maps.grad = None
    maps.grad = torch.zeros_like(maps)


def measure_soft_argmax(batch: int, arguments) -> dict[str, float]:
    """Print a table for one batch size; returns speedups over the full maps."""
    maps = torch.rand(batch, JOINTS, SIZE, SIZE, device=arguments.device, requires_grad=True)
    ours = SoftArgmax2D(window_fn=WINDOW, window_width=WIDTH, softmax_temp=TEMPERATURE)
    full = partial(full_map_soft_argmax, window_fn=WINDOW, width=WIDTH, temperature=TEMPERATURE)
    contenders = {
        "full map": partial(whole, forward_and_backward, batch, full, maps),
        READ_AND_WRITE: partial(whole, read_and_write, batch, maps),
        "ours": partial(whole, forward_and_backward, batch, ours, maps),
    }
    rates = take_turns(contenders, arguments)
    title = f"Soft-argmax in a {WINDOW} window of width {WIDTH}, forward and backward, batch {batch}"
    print_table(title, rates, ["full map"], "poses", dict.fromkeys(rates, batch), [READ_AND_WRITE])
    return {name: rate / rates["full map"] for name, rate in rates.items()}


def main() -> None:
    parser = parser_of(__doc__, seconds=1.2, turns=15)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help=f"poses a batch (default: {BATCHES})")
    parser.add_argument("--device", default="cpu", type=torch.device, help="cpu or cuda (default: cpu)")
    arguments = parser.parse_args()
    keep_large_blocks()
    print(machine())
    measure_targets(arguments)
    measure_decoding(arguments)
    speedups = {batch: measure_soft_argmax(batch, arguments) for batch in arguments.batches}
    judged = JUDGED_BATCH if JUDGED_BATCH in speedups else max(speedups)
    speedup = speedups[judged]
    bound = speedup[READ_AND_WRITE], READ_AND_WRITE
    verdict(f"soft-argmax in its window, {judged} × {JOINTS} maps", speedup["ours"], BARS["soft-argmax"], bound=bound)


if __name__ == "__main__":
    main()
