"""From options to settings, and the rules that options must keep. Only doors (one function a script) call these."""

from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from utils.osutils import UserError

Settings = TypeVar("Settings")


def from_options(kind: type[Settings], options: Namespace, **others: Any) -> Settings:
    """A dataclass of settings, its fields from the options of the same names; `others` take precedence.

    A field that no option is named after keeps its default.
    """
    named = {field.name: getattr(options, field.name) for field in fields(kind) if hasattr(options, field.name)}
    return kind(**named | others)


def with_values(options: Namespace, **values: Any) -> Namespace:
    """New options: these, but for the given values."""
    return Namespace(**vars(options) | values)


def given_value(options: Namespace, name: str) -> Any:
    """The value of an option that stands on the command line; None where it does not, or the script has none such."""
    return getattr(options, name) if name in options.given else None


def refuse_useless(options: Namespace, rules: Iterable[tuple[bool, Iterable[str], str]]) -> None:
    """UserError for options that contradict others or would have no effect.

    A rule is (whether it applies, names of options that must then not be given, what is wrong with them).
    """
    for applies, names, fault in rules:
        useless = [name for name in names if name in options.given]
        if applies and useless:
            raise UserError(f"--{useless[0]} {fault}")


def refuse_disagreement(options: Namespace, stored: Mapping[str, Any], path: str | Path) -> None:
    """UserError for an option on the command line whose value is not what the checkpoint `path` was trained with."""
    for name, value in stored.items():
        if name in options.given and getattr(options, name) != value:
            raise UserError(f"--{name} {getattr(options, name)}: {path} was trained with {value}; leave the option out")


def say_if_workers_are_of_no_use(options: Namespace) -> None:
    """One line where `--workers` was given to a script whose data lies on the device."""
    if "workers" in options.given:
        print(f"--workers {options.workers}: ignored: the poses are already on the device")
