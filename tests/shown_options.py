"""Which options a test shows: `@pytest.mark.shows("load", "exp")`, of the scripts in its module's `SHOWN_SCRIPTS`.

Such a test must give each of these options to one of the scripts, in this process; otherwise it fails. `pytest
--drop_options` asks for more: it runs each such test once for each of its options, without that option on the command
line, and passes only if the test fails. So an option has a test if some test notices that the option is ignored.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import isclass, isfunction
from types import ModuleType

import pytest

from options import GROUPS, SCRIPTS
from utils.command_line import cli

# Tested for each script in tests/utils/command_line/test_data_check.py and tests/test_options.py.
OF_EVERY_SCRIPT = {"check_data", "max_pixels"}


class CommandLines:
    """What the commands of the running test were given.

    Attributes:
        given: (entry, script, option) of all options.
        dropped: an option that no command gets, with the scripts that do not get it.
    """

    def __init__(self) -> None:
        self.given: set[tuple[str, str, str]] = set()
        self.dropped: tuple[str, Sequence[tuple[str, str]]] | None = None

    def recording(self, parse: Callable) -> Callable:
        """`utils.command_line.cli.parse`, with a note of what is given."""

        def recorded(prog, name, script, groups, argv, *more):
            entry = prog.removesuffix(".py")
            flags = {option.name: flags_of(option) for _, option in script.options(groups)}
            if self.dropped and (entry, name) in self.dropped[1]:
                argv = without(argv, flags.get(self.dropped[0], set()))
            typed = {argument.partition("=")[0] for argument in argv}
            self.given |= {(entry, name, option) for option, names in flags.items() if names & typed}
            return parse(prog, name, script, groups, argv, *more)

        return recorded


COMMAND_LINES = CommandLines()


def flags_of(option) -> set[str]:
    names = (option.name, *option.aliases)
    return {f"--{prefix}{name}" for name in names for prefix in ("", "no_")}


def without(argv: Iterable[str], flags: set[str]) -> list[str]:
    """A command line without these flags and their values."""
    kept, drops = [], False
    for argument in argv:
        if argument.startswith("--"):
            drops = argument.partition("=")[0] in flags
        if not drops:
            kept.append(argument)
    return kept


# ------------------------------------------------------------------------------------------ hooks of pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--drop_options", action="store_true", help="only: without an option, a test that shows it must fail"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shows(*options): the test gives these options to a script, and they matter")
    cli.parse = COMMAND_LINES.recording(cli.parse)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("drop_options"):
        items[:] = [_dropping(item, option) for item in items for option in sorted(shown_by(item))]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    COMMAND_LINES.given.clear()
    dropped = getattr(item, "dropped", None)
    COMMAND_LINES.dropped = (dropped, item.module.SHOWN_SCRIPTS) if dropped else None


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    shown, dropped = shown_by(pyfuncitem), COMMAND_LINES.dropped
    try:
        result = yield
    except (Exception, SystemExit, pytest.fail.Exception):
        if dropped:
            return True  # the test has noticed
        raise
    if dropped:
        pytest.fail(f"passes without --{dropped[0]}", pytrace=False)
    if shown:
        scripts = pyfuncitem.module.SHOWN_SCRIPTS
        given = {option for entry, name, option in COMMAND_LINES.given if (entry, name) in scripts}
        assert shown <= given, f"shows {sorted(shown - given)}, but gives them to no script"
    return result


def shown_by(item: pytest.Item) -> set[str]:
    return {option for mark in item.iter_markers("shows") for option in mark.args}


def _dropping(item: pytest.Function, option: str) -> pytest.Function:
    """The same test, to be run without this option."""
    copy = pytest.Function.from_parent(
        item.parent, name=f"{item.name} without --{option}", originalname=item.originalname,
        callspec=getattr(item, "callspec", None), callobj=item.obj, fixtureinfo=item._fixtureinfo,
    )  # fmt: skip
    copy.dropped = option
    return copy


# ------------------------------------------------------------------------------------------ whether all are shown


def assert_all_shown(
    scripts: Sequence[tuple[str, str]], modules: Iterable[ModuleType], effects: Iterable[str] = ()
) -> None:
    """Each option of the scripts has an effect that is tested, or a test of the modules shows it."""
    options = {option.name for entry, name in scripts for _, option in SCRIPTS[entry][name].options(GROUPS)}
    shown = set(effects).union(*(mark.args for module in modules for mark in _marks_of(module)))
    assert options - shown - OF_EVERY_SCRIPT == set(), "no test shows these options"
    assert shown - options == set(), "no option of the scripts"


def _marks_of(module: ModuleType) -> Iterator[pytest.Mark]:
    """The marks of all tests of a module, and of their parameters."""
    places = [module, *(one for one in vars(module).values() if isclass(one) and one.__name__.startswith("Test"))]
    tests = (getattr(place, name) for place in places for name in dir(place) if name.startswith("test_"))
    for mark in (mark for test in tests if isfunction(test) for mark in getattr(test, "pytestmark", ())):
        if mark.name == "parametrize":
            marks = (one for case in mark.args[1] for one in getattr(case, "marks", ()))  # of pytest.param
            yield from (one for one in marks if one.name == "shows")
        elif mark.name == "shows":
            yield mark
