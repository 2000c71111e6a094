"""What the benchmarks share: timing in turns, tables of rates and ratios, and the machine's facts.

A contender is a function that does a step of work and returns how many units it did (samples, people, frames). All
contenders of a table run in alternating turns in one run, so that other load affects all alike. A contender's rate is
the median over its turns, after a warm-up. Ratios are to a baseline in the same table; a floor is a part of the work
that no implementation can leave out, such as decoding alone.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent

TURNS = 5
WARM_UP = 2  # steps, before each turn

Step = Callable[[], float]


# ------------------------------------------------------------------------------------------ command line
def parser_of(doc: str, seconds: float, turns: int = TURNS) -> argparse.ArgumentParser:
    """A parser with `--seconds` and `--turns`; its description is the first line of `doc`."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=seconds, help=f"time for each measured rate (default: {seconds:g})"
    )
    parser.add_argument("--turns", type=int, default=turns, help=f"turns of each contender (default: {turns})")
    parser.add_argument(
        "--cpu_time",
        action="store_true",
        help="measure this process's CPU time instead of wall-clock time, for one thread on a busy machine",
    )
    return parser


# ------------------------------------------------------------------------------------------ timing
def take_turns(
    contenders: Mapping[str, Step], arguments: argparse.Namespace, warm_up: int = WARM_UP, share: float = 1.0
) -> dict[str, float]:
    """Name -> units per second: the median over the turns.

    Args:
        arguments: of `parser_of`; the turns of a contender take about `seconds` in all.
        warm_up: steps before each turn.
        share: of `seconds`, for a table of less weight.
    """
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.turns):
        for name, step in contenders.items():
            for _ in range(warm_up):
                step()
            start, units = clock(), 0.0
            while not units or clock() - start < share * arguments.seconds / arguments.turns:
                units += step()
            rates[name].append(units / max(clock() - start, 1e-9))
    return {name: median(values) for name, values in rates.items()}


def seconds_of(work: Callable[[], object], times: int = 1) -> float:
    """The median duration of `times` calls."""
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return median(durations)


class OtherProcess:
    """A contender in a process of its own, which starts idle and does one step per call.

    For settings of the whole process, such as the C library's allocator. The process runs `serve` on `arguments`.
    """

    def __init__(self, script: str | Path, *arguments: object, environment: Mapping[str, str] | None = None):
        command = [sys.executable, str(script), *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=os.environ | dict(environment or {}), **pipes)

    def __call__(self) -> int:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(self._process.args)} ended with status {self._process.wait()}")
        return int(answer)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def other_process(*arguments, **more) -> Iterator[OtherProcess]:
    process = OtherProcess(*arguments, **more)
    try:
        yield process
    finally:
        process.close()


def serve(step: Step) -> None:
    """The other end of `OtherProcess`: one step per line of stdin, until its end."""
    for _ in sys.stdin:
        print(step(), flush=True)


# ------------------------------------------------------------------------------------------ output
def print_table(
    title: str,
    rates: Mapping[str, float],
    baselines: Sequence[str] = (),
    unit: str = "samples",
    batches: Mapping[str, int] | None = None,
    floors: Sequence[str] = (),
) -> None:
    """Print units per second, ms per step, the ratio to the fastest baseline and the share of the slowest floor.

    Args:
        rates: name -> units per second, from `take_turns`.
        baselines: names among the rates; none for no column of ratios.
        batches: units per step, 1 by default.
        floors: names among the rates.
    """
    best = max(baselines, key=rates.__getitem__, default=None)
    floor = min(floors, key=rates.__getitem__, default=None)
    width = max(map(len, rates))
    heads = [f"{unit}/s", "ms a step", *(["ratio"] if best else []), *(["of floor"] if floor else [])]
    lines = [f"\n### {title}\n", _row(["".ljust(width), *(head.rjust(10) for head in heads)])]
    lines.append(_row(["-" * width, *("-" * 9 + ":" for _ in heads)]))
    for name, rate in rates.items():
        cells = [f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}", f"{1000 * (batches or {}).get(name, 1) / rate:,.2f}"]
        cells += [f"{rate / rates[best]:.2f} ×"] if best else []
        cells += [f"{100 * rate / rates[floor]:.0f} %"] if floor else []
        lines.append(_row([name.ljust(width), *(cell.rjust(10) for cell in cells)]))
    lines += [f"\nRatio to: {best}." if best else "", f"Floor: {floor}." if floor else ""]
    print("\n".join(line for line in lines if line), flush=True)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def verdict(
    what: str,
    value: float,
    bar: float,
    unit: str = "×",
    at_most: bool = False,
    digits: int = 2,
    bound: tuple[float, str] | None = None,
) -> None:
    """Print a measured number beside the one asked for; `run_all.py` collects these lines.

    `bound`: what would be measured, in the same run and unit, if only the part that it names took any time.
    """
    met = value <= bar if at_most else value >= bar
    sign = "≤" if at_most else "≥"
    line = f"* {what}: {value:,.{digits}f} {unit}; asked for: {sign} {bar:g} {unit}; {'met' if met else 'MISSED'}"
    print(f"{line}; bound: {bound[0]:,.{digits}f} {unit}, {bound[1]}" if bound else line)


# ------------------------------------------------------------------------------------------ the machine
def machine() -> str:
    """Processor, cores, threads and versions, in a line."""
    import torch  # noqa: PLC0415 - `run_all.py` needs it last

    from utils.compute.devices import has_bf16_instructions  # noqa: PLC0415

    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    bf16 = f"{'with' if has_bf16_instructions() else 'without'} bf16 instructions"
    kinds = f"{torch.backends.cpu.get_cpu_capability()}, {bf16}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{name.strip()} ({kinds}), {cores} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}, {platform.system()}, {gpu}"
    )


def matrix_product(size: int = 2048) -> tuple[Step, int]:
    """A step that multiplies two float32 matrices, and its floating-point operations.

    The rate of the multiplication is the floor of the networks: convolutions are matrix products.
    """
    import torch  # noqa: PLC0415

    left, right, out = (torch.randn(size, size) for _ in range(3))

    def step() -> int:
        torch.mm(left, right, out=out)
        return 1

    return step, 2 * size**3
