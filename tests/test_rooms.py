"""What the entry points and options.py import: import-linter (pyproject.toml) reads packages alone."""

import ast
from functools import cache

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
def test_an_entry_point_only_parses_and_dispatches(entry):
    assert imported(entry) == {"options", "utils.command_line.cli"}


def test_the_options_know_no_network():
    rooms = ("declarations", "option_groups", "script_kinds")
    assert imported("options") == {f"utils.command_line.{name}" for name in rooms}


# ------------------------------------------------------------------------------------------ names
PACKAGES = ("stacked_hourglass", "twod_threed", "generative_models", "stitched", "utils")
# A script of two entry points has one name (train.py hourglass_mpii, run.py hourglass_mpii), and so have its functions.
DOORS = {script.function for scripts in SCRIPTS.values() for script in scripts.values()}
DOOR_MODULES = {script.module for scripts in SCRIPTS.values() for script in scripts.values()}
DOOR_ROOMS = ("utils.command_line", "utils.doors")  # parsing and early checks; what doors do with their options


@cache  # at its first use: each process of pytest imports this file
def modules() -> dict[str, ast.Module]:
    folders = [ROOT / folder for folder in (*PACKAGES, "scripts", "benchmarks")]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))] + [ROOT / "options.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text()) for path in paths}


def public_names(tree: ast.Module) -> set[str]:
    """The public functions, classes, type aliases and constants of a module."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return {name for name in found if not name.startswith("_")}


@cache
def defined() -> dict[str, set[str]]:
    """The public names of each module of the packages."""
    return {module: public_names(tree) for module, tree in modules().items() if module.split(".")[0] in PACKAGES}


@cache
def imports() -> list[tuple[str, str | None, str]]:
    """Each `from source import name`: the module that has it, source and name."""
    return [
        (module, node.module, alias.name)
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


# Used under its own name alone (`schema.number(0, 1)`), so other modules may define the same words.
VOCABULARIES = {"utils.files.schema"}


def places_of(name: str) -> list[str]:
    return [module for module, names in defined().items() if name in names and module not in VOCABULARIES]


def test_a_public_function_or_class_has_its_name_to_itself():
    """One name, one meaning. Constants that no other module imports may share a name: COLUMNS, FRAMES."""
    assert len(defined()) > 100
    shared_names = {name for _, module, name in imports() if name in defined().get(module, ())}
    others = {name for module, names in defined().items() if module not in VOCABULARIES for name in names}
    own = shared_names | {name for name in others if not name.isupper()}
    assert {name: places_of(name) for name in own - DOORS if len(places_of(name)) > 1} == {}


def test_names_are_imported_from_where_they_are_defined():
    passed_on = [
        (module, source, name)
        for module, source, name in imports()
        if source in defined() and name not in defined()[source] and places_of(name) and source not in VOCABULARIES
    ]
    assert passed_on == []


# ------------------------------------------------------------------------------------------ where a Namespace ends
def is_of_a_door(module: str) -> bool:
    return module in DOOR_MODULES or module.startswith(DOOR_ROOMS)


def sees_a_namespace(function: ast.FunctionDef | ast.Lambda) -> bool:
    """Whether a function takes options, by the name or the type of a parameter."""
    given = function.args
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return any(
        one.arg == "options" or (one.annotation and "Namespace" in ast.unparse(one.annotation)) for one in parameters
    )


def test_no_function_outside_door_modules_takes_options():
    functions = [
        (module, node)
        for module, tree in modules().items()
        if module.split(".")[0] in PACKAGES
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.Lambda)
    ]
    takes = {(module, getattr(node, "name", "lambda")) for module, node in functions if sees_a_namespace(node)}
    assert {(script.module, script.function) for one in SCRIPTS.values() for script in one.values()} <= takes
    assert {(module, name) for module, name in takes if not is_of_a_door(module)} == set()


def test_no_module_below_the_doors_makes_a_namespace_or_asks_what_was_given():
    named = {
        module
        for module, tree in modules().items()
        if module.split(".")[0] in PACKAGES
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Name | ast.alias)
            and "Namespace" in (getattr(node, "id", ""), getattr(node, "name", ""))
        )
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in ("argparse.Namespace", "options.given"))
    }
    assert DOOR_MODULES & named
    assert {module for module in named if not is_of_a_door(module)} == set()


def test_only_doors_import_the_doors_own_room():
    importers = {module for module, source, _ in imports() if source and source.startswith("utils.doors")}
    importers = {module for module in importers if module.split(".")[0] in PACKAGES}
    assert "stitched.train" in importers
    assert {module for module in importers if not is_of_a_door(module)} == set()
