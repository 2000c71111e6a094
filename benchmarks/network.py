"""Inference of the hourglass on crops: 2 stacks × 256 features, fp32, compared with the eager contiguous network.

    python benchmarks/network.py
    python benchmarks/network.py --batches 1 --stacks 1 --features 64

The baseline is the same network as the public code runs it: eager, contiguous, under the C library's usual allocator,
in a process of its own. Ours is `Predictor`, as run.py uses it. The floor is a product of large matrices with as many
operations.
"""

import argparse
import copy
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import torch
from measuring import Step, machine, matrix_product, other_process, parser_of, print_table, serve, take_turns, verdict
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.inference import Predictor, as_input
from utils.compute.allocator import KEEP_MEMORY, keep_large_blocks
from utils.imaging.images import CROP_SIZE

BARS = {1: 1.4, 8: 2.4}  # batch -> times the baseline
CONVOLUTIONS = "the convolutions alone"
FLOOR_BAR = 85  # % of the matrix product's rate, at the largest batch


def make_network(arguments: argparse.Namespace) -> HourglassNet:
    """A network with random weights and statistics, so that no batch norm is an identity."""
    torch.manual_seed(0)
    model = HourglassNet(Architecture(stacks=arguments.stacks, features=arguments.features)).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model


def make_crops(batch: int) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, CROP_SIZE, CROP_SIZE), dtype=torch.uint8)


def eager_step(arguments: argparse.Namespace, batch: int) -> Step:
    model, crops = make_network(arguments), make_crops(batch)

    @torch.no_grad()
    def step() -> int:
        model(as_input(model, crops))
        return batch

    return step


def predictor_step(heatmaps: Callable, batch: int) -> Step:
    crops = make_crops(batch)

    def step() -> int:
        heatmaps(crops)
        return batch

    return step


def operations(model: HourglassNet) -> float:
    """Floating-point operations of one crop."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, CROP_SIZE, CROP_SIZE))
    return counter.get_total_flops()


def convolutions_step(model: HourglassNet, batch: int) -> Step:
    """A step of nothing but the network's convolutions, each on an input of the right size that nobody computes."""
    calls: list[tuple[nn.Module, torch.Tensor]] = []
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)
    hooks = [
        module.register_forward_hook(lambda conv, inputs, _: calls.append((conv, inputs[0])))
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        model(as_input(model, make_crops(batch)).contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()

    @torch.no_grad()
    def step() -> int:
        for conv, image in calls:
            conv(image)
        return batch

    return step


def measure(batch: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Print the table of a batch size; returns the rates."""
    model = make_network(arguments)
    work = operations(model)
    product, operations_of_product = matrix_product()

    def floor() -> float:
        return product() * operations_of_product / work

    sizes = ("--serve", batch, "--stacks", arguments.stacks, "--features", arguments.features)
    environment = {KEEP_MEMORY: "0", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    plain, flipped = Predictor(copy.deepcopy(model)), Predictor(model, flip=True)
    with other_process(__file__, *sizes, environment=environment) as baseline:
        contenders = {
            "eager, contiguous, usual allocator": baseline,
            "matrix product": floor,
            CONVOLUTIONS: convolutions_step(model, batch),
            "ours": predictor_step(plain.heatmaps, batch),
            "ours, flip test": predictor_step(flipped.heatmaps, batch),
        }
        rates = take_turns(contenders, arguments, warm_up=1)
    batches = dict.fromkeys(rates, batch) | {"matrix product": 1}
    title = f"Inference, {arguments.stacks} stacks × {arguments.features} features, batch {batch}"
    eager, floor_name, *_ = rates
    print_table(title, rates, [eager], "crops", batches, [floor_name])
    print(f"{work / 1e9:.1f} GFLOP a crop; matrix product: {rates[floor_name] * work / 1e9:.0f} GFLOP/s.")
    if batch in BARS:
        verdict(f"inference, batch {batch}", rates["ours"] / rates[eager], BARS[batch])
    return rates


def main() -> None:
    parser = parser_of(__doc__, seconds=3, turns=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="crops a batch (default: 1 8)")
    parser.add_argument("--stacks", type=int, default=2, help="(default: 2)")
    parser.add_argument("--features", type=int, default=256, help="(default: 256)")
    parser.add_argument("--serve", type=int, metavar="BATCH", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(eager_step(arguments, arguments.serve))
        return
    keep_large_blocks()
    print(machine())
    for batch in arguments.batches:
        rates = measure(batch, arguments)
    share = {name: 100 * rate / rates["matrix product"] for name, rate in rates.items()}
    what, bound = f"inference, batch {batch}, share of the matrix product's rate", (share[CONVOLUTIONS], CONVOLUTIONS)
    verdict(what, share["ours"], FLOOR_BAR, "%", digits=0, bound=bound)


if __name__ == "__main__":
    main()
