"""The command line shared by the four entry points: options, help, suggestions for misspelt names, errors.

Nothing here or in `options.py` imports torch or NumPy, so that `--help` answers at once; what only a running script
needs is imported where it is used.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from utils.command_line.declarations import OUTPUT_FOLDERS, Groups, Option, Script, accepts, boolean
from utils.compute.allocator import keep_large_blocks
from utils.compute.early_signals import ending_signals
from utils.compute.launcher import TORCHRUN
from utils.files.sizes import MAX_PIXELS, pixels_limited
from utils.osutils import RunFailed, UserError, fail, first_few, full_disk, suggestion


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors."""

    def error(self, message: str) -> NoReturn:
        if missing := message.partition("the following arguments are required: ")[2]:
            names = [flags.partition("/")[0] for flags in missing.split(", ")]
            verb = "is" if len(names) == 1 else "are"
            message = f"{' and '.join(names)} {verb} required; see {self.prog} --help"
        fail(self.prog, message.replace("argument --", "--"))

    @contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Context in which bad input ends the program with one line and status 2; a full disk with status 1."""
        try:
            yield
        except (UserError, OSError) as error:
            fail(self.prog, str(error), status=1 if full_disk(error) else 2)
        except RunFailed as error:
            fail(self.prog, str(error), status=1)


# ------------------------------------------------------------------------------------------ entry point
def main(entry: str, scripts: Mapping[str, Script], groups: Groups, argv: Sequence[str], processes=None) -> None:
    """Parse `argv` and run the script that it names. Bad input ends with one line on stderr and status 2.

    `processes` are given by a program that has joined them already; the script gets them as `options.processes`.
    """
    prog = f"{entry}.py"
    if len(argv) > 1 and argv[0] in ("-h", "--help") and argv[1] in scripts:
        argv = [argv[1], "--help"]
    if not argv or argv[0] in ("-h", "--help"):
        print(list_scripts(prog, scripts))
        return
    name = argv[0]
    if name not in scripts:
        what = "the first argument is the script's name" if name.startswith("-") else f"unknown script {name!r}"
        fail(prog, f"{what}{suggestion(name, scripts)}; scripts: {', '.join(scripts)}")
    script = scripts[name]
    options = parse(prog, name, script, groups, argv[1:], scripts)
    from utils.console.messages import show_messages

    show_messages()
    keep_large_blocks()
    try:
        with pixels_limited(getattr(options, "max_pixels", MAX_PIXELS)):
            if _checks_data(options):
                from utils.command_line.data_check import check_data

                check_data(options, script, groups)
                return
            with ending_signals() as signals, _company(options, script, f"{prog} {name}", processes) as company:
                if company is not None:
                    options.processes = company
                _check(options, script)
                _prepare(options, script)
                door = getattr(import_module(script.module), script.function)
                signals.check()  # an import may have swallowed Ctrl-C
                door(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output (head, less) has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, OSError) as error:  # OSError: a file instead of a folder, no permission, disk full
        _print_traceback(options)
        fail(f"{prog} {name}", str(error), status=1 if full_disk(error) else 2)
    except RunFailed as error:
        _print_traceback(options)
        fail(f"{prog} {name}", str(error), status=1)


def _print_traceback(options: argparse.Namespace) -> None:
    """Print the current exception's traceback with `--debug_traceback`."""
    if options.debug_traceback:
        import traceback

        traceback.print_exc()


def parse(
    prog: str,
    name: str,
    script: Script,
    groups: Groups,
    argv: Sequence[str],
    scripts: Mapping[str, Script] | None = None,
) -> argparse.Namespace:
    """Options as a namespace, with `script` (the name) and `given` (names of the options on the command line).

    `scripts`: all of the entry point, for the message about an option that only others take.
    """
    parser = build_parser(prog, name, script, groups)
    argv = [_underscored(argument) for argument in argv]
    known = [flag for action in parser._actions for flag in action.option_strings]
    for flag in (argument.partition("=")[0] for argument in argv if argument.startswith("--")):
        if flag not in known:
            hint = _takers(flag, scripts or {}, groups) or suggestion(flag, known)
            parser.error(f"unknown option {flag!r}{hint}; see {prog} {name} --help")
    options, rest = parser.parse_known_args(argv)
    if rest:
        parser.error(f"argument {rest[0]!r} belongs to no option; see {prog} {name} --help")
    options.script, options.given = name, _given(script, groups, argv)
    _require_options(parser, options, script, groups)
    options.accepts = {option.dest or option.name: partial(accepts, option) for _, option in script.options(groups)}
    return options


def _takers(flag: str, scripts: Mapping[str, Script], groups: Groups) -> str:
    """ ", which X takes" for the scripts that have an option, or ""."""
    names = [name for name, script in scripts.items() if any(flag in _flags(one) for _, one in script.options(groups))]
    return f", which {first_few(names, ',', 3)} take{'s' if len(names) == 1 else ''}" if names else ""


def _checks_data(options: argparse.Namespace) -> bool:
    return getattr(options, "check_data", False)


def _require_options(parser: Parser, options: argparse.Namespace, script: Script, groups: Groups) -> None:
    """End with an error if a required option was not given; `--check_data` requires none."""
    required = [option for _, option in script.options(groups) if option.required]
    missing = [f"--{one.name}" for one in required if getattr(options, one.dest or one.name) is None]
    if missing and not _checks_data(options):
        parser.error(f"the following arguments are required: {', '.join(missing)}")


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
    """The output of `python X.py` without arguments."""
    lines = [f"usage: python {prog} SCRIPT [options]", "", "scripts:"]
    width = max(map(len, scripts))
    for name, script in scripts.items():
        lines += [f"  {name:<{width}} {script.summary}", f"  {'':<{width}} needs: {script.prerequisites}"]
    return "\n".join([*lines, "", f"python {prog} SCRIPT --help lists the options of one script."])


def _flags(option: Option) -> list[str]:
    return [f"--{name}" for name in (option.name, *option.aliases)]


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    dest, default = option.dest or option.name, option.default
    shown = " ".join(map(str, default)) or "none" if isinstance(default, (list, tuple)) else default
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
        nargs="+" if option.many else None, metavar=metavar, help=text,
    )  # fmt: skip


def _underscored(argument: str) -> str:
    """`--batch-size=1` as `--batch_size=1`; values and short options are unchanged."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def _given(script: Script, groups: Groups, argv: Sequence[str]) -> set[str]:
    """Names (dest) of the options on the command line."""
    typed = {argument.partition("=")[0] for argument in argv if argument.startswith("--")}
    return {
        option.dest or option.name
        for _, option in script.options(groups)
        for flag in _flags(option)
        if flag in typed or flag.replace("--", "--no_", 1) in typed
    }


def _company(options: argparse.Namespace, script: Script, name: str, processes) -> AbstractContextManager:
    """Context that joins the processes of a launcher and yields them; yields None without a launcher."""
    if processes is not None:
        return nullcontext(processes)
    if not _is_launched(options):
        return nullcontext()
    # Scripts without the option follow the launcher.
    use_horovod = getattr(options, "use_horovod", "HOROVOD_RANK" in os.environ)
    from utils.compute.launched import joined

    return joined(name, use_horovod, getattr(options, "device", "auto"), script.several, options.debug_traceback)


def _is_launched(options: argparse.Namespace) -> bool:
    """Whether a launcher has started this process, or the options say that one has."""
    return getattr(options, "use_horovod", False) or "HOROVOD_RANK" in os.environ or os.environ.keys() >= TORCHRUN


def _check(options: argparse.Namespace, script: Script) -> None:
    """Run the script's checks. Skipped with several processes: files may exist only on the machine of rank 0.

    With `--resume`, whose options come from the checkpoint, only checks made for it run.
    """
    if _is_launched(options):
        return
    resumes = getattr(options, "resume", False)
    for check in (check for check in script.checks if not resumes or check.on_resume):
        if "data_dir" in check.options and _wants_sample(options):
            continue  # `_prepare` generates it
        check.call(options)


def _prepare(options: argparse.Namespace, script: Script) -> None:
    """Prepare what every script needs: writable output folders, sample data, workers, seeds."""
    for name in OUTPUT_FOLDERS:
        if getattr(options, name, None):
            _require_writable(name, getattr(options, name))
    data_set = script.sample_of(options)
    if data_set and _wants_sample(options):
        from utils.doors.option_rules import processes_of
        from utils.sample.sample_data import ensure_sample

        sample = processes_of(options).on_main(lambda: ensure_sample(data_set))
        several = isinstance(options.data_dir, list)
        folders = [sample if str(one) == "sample" else one for one in options.data_dir] if several else sample
        options.data_dir = folders
    if getattr(options, "workers", 0):
        _limit_workers(options)
    if hasattr(options, "seed"):
        from utils.compute.devices import seed_everything

        seed_everything(options.seed)


def _wants_sample(options: argparse.Namespace) -> bool:
    """Whether the data folder, or one of them, is "sample"."""
    folders = getattr(options, "data_dir", None)
    return "sample" in map(str, folders if isinstance(folders, list) else [folders])


def _limit_workers(options: argparse.Namespace) -> None:
    """Limit workers to the number of cores, shared equally by the processes of a machine; says so where they were
    given."""
    processes = getattr(options, "processes", None)
    here = processes.local_size if processes else 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = max(cores // here, 1)
    if options.workers <= most:
        return
    if "workers" in options.given:
        shared = f" and {here} processes" if here > 1 else ""
        print(f"--workers {options.workers}: {most} are used, since this machine has {cores} cores{shared}")
    options.workers = most


def _require_writable(name: str, folder: Path) -> None:
    """Raise UserError if `folder` cannot be created or written to, before any work is done."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"--{name} {folder}: {existing} is a file; give a new or existing folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--{name} {folder}: no permission to write into {existing}; give another folder")
