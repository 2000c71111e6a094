"""`--check_data`: what a script would read, what is there and what is missing. Nothing is run or written."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from utils.command_line.declarations import OUTPUT_FOLDERS, Check, Groups, Option, Script
from utils.osutils import DataReport, UserError, counted

CHECKPOINTS = ("load", "load_hourglass", "load_2d3d")
SAMPLE_ROOT = Path("data/sample")


def check_data(options: argparse.Namespace, script: Script, groups: Groups) -> None:
    """Print what is at the paths of the script's options. An option that was not given is no error.

    Raises UserError where something that the script needs is missing.
    """
    missing = []
    for option in _inputs(script, groups):
        value = getattr(options, option.dest or option.name)
        paths = value if isinstance(value, list) else [value]
        if value is None:
            if option.required:
                print(f"--{option.name}: not given; the script needs it")
            continue
        print(f"--{option.name} {' '.join(map(str, paths))}")
        report = _report(option, paths, options, script)
        for line in (*report.lines, *(f"missing: {one}" for one in report.missing)):
            print("  " + line.replace("\n", "\n  "))
        missing += report.missing
    for fault in _checkpoint_faults(options, script):
        print(f"missing: {fault}")
        missing.append(fault)
    if missing:
        more = f" (and {counted(len(missing) - 1, 'more problem')}, printed above)" if missing[1:] else ""
        raise UserError(f"{missing[0]}{more}")
    print("nothing that is needed is missing")


def _inputs(script: Script, groups: Groups) -> Iterator[Option]:
    """The options that name files or folders to read."""
    for _, option in script.options(groups):
        if option.type is Path and option.name not in OUTPUT_FOLDERS:
            yield option


def _report(option: Option, paths: list[Path], options: argparse.Namespace, script: Script) -> DataReport:
    if option.name == "data_dir" and script.data:
        return _data_report(paths, options, script.sample_of(options), script.data)
    found = [_described(path) for path in paths if path.exists()]
    if option.name in CHECKPOINTS and not option.many:
        return DataReport(tuple(found))  # `_checkpoint_faults` says what is missing
    return DataReport(tuple(found), tuple(f"{path}: no such file or folder" for path in paths if not path.exists()))


def _checkpoint_faults(options: argparse.Namespace, script: Script) -> list[str]:
    """What is wrong with the paths of checkpoints, by the script's own checks."""
    for check in (check for check in script.checks if set(CHECKPOINTS) & set(check.options)):
        try:
            check.call(options)
        except UserError as error:
            return [str(error)]
    return []


def _data_report(paths: list[Path], options: argparse.Namespace, sample: str | None, check: Check) -> DataReport:
    """What the script's own check says of the folders; the sample's is looked at where it was made before."""
    lines, made = [], SAMPLE_ROOT / (sample or "")
    if sample and Path("sample") in paths:
        if not made.is_dir():
            return DataReport((f"{made}: not made yet; the first run makes it, and needs no download",))
        lines.append(f"sample: {made}")
    there = [made if sample and path == Path("sample") else path for path in paths]
    several = isinstance(options.data_dir, list)
    report = check.call(argparse.Namespace(**vars(options) | {"data_dir": there if several else there[0]}))
    return DataReport((*lines, *report.lines), report.missing)


def _described(path: Path) -> str:
    """A file with its size, a folder with the number of its entries."""
    if path.is_dir():
        return f"{path}: a folder of {counted(len(list(path.iterdir())), 'entry', 'entries')}"
    return f"{path}: {path.stat().st_size / 1e6:,.1f} MB"
