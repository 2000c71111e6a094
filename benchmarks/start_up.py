"""Start-up: `--help`, and run.py on one photo, compared with the import of torch alone.

    python benchmarks/start_up.py

Each command is a process of its own, with Python's cache of compiled modules; times are wall-clock medians. What is
imported is counted as well: modules that take long to import and that one photo does not need should be missing.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

from measuring import ROOT, machine, parser_of, print_table, seconds_of, verdict

PHOTO = ROOT / "docs" / "photos" / "astronaut.jpg"
HELP_BAR, PHOTO_BAR = 0.15, 2.0  # s; the second beyond the import of torch
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
HEAVY = ("torch._dynamo", "torch._inductor", "torch.onnx", "sympy", "matplotlib", "scipy", "torchvision")


def run(*arguments: object) -> None:
    command = [sys.executable, *map(str, arguments)]
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)


def heavy_modules(*arguments: object) -> list[str]:
    """Which of the heavy modules `python run.py <arguments>` imports."""
    code = (
        "import json, sys; from options import GROUPS, SCRIPTS; from utils.command_line.cli import main; "
        "main('run', SCRIPTS['run'], GROUPS, sys.argv[1:]); "
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], sep='\\n', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if line in HEAVY]


def main() -> None:
    parser = parser_of(__doc__, seconds=0, turns=3)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        photo = ["run.py", "hourglass_mpii", "--data_dir", PHOTO, "--person_box", "whole", "--output_dir", folder]
        commands = {
            "python -c pass": ["-c", "pass"],
            "import torch": ["-c", "import torch"],
            "run.py hourglass_mpii --help": ["run.py", "hourglass_mpii", "--help"],
            "run.py hourglass_mpii, one photo": photo,
        }
        run(*photo)  # from here on everything is in the file cache
        took = {name: seconds_of(partial(run, *command), arguments.turns) for name, command in commands.items()}
        heavy = heavy_modules(*photo[1:])
    print_table("Start-up", {name: 1 / seconds for name, seconds in took.items()}, unit="runs")
    print(f"Heavy modules that one photo imports: {', '.join(heavy) or 'none'} (of {', '.join(HEAVY)}).")
    verdict("--help", took["run.py hourglass_mpii --help"], HELP_BAR, "s", at_most=True)
    beyond = took["run.py hourglass_mpii, one photo"] - took["import torch"]
    verdict("run.py on one photo, beyond the import of torch", beyond, PHOTO_BAR, "s", at_most=True)


if __name__ == "__main__":
    main()
