"""How options, checks and scripts are declared, and the types of option values. Imports nothing heavy.

The declarations are named tuples, which take a third of the time of dataclasses to import.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

OUTPUT_FOLDERS = ("output_dir", "checkpoint_dir", "tb_dir")
EVERY_SCRIPT = "every script"  # title of the option group that all scripts take
NOTHING: Mapping = MappingProxyType({})


# ------------------------------------------------------------------------------------------ argument types
def number(kind: type, low: float, high: float, what: str) -> Callable[[str], Any]:
    """An argument type for an int or float in [low, high]; `what` describes it in errors."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:  # NaN is refused too
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return parse


INFINITY = float("inf")
count = number(int, 1, INFINITY, "a whole number of at least 1")
whole = number(int, 0, INFINITY, "a whole number of at least 0")
seed = number(int, 0, 2**32 - 1, "a whole number from 0 to 4294967295")  # NumPy's range
positive = number(float, 5e-324, 1e300, "a number above 0")
not_negative = number(float, 0, 1e300, "a number of at least 0")
share = number(float, 0, 1, "a number from 0 to 1")


def boolean(text: str) -> bool:
    """Parse True or False."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return words[text.lower()]


# ------------------------------------------------------------------------------------------ declarations
class Option(NamedTuple):
    """One option, declared once.

    Attributes:
        name: without leading dashes, with underscores.
        help: what it does, with the unit.
        default: for scripts without a default of their own.
        type: an argument type of this module, `str` or `Path`; bool makes a switch.
        choices: allowed values.
        many: takes several values.
        aliases: other names for the same option.
        dest: attribute name, if `name` is not a Python identifier.
        required: must be given; set by scripts.
    """

    name: str
    help: str
    default: Any = None
    type: Callable = str
    choices: tuple | None = None
    many: bool = False
    aliases: tuple[str, ...] = ()
    dest: str | None = None
    required: bool = False


def accepts(option: Option, value: Any) -> bool:
    """Whether a command line could have given `value`, in the plain types in which a checkpoint stores it."""
    if option.many:
        one = option._replace(many=False)
        return all(accepts(one, item) for item in (value if isinstance(value, list) else [value]))
    if value is None:
        return option.default is None
    if option.type is bool:
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        parsed = option.type(str(value))
    except (ValueError, argparse.ArgumentTypeError):
        return False
    return option.choices is None or parsed in option.choices


class Check(NamedTuple):
    """A check of options and files that runs before heavy imports, so that errors appear at once.

    Attributes:
        function: "module:function" that raises UserError; its module must not import torch.
        options: names (dest) of the options that it takes, in order.
        also: further arguments after those.
        on_resume: whether to run with --resume too, which takes other options from the checkpoint.
    """

    function: str
    options: tuple[str, ...]
    also: tuple = ()
    on_resume: bool = False

    def call(self, options: argparse.Namespace) -> Any:
        """Call the function, imported only now, with these options."""
        module, function = self.function.split(":")
        return getattr(import_module(module), function)(*(getattr(options, name) for name in self.options), *self.also)


class Script(NamedTuple):
    """One script of an entry point.

    Attributes:
        module, function: called with the parsed options; imported only then.
        summary, prerequisites: one line each, for the list of scripts.
        takes: titles of option groups and names of single options.
        defaults: defaults of this script, by option name.
        required: options that must be given.
        changes: other attributes of `Option` that differ for this script (help, many), by option name.
        sample: the data set of `--data_dir sample` ("mpii", …), if the script reads data; see `sample_of`.
        several: whether it can run in several processes (torchrun, horovodrun).
        checks: run before the module is imported.
        data: gives the `DataReport` of `--data_dir` for `--check_data`.
    """

    module: str
    function: str
    summary: str
    prerequisites: str
    takes: tuple[str, ...]
    defaults: Mapping[str, Any] = NOTHING
    required: tuple[str, ...] = ()
    changes: Mapping[str, Mapping[str, Any]] = NOTHING
    sample: str | None = None
    several: bool = False
    checks: tuple[Check, ...] = ()
    data: Check | None = None

    def sample_of(self, options: argparse.Namespace) -> str | None:
        """The data set of `--data_dir sample`: that of `--data_set`, where the script takes it."""
        return getattr(options, "data_set", self.sample)

    def options(self, groups: "Groups") -> Iterator[tuple[str, Option]]:
        """(group title, option) of all its options, in the order of the groups."""
        for title, members in groups.items():
            for option in members:
                if title in (EVERY_SCRIPT, *self.takes) or option.name in self.takes:
                    changes = dict(self.changes.get(option.name, {}))
                    if option.name in self.defaults:
                        changes["default"] = self.defaults[option.name]
                    yield title, option._replace(required=option.name in self.required, **changes)


Groups = Mapping[str, Sequence[Option]]
