"""Runs all benchmarks and writes benchmarks/results.md: the machine, a summary, and every table.

    python benchmarks/run_all.py                # `make bench`, on an idle machine
    python benchmarks/run_all.py network input --output /tmp/results.md

A benchmark that fails or takes longer than `--limit` is reported, and the others run. After `--budget` seconds in all,
those that are left are reported as not run.
"""

import argparse
import re
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

from measuring import machine

from utils.osutils import write_text

# Name of the script -> what it measures. Quick ones first, so that a mistake shows early.
SUBJECTS = {
    "start_up": "Start-up",
    "heat_maps": "Heat maps",
    "metrics": "Metrics",
    "drawing": "Drawing",
    "input": "Input of training",
    "network": "Network",
    "training_step": "Training step",
    "lifting": "Lifting",
    "scaling": "Several processes",
    "export": "Exported networks",
    "video": "Video",
    "end_to_end": "End to end",
}
UNMEASURED = "Nothing here was measured on a GPU: TF32, bf16, `--compile` and data waits on CUDA are unmeasured."
LEAST = 5  # s; with less time left a benchmark is not begun
VERDICT = re.compile(r"^\* (.+): (.+); asked for: (.+); (met|MISSED)(?:; bound: (.+))?$")


def run(name: str, limit: float, *arguments: str) -> tuple[list[str], str | None]:
    """The lines that a benchmark prints, also printed here as they come, and why it failed."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    lines: list[str] = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stop = threading.Timer(limit, process.kill)
    stop.start()
    start = time.monotonic()
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
        status = process.wait()
    finally:
        stop.cancel()
        process.kill()
        process.stdout.close()
    if status and time.monotonic() - start >= limit:
        return lines, f"stopped after {limit:.0f} s"
    return lines, f"ended with status {status}" if status else None


def page(results: dict[str, tuple[list[str], str | None, float]]) -> str:
    """The Markdown page: facts, a row per verdict, then the output of each benchmark."""
    seconds, facts = sum(took for _, _, took in results.values()), machine()
    rows, parts = [], []
    for name, (lines, fault, took) in results.items():
        rows += [found.groups() for line in lines if (found := VERDICT.match(line))]
        own = [line for line in lines if not VERDICT.match(line)]
        own = own[1:] if own[:1] == [facts] else own
        parts += [f"## {SUBJECTS[name]}", "", f"`python benchmarks/{name}.py`, {took:.0f} s."]
        parts += [f"**Incomplete: {fault}.**"] if fault else []
        parts += [*own, ""]
    head = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {date.today().isoformat()}, in {seconds:.0f} s. {facts}.",
        "",
        "Contenders of a table run in alternating turns, in one run; rates are medians. What is compared with what is "
        "said at the top of each script. Absolute rates are this machine's; ratios carry further.",
        *(["", UNMEASURED] if "no GPU" in facts else []),
        "",
        "| what | measured | asked for | | bound: if only this part took time |",
        "|---|---:|---:|---|---|",
        *(f"| {what} | {value} | {bar} | {result} | {bound or ''} |" for what, value, bar, result, bound in rows),
        "",
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join([*head, *parts])).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", help=f"by default all: {' '.join(SUBJECTS)}")
    parser.add_argument("--output", type=Path, default=FOLDER / "results.md", help="(default: benchmarks/results.md)")
    parser.add_argument("--limit", type=float, default=150, help="seconds for each benchmark (default: 150)")
    parser.add_argument("--budget", type=float, default=580, help="seconds for all of them (default: 580)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.subjects) - set(SUBJECTS))
    if unknown:
        parser.error(f"unknown subject {unknown[0]!r}; subjects: {', '.join(SUBJECTS)}")
    results, end = {}, time.monotonic() + arguments.budget
    there = [name for name in SUBJECTS if (FOLDER / f"{name}.py").is_file()]
    for name in arguments.subjects or there:
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        if (left := min(arguments.limit, end - start)) > LEAST:
            results[name] = (*run(name, left), time.monotonic() - start)
        else:
            results[name] = [], "not run, the time for all benchmarks was used up", 0.0
        write_text(arguments.output, page(results))  # after each, so that nothing is lost
    failed = [name for name, (_, fault, _) in results.items() if fault]
    print(f"\nwrote {arguments.output}" + (f"; incomplete: {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
