"""What the entry functions of scripts do with their options: convert them to settings, and check them."""

from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from utils.compute.distributed import ALONE, Processes
from utils.osutils import UserError

Settings = TypeVar("Settings")


def from_options(kind: type[Settings], options: Namespace, **others: Any) -> Settings:
    """A dataclass of settings with fields from the options of the same names; `others` take precedence.

    A field without an option of its name keeps its default.
    """
    named = {field.name: getattr(options, field.name) for field in fields(kind) if hasattr(options, field.name)}
    return kind(**named | others)


def processes_of(options: Namespace) -> Processes:
    """The processes that the command line has joined, else `ALONE`."""
    return getattr(options, "processes", ALONE)


def with_values(options: Namespace, **values: Any) -> Namespace:
    """A copy of the options with the given values."""
    return Namespace(**vars(options) | values)


def given_value(options: Namespace, name: str) -> Any:
    """The value of an option given on the command line; None if it was not given or the script does not have it."""
    return getattr(options, name) if name in options.given else None


def workers_of_run(options: Namespace, device: str) -> int:
    """`--workers` of a run on photos or a video, with the network on a "cpu", "cuda" or "mps".

    On a CPU it is 0 unless given: processes would take cores from the network, which needs them all.
    """
    return options.workers if device != "cpu" or "workers" in options.given else 0


def refuse_useless(options: Namespace, rules: Iterable[tuple[bool, Iterable[str], str]]) -> None:
    """Raise UserError for options that contradict others or have no effect.

    A rule is (whether it applies, names of options that must not be given then, the error message).
    """
    for applies, names, fault in rules:
        useless = [name for name in names if name in options.given]
        if applies and useless:
            raise UserError(f"--{useless[0]} {fault}")


def refuse_disagreement(options: Namespace, stored: Mapping[str, Any], path: str | Path) -> None:
    """Raise UserError for an option on the command line that contradicts the checkpoint `path`."""
    for name, value in stored.items():
        if name in options.given and getattr(options, name) != value:
            raise UserError(f"--{name} {getattr(options, name)}: {path} was trained with {value}; leave the option out")


def print_if_workers_are_ignored(options: Namespace) -> None:
    """Print one line if `--workers` was given to a script that ignores it."""
    if "workers" in options.given:
        print(f"--workers {options.workers}: ignored: the poses are already on the device")
