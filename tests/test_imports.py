"""What start-up imports: slow modules cost seconds before anything happens. Modules are listed; nothing is timed."""

import json
import subprocess
import sys
from pathlib import Path

from options import GROUPS, SCRIPTS

ROOT = Path(__file__).parents[1]
# The compiler, exporters, detectors, SciPy and plots: slow, and most work needs none of them.
SLOW = (
    "torch._dynamo", "torch._inductor", "torch.onnx", "sympy", "onnx", "torchvision", "tensorboardX", "scipy",
    "matplotlib",
)  # fmt: skip
# They draw curves, whatever their options say.
NEEDED = {
    "utils.training.training_curves": ["matplotlib"],
    "stacked_hourglass.evaluation": ["matplotlib"],
    "utils.formats.convert": ["matplotlib", "scipy"],  # scipy alone; the first two have imported the other
}
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


def test_checks_import_no_torch_and_take_options_of_their_scripts():
    scripts = [script for scripts in SCRIPTS.values() for script in scripts.values()]
    for script in scripts:
        names = {option.dest or option.name for _, option in script.options(GROUPS)} | {"script"}
        assert all(names.issuperset(check.options) for check in script.checks)
    functions = sorted({check.function for script in scripts for check in script.checks})
    assert len(functions) > 4
    code = "import importlib, sys\nfor check in sys.argv[1:]:\n    module, function = check.split(':')\n"
    code += "    assert callable(getattr(importlib.import_module(module), function))\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, *functions], cwd=ROOT, check=True)


def test_files_to_draw_or_score_are_looked_for_before_torch_is_imported():
    for entry in ("viz", "eval"):
        for name, script in SCRIPTS[entry].items():
            dests = {option.name: option.dest or option.name for _, option in script.options(GROUPS)}
            checked = {name for check in script.checks for name in check.options}
            assert name == "training_curves" or {dests[name] for name in script.required} <= checked


def test_doors_that_need_no_network_import_no_torch():
    """Their work takes less time than the import of torch."""
    doors = ["utils.training.training_curves", "stacked_hourglass.evaluation"]
    code = "import importlib, sys\nfor door in sys.argv[1:]:\n    importlib.import_module(door)\n"
    code += "    assert 'torch' not in sys.modules, door"
    subprocess.run([sys.executable, "-c", code, *doors], cwd=ROOT, check=True)


def test_the_suite_computes_on_one_thread():
    """`conftest` sets it before the first import of torch; its processes fill the cores already."""
    import torch

    assert torch.get_num_threads() == 1
