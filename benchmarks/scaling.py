"""Speedup by a second process: training steps of one process, and of two with the same batch size each.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --features 128 --batch 8 --threads 8

A step of an hourglass on random images: forward, backward (with two processes gradients are averaged meanwhile, with
torchrun and Gloo), optimizer. One process and two run in alternating turns, so that other load affects both; rates are
medians over the turns. CPU time is reported too, which other load hardly affects: it shows the work of the exchange,
but not the waiting.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import torch
from measuring import machine, print_table

from stacked_hourglass.hourglass import Architecture, HourglassNet
from utils.compute.allocator import keep_large_blocks
from utils.compute.distributed import Processes, join

LAUNCHED = "SCALING_BENCHMARK"  # set for the two processes


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of a turn")
    parser.add_argument("--stacks", type=int, default=2)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4, help="pictures a process and step")
    parser.add_argument("--size", type=int, default=256, help="px of a picture's side")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    return parser.parse_args()


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, steps: int):
    """Seconds per step: wall clock and CPU time."""
    start = time.perf_counter(), time.process_time()
    for _ in range(steps):
        loss = torch.stack([maps.square().mean() for maps in model(images)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - start[0]) / steps, (time.process_time() - start[1]) / steps


def measure(options: argparse.Namespace, processes: Processes) -> dict[str, list[tuple[float, float]]]:
    """Variant -> (wall clock, CPU) seconds per step of each turn, on rank 0."""
    torch.manual_seed(0)
    model = HourglassNet(Architecture(stacks=options.stacks, features=options.features)).train()
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.RMSprop(model.parameters(), 1e-5)
    parallel = processes.wrap_model(model)
    images = torch.rand(options.batch, 3, options.size, options.size) - 0.5
    images = images.contiguous(memory_format=torch.channels_last)
    times: dict[str, list] = {"one": [], "two": []}
    for turn in range(options.turns + 1):
        for way in times:
            processes.barrier()
            if way == "two" or processes.is_main:
                found = train(parallel if way == "two" else model, optimizer, images, options.steps)
                times[way] += [found] if turn else []  # the first warms up
            processes.barrier()
    return times


def main() -> None:
    options = parse()
    if LAUNCHED not in os.environ:
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), LAUNCHED: "1"}
        sys.exit(subprocess.run([sys.executable, *torchrun, *sys.argv], env=environment, check=False).returncode)
    keep_large_blocks()
    processes = join(device="cpu")
    torch.set_num_threads(options.threads)
    times = measure(options, processes)
    if processes.is_main:
        clock, work = (
            {way: statistics.median(turn[i] for turn in turns) for way, turns in times.items()} for i in (0, 1)
        )
        rates = {"one process": options.batch / clock["one"], "two processes": 2 * options.batch / clock["two"]}
        print(machine())
        title = f"Two processes, {options.stacks} stacks × {options.features} features, {options.batch} images each"
        batches = dict(zip(rates, (options.batch, 2 * options.batch), strict=True))
        print_table(title, rates, ["one process"], "images", batches)
        print(f"CPU time per step and process: {work['one']:.3f} s with one, {work['two']:.3f} s with two.")
        print(f"Efficiency: {clock['one'] / clock['two']:.2f} in time, {work['one'] / work['two']:.2f} in CPU time.")
    processes.close()


if __name__ == "__main__":
    main()
