"""A training step of the hourglass: forward, loss, backward, optimizer; compared with the common way.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --features 64 --batch 8

The baseline is eager and contiguous, sums the stacks' errors in a Python loop, and runs under the C library's usual
allocator in a process of its own. Ours is `HourglassTrainer.update` from uint8 crops and joints on: colours, targets,
clipped gradients and all. The floor is a product of large matrices with three times the forward pass's operations.
"""

import argparse
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import numpy as np
import torch
from baselines import common_training_step, render_one_by_one
from measuring import (
    Step,
    machine,
    matrix_product,
    other_process,
    parser_of,
    print_table,
    serve,
    take_turns,
    verdict,
)
from network import operations

from stacked_hourglass.annotations.people import People
from stacked_hourglass.hourglass import MPII_MEAN, MPII_STDDEV, Architecture, HourglassNet
from stacked_hourglass.trainer import HourglassTrainer
from utils.compute.allocator import KEEP_MEMORY, keep_large_blocks
from utils.compute.devices import has_bf16_instructions
from utils.imaging.images import CROP_SIZE
from utils.training.settings import Experiment, Optimisation
from utils.transform import MPII

BARS = {"fp32": 1.5, "bf16": 2.4}


def make_network(arguments: argparse.Namespace) -> HourglassNet:
    torch.manual_seed(0)
    return HourglassNet(Architecture(stacks=arguments.stacks, features=arguments.features)).train()


def common_step(arguments: argparse.Namespace) -> Step:
    model, batch = make_network(arguments), arguments.batch
    optimizer = torch.optim.RMSprop(model.parameters(), 2.5e-4, foreach=False)
    images, annotated = torch.rand(batch, 3, CROP_SIZE, CROP_SIZE) - 0.5, torch.ones(batch, len(MPII), 1, 1)
    targets = render_one_by_one(torch.rand(batch, len(MPII), 2) * 64)

    def step() -> int:
        common_training_step(model, optimizer, images, targets, annotated)
        return batch

    return step


def our_step(arguments: argparse.Namespace, precision: str) -> Step:
    batch, random = arguments.batch, np.random.default_rng(0)
    joints = random.uniform(20, 230, (batch, len(MPII), 2)).astype(np.float32)
    crops = random.integers(0, 256, (batch, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    people, optimisation = People.from_arrays(crops, joints), Optimisation(precision=precision)
    trainer = HourglassTrainer(
        people, torch.device("cpu"), MPII_MEAN, MPII_STDDEV, 1000, optimisation, Experiment("benchmark")
    )
    model = make_network(arguments).to(memory_format=torch.channels_last)
    optimizer = trainer.make_optimizer(model, optimisation.lr, optimisation.weight_decay)
    marks = {"annotated": torch.ones(batch, len(MPII), dtype=torch.bool), "readable": torch.ones(batch).bool()}
    minibatch = {
        "image": torch.from_numpy(crops).permute(0, 3, 1, 2),
        "joints": torch.from_numpy(joints),
        "visible": marks["annotated"],
        "index": torch.arange(batch),
    }

    def step() -> int:
        trainer.update(model, optimizer, minibatch | marks, 0, optimisation)
        return batch

    return step


def main() -> None:
    parser = parser_of(__doc__, seconds=6, turns=3)
    parser.add_argument("--batch", type=int, default=4, help="crops a step (default: 4)")
    parser.add_argument("--stacks", type=int, default=1, help="(default: 1)")
    parser.add_argument("--features", type=int, default=256, help="(default: 256)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(common_step(arguments))
        return
    keep_large_blocks()
    print(machine())
    work = 3 * operations(make_network(arguments).eval())
    product, operations_of_product = matrix_product()
    sizes = [f"--{name}={getattr(arguments, name)}" for name in ("batch", "stacks", "features")]
    environment = {KEEP_MEMORY: "0", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with other_process(__file__, "--serve", *sizes, environment=environment) as baseline:
        contenders = {"common way": baseline, "matrix product": lambda: product() * operations_of_product / work}
        contenders["ours, fp32"] = our_step(arguments, "fp32")
        if has_bf16_instructions():
            contenders["ours, bf16"] = our_step(arguments, "bf16")
        rates = take_turns(contenders, arguments, warm_up=1)
    batches = dict.fromkeys(rates, arguments.batch) | {"matrix product": 1}
    title = f"Training step, {arguments.stacks} stacks × {arguments.features} features, batch {arguments.batch}"
    print_table(title, rates, ["common way"], "crops", batches, ["matrix product"])
    bound = rates["matrix product"] / rates["common way"], "all operations in fp32, at the matrix product's rate"
    for precision, bar in BARS.items():
        if f"ours, {precision}" in rates:
            ratio = rates[f"ours, {precision}"] / rates["common way"]
            verdict(f"training step, {precision}", ratio, bar, bound=bound if precision == "fp32" else None)
    if not has_bf16_instructions():
        print("bf16: not measured, this CPU has no bf16 instructions.")


if __name__ == "__main__":
    main()
