"""The command line that the four entry points share: options, help, near misses, errors.

Nothing here or in `options.py` imports torch or NumPy, so that `--help` answers at once.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from utils.compute.allocator import keep_large_blocks
from utils.compute.launcher import TORCHRUN
from utils.console.messages import show_messages
from utils.osutils import RunFailed, UserError, fail, suggestion

OUTPUT_FOLDERS = ("output_dir", "checkpoint_dir", "tb_dir")


# ------------------------------------------------------------------------------------------ argument types
def number(kind: type, low: float, high: float, what: str) -> Callable[[str], Any]:
    """An argument type for an int or float within [low, high]; `what` describes it in the error."""

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
seed = number(int, 0, 2**32 - 1, "a whole number from 0 to 4294967295")  # what NumPy takes
positive = number(float, 5e-324, 1e300, "a number above 0")
not_negative = number(float, 0, 1e300, "a number of at least 0")
share = number(float, 0, 1, "a number from 0 to 1")


def boolean(text: str) -> bool:
    """True or False in words."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return words[text.lower()]


# ------------------------------------------------------------------------------------------ declarations
@dataclass(frozen=True)
class Option:
    """One option, declared once.

    Attributes:
        name: without dashes in front; underscores inside.
        help: what it does, with its unit.
        default: unless a script has its own.
        type: an argument type of this module, `str` or `Path`; bool makes a switch.
        choices: the only values allowed.
        many: takes several values.
        aliases: other names for the same option.
        dest: attribute name, where `name` is no Python name.
        required: must be given; scripts say so.
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


@dataclass(frozen=True)
class Check:
    """A look at options and files before anything heavy is imported, so that an error comes at once.

    Attributes:
        function: "module:function" that raises UserError; its module imports no torch.
        options: names (dest) of the options whose values it takes, in its order.
        also: further arguments, behind them.
    """

    function: str
    options: tuple[str, ...]
    also: tuple = ()


@dataclass(frozen=True)
class Script:
    """One script of an entry point.

    Attributes:
        module, function: what runs it, called with the parsed options; imported only then.
        summary, prerequisites: one line each, for the list of scripts.
        takes: titles of option groups, and names of single options.
        defaults: its own defaults, by option name.
        required: options that must be given.
        changes: by option name, other attributes of `Option` that differ here (help, many).
        sample: what `--data_dir sample` stands for ("mpii", …), if the script reads data.
        several: whether torchrun or horovodrun may start it as several processes.
        checks: made before the module is imported.
    """

    module: str
    function: str
    summary: str
    prerequisites: str
    takes: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sample: str | None = None
    several: bool = False
    checks: tuple[Check, ...] = ()

    def options(self, groups: "Groups") -> Iterator[tuple[str, Option]]:
        """(group title, option) of everything that it takes, in the order of the groups."""
        for title, members in groups.items():
            for option in members:
                if title in self.takes or option.name in self.takes:
                    changes = dict(self.changes.get(option.name, {}))
                    if option.name in self.defaults:
                        changes["default"] = self.defaults[option.name]
                    yield title, replace(option, required=option.name in self.required, **changes)


Groups = Mapping[str, Sequence[Option]]


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors."""

    def error(self, message: str) -> NoReturn:
        if missing := message.partition("the following arguments are required: ")[2]:
            names = [flags.partition("/")[0] for flags in missing.split(", ")]
            verb = "is" if len(names) == 1 else "are"
            message = f"{' and '.join(names)} {verb} required; see {self.prog} --help"
        fail(self.prog, message.replace("argument --", "--"))


# ------------------------------------------------------------------------------------------ entry point
def main(entry: str, scripts: Mapping[str, Script], groups: Groups, argv: Sequence[str], processes=None) -> None:
    """Parse `argv` and run the script it names. Bad input ends in one line on stderr and status 2.

    `processes` are those of a program that has joined them before; the script gets them as `options.processes`.
    """
    prog = f"{entry}.py"
    if len(argv) > 1 and argv[0] in ("-h", "--help") and argv[1] in scripts:
        argv = [argv[1], "--help"]
    if not argv or argv[0] in ("-h", "--help"):
        print(list_scripts(prog, scripts))
        return
    name = argv[0]
    if name not in scripts:
        what = "the script's name comes first" if name.startswith("-") else f"unknown script {name!r}"
        fail(prog, f"{what}{suggestion(name, scripts)}; scripts: {', '.join(scripts)}")
    script = scripts[name]
    show_messages()
    options = parse(prog, name, script, groups, argv[1:])
    keep_large_blocks()
    try:
        with _company(options, script, f"{prog} {name}", processes) as company:
            if company is not None:
                options.processes = company
            _check(options, script)
            _prepare(options, script)
            getattr(import_module(script.module), script.function)(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, OSError) as error:  # OSError: a file in a folder's place, no permission, disk full
        if options.debug_traceback:
            traceback.print_exc()
        fail(f"{prog} {name}", str(error))
    except RunFailed as error:
        if options.debug_traceback:
            traceback.print_exc()
        fail(f"{prog} {name}", str(error), status=1)


def parse(prog: str, name: str, script: Script, groups: Groups, argv: Sequence[str]) -> argparse.Namespace:
    """Options as a namespace, with `script` (its name) and `given` (names of the options on the command line)."""
    parser = build_parser(prog, name, script, groups)
    argv = [_underscored(argument) for argument in argv]
    known = [flag for action in parser._actions for flag in action.option_strings]
    for flag in (argument.partition("=")[0] for argument in argv if argument.startswith("--")):
        if flag not in known:
            parser.error(f"unknown option {flag!r}{suggestion(flag, known)}; see {prog} {name} --help")
    options, rest = parser.parse_known_args(argv)
    if rest:
        parser.error(f"argument {rest[0]!r} belongs to no option; see {prog} {name} --help")
    options.script, options.given = name, _given(script, groups, argv)
    return options


def build_parser(prog: str, name: str, script: Script, groups: Groups) -> Parser:
    parser = Parser(
        prog=f"{prog} {name}",
        usage=f"python {prog} {name} [options]",
        description=f"{script.summary} Needs: {script.prerequisites}.",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=110),
    )
    sections: dict[str, argparse._ArgumentGroup] = {}
    for title, option in script.options(groups):
        if title not in sections:
            sections[title] = parser.add_argument_group(title)
        _add(sections[title], option)
    return parser


def list_scripts(prog: str, scripts: Mapping[str, Script]) -> str:
    """What `python X.py` prints."""
    lines = [f"usage: python {prog} SCRIPT [options]", "", "scripts:"]
    width = max(map(len, scripts))
    for name, script in scripts.items():
        lines += [f"  {name:<{width}} {script.summary}", f"  {'':<{width}} needs: {script.prerequisites}"]
    return "\n".join([*lines, "", f"python {prog} SCRIPT --help lists the options of one script."])


def _flags(option: Option) -> list[str]:
    return [f"--{name}" for name in (option.name, *option.aliases)]


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    dest, default = option.dest or option.name, option.default
    shown = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else default
    note = " (required)" if option.required else "" if default is None else f" (default: {shown})"
    text = (option.help + note).replace("%", "%%")
    if option.type is bool:
        switch = {"nargs": "?", "const": True, "type": boolean, "metavar": "True|False"}
        group.add_argument(*_flags(option), dest=dest, default=default, help=text, **switch)
        if not option.name.startswith("no_"):
            negative = [f"--no_{name}" for name in (option.name, *option.aliases)]
            group.add_argument(
                *negative, dest=dest, action="store_const", const=False, default=default, help=argparse.SUPPRESS
            )
        return
    metavar = "{" + ",".join(map(str, option.choices)) + "}" if option.choices else option.name.split("_")[-1].upper()
    group.add_argument(
        *_flags(option), dest=dest, default=default, type=option.type, choices=option.choices,
        nargs="+" if option.many else None, metavar=metavar, required=option.required, help=text,
    )  # fmt: skip


def _underscored(argument: str) -> str:
    """`--batch-size=1` as `--batch_size=1`; values and short options stay."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def _given(script: Script, groups: Groups, argv: Sequence[str]) -> set[str]:
    """Names (dest) of the options that stand on the command line."""
    typed = {argument.partition("=")[0] for argument in argv if argument.startswith("--")}
    return {
        option.dest or option.name
        for _, option in script.options(groups)
        for flag in _flags(option)
        if flag in typed or flag.replace("--", "--no_", 1) in typed
    }


def _company(options: argparse.Namespace, script: Script, name: str, processes) -> AbstractContextManager:
    """Within it this process is one of those that a launcher has started, which it gives; None where none has."""
    if processes is not None:
        return nullcontext(processes)
    if not _is_launched(options):
        return nullcontext()
    use_horovod = getattr(options, "use_horovod", "HOROVOD_RANK" in os.environ)  # without the option as launched
    from utils.compute.launched import joined

    return joined(name, use_horovod, getattr(options, "device", "auto"), script.several, options.debug_traceback)


def _is_launched(options: argparse.Namespace) -> bool:
    """Whether a launcher has started this process, or the options say that one has."""
    return getattr(options, "use_horovod", False) or "HOROVOD_RANK" in os.environ or os.environ.keys() >= TORCHRUN


def _check(options: argparse.Namespace, script: Script) -> None:
    """Make the script's checks. Of several processes none does: files may be on the machine of rank 0 alone.

    With `--resume`, whose options are stored with the checkpoint, only those that take it.
    """
    if _is_launched(options):
        return
    resumes = getattr(options, "resume", False)
    for check in (check for check in script.checks if not resumes or "resume" in check.options):
        if "data_dir" in check.options and _wants_sample(options):
            continue  # made below, on first use
        module, function = check.function.split(":")
        getattr(import_module(module), function)(*(getattr(options, name) for name in check.options), *check.also)


def _prepare(options: argparse.Namespace, script: Script) -> None:
    """What every script needs before it starts: folders to write to, sample data, workers, seeds."""
    for name in OUTPUT_FOLDERS:
        if getattr(options, name, None):
            _require_writable(name, getattr(options, name))
    if script.sample and _wants_sample(options):
        from utils.compute.launched import processes_of
        from utils.sample.sample_data import ensure_sample

        sample = processes_of(options).on_main(lambda: ensure_sample(script.sample))
        several = isinstance(options.data_dir, list)
        folders = [sample if str(one) == "sample" else one for one in options.data_dir] if several else sample
        options.data_dir = folders
    if getattr(options, "workers", 0):
        _limit_workers(options)
    if hasattr(options, "seed"):
        from utils.compute.devices import seed_everything

        seed_everything(options.seed)


def _wants_sample(options: argparse.Namespace) -> bool:
    """Whether the data folder, or one of several, is the sample."""
    folders = getattr(options, "data_dir", None)
    return "sample" in map(str, folders if isinstance(folders, list) else [folders])


def _limit_workers(options: argparse.Namespace) -> None:
    """No more workers than cores, of which the processes of one machine have equal shares."""
    processes = getattr(options, "processes", None)
    here = processes.local_size if processes else 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = max(cores // here, 1)
    if options.workers > most:
        shared = f" and {here} processes" if here > 1 else ""
        print(f"workers: {most} instead of {options.workers}, since this machine has {cores} cores{shared}")
        options.workers = most


def _require_writable(name: str, folder: Path) -> None:
    """UserError where `folder` can't be made or written to: better now than after the work."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"--{name} {folder}: {existing} is a file; give a folder, new or old")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--{name} {folder}: no permission to write into {existing}; give another folder")
