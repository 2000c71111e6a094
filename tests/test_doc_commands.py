"""Commands in the docs parse and run, and links lead to existing files and headings."""

import argparse
import re
import shlex
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from command_line import ROOT, call, load_script
from doc_commands import ENTRY, FENCE, PAGES, PATH, PROGRAM, TARGET, commands, program_commands
from doc_workspace import SMALL, Workspace, printed, written
from launchers import finish, launcher, start

from options import GROUPS, SCRIPTS
from utils.command_line.cli import parse

LINK = re.compile(r"\]\(([^)\s]+)\)")


def parsed(command: str) -> tuple[str, list[str], Namespace]:
    """The entry point, its arguments, and the options that they make."""
    entry, name, rest = ENTRY.match(command).groups()
    argv = shlex.split(rest)
    return entry, [name, *argv], parse(f"{entry}.py", name, SCRIPTS[entry][name], GROUPS, argv)


def shortened(command: str) -> str:
    """pytest numbers longer names."""
    return command[:100]


def test_there_are_commands_of_every_entry_point():
    assert {command.split(".py")[0] for command in commands()} == set(SCRIPTS)


@pytest.mark.parametrize("command", commands(), ids=shortened)
def test_command_parses(command):
    entry, name, _ = ENTRY.match(command).groups()
    assert name in SCRIPTS[entry]
    try:
        parsed(command)
    except SystemExit as ended:
        pytest.fail(f"{command}: exit {ended.code}")


# ------------------------------------------------------------------------------------------ they run
@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_mpii, tiny_clips, two_actions_h36m) -> Workspace:
    return Workspace(
        tmp_path_factory.mktemp("pages"), {"mpii": tiny_mpii, "clips": tiny_clips, "h36m": two_actions_h36m}
    )


@pytest.mark.long  # every script's own tests run it; this one shows that no page has gone stale
@pytest.mark.parametrize("command", commands(), ids=shortened)
def test_command_runs(command, workspace, tmp_path):
    """With options after its own that make it small, in a folder of its own."""
    entry, argv, options = parsed(command)
    folder, patterns = written(entry, argv[0], options)
    words = [*argv, *(() if options.check_data else SMALL.get(f"{entry} {argv[0]}", ()))]
    horovod = launcher("horovodrun") if getattr(options, "use_horovod", False) else []
    workspace.copy_for(command, entry, options, tmp_path)
    (tmp_path / "before").touch()
    before = (tmp_path / "before").stat().st_mtime_ns
    if horovod:
        finish(start(*horovod, ROOT / f"{entry}.py", *words, cwd=tmp_path))
    else:
        result = call(entry, *words, cwd=tmp_path).succeeded()
        assert printed(options) in result.out
    left = {pattern: list((tmp_path / folder).glob(pattern)) for pattern in patterns}
    assert all(left.values()), left
    times = [path.stat().st_mtime_ns for paths in left.values() for path in paths]
    assert max(times, default=before) >= before, "no file is new"


def test_a_name_that_the_workspace_lacks_fails_with_what_to_add(tmp_path):
    for command in ("train.py hourglass_mpii --data_dir NOWHERE", "eval.py mpii_PCKh --prediction_files NOWHERE"):
        entry, _, options = parsed(command)
        with pytest.raises(pytest.fail.Exception, match="nothing makes NOWHERE; add it to PARTS in tests/doc_work"):
            Workspace(tmp_path, {}).copy_for(command, entry, options, tmp_path)


# ------------------------------------------------------------------------------------------ other programs
class Parsed(Exception):
    """A program has parsed its options."""


@pytest.mark.parametrize("command", program_commands(), ids=shortened)
def test_command_of_another_program_parses(command, monkeypatch):
    """Its options exist, and their values are allowed; nothing is started."""
    path, rest = PROGRAM.match(command).groups()
    parse_args = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, *args: object) -> None:
        parse_args(parser, *args)
        raise Parsed

    monkeypatch.setattr(sys, "argv", [path, *shlex.split(rest)])
    monkeypatch.setattr(sys, "path", [str(ROOT / path.partition("/")[0]), *sys.path])
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    folder, name = path.removesuffix(".py").split("/")
    with pytest.raises(Parsed):
        load_script(folder, name).main()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_and_make_targets_exist(page):
    text = page.read_text()
    assert [path for path in PATH.findall(text) if not (ROOT / path).is_file()] == []
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert set(TARGET.findall(text)) <= set(targets)


# ------------------------------------------------------------------------------------------ links
def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", one)).strip().lower().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if link.startswith(("http://", "https://")):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not heading or heading in anchors(target), f"{page.name}: {link}"


def test_the_index_has_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    missing = [page.name for page in PAGES[1:] if page.name != "README.md" and f"({page.name})" not in index]
    assert not missing
