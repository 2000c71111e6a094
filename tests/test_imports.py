"""What a start imports: seconds of waiting before anything happens. Modules are counted, in a process; no timing."""

import json
import subprocess
import sys
from pathlib import Path

from options import SCRIPTS

ROOT = Path(__file__).parents[1]
# The compiler, exporters, detectors, SciPy and plots: slow, and most work needs none of them.
SLOW = (
    "torch._dynamo", "torch._inductor", "torch.onnx", "sympy", "onnx", "torchvision", "tensorboardX", "scipy",
    "matplotlib",
)  # fmt: skip
# They read MATLAB files or draw curves, whatever their options say.
NEEDED = {"utils.training.training_curves": ["matplotlib"], "stacked_hourglass.evaluation": ["matplotlib", "scipy"]}
LIST = """
import importlib, json, sys
modules, slow = map(json.loads, sys.argv[1:])
found = {}
for module in modules:
    importlib.import_module(module)
    found[module] = sorted(name for name in slow if name in sys.modules)
print(json.dumps(found))
"""


def test_doors_import_nothing_slow_that_only_some_of_their_work_needs():
    doors = {script.module for scripts in SCRIPTS.values() for script in scripts.values()}
    modules = [*sorted(doors - set(NEEDED)), *NEEDED]  # what a module has imported, the next ones have too
    done = subprocess.run(
        [sys.executable, "-c", LIST, json.dumps(modules), json.dumps(SLOW)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert {module: names for module, names in found.items() if names} == NEEDED
    assert set(found) == doors
