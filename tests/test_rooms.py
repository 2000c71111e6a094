"""What the entry points and options.py import: import-linter (pyproject.toml) reads packages alone."""

import ast

import pytest
from command_line import ROOT

from options import SCRIPTS

PROJECT = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {path.stem for path in ROOT.glob("*.py")}


def imported(module: str) -> set[str]:
    """The modules of this project that `module`.py imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return {name for name in found if name.split(".")[0] in PROJECT}


@pytest.mark.parametrize("entry", SCRIPTS)
def test_an_entry_point_parses_and_dispatches_alone(entry):
    assert imported(entry) == {"options", "utils.command_line.cli"}


def test_the_options_know_no_network():
    rooms = ("declarations", "option_groups", "script_kinds")
    assert imported("options") == {f"utils.command_line.{name}" for name in rooms}
