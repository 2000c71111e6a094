"""Commands in the docs parse, and links lead to existing files and headings."""

import re
import shlex
from pathlib import Path

import pytest
from command_line import ROOT

from options import GROUPS, SCRIPTS
from utils.command_line.cli import parse

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?:\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:python |torchrun )[^`]+)`", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ENTRY = re.compile(r"\b(train|run|viz|eval)\.py\s+(\w+)(.*)", re.DOTALL)
ELSEWHERE = (" --help", "…", "...", "$")  # in place of words that the user chooses


def commands() -> list[str]:
    """`entry.py script options` wherever a page has it in a block or between backquotes, without its comment."""
    found = set()
    for page in PAGES:
        text = page.read_text()
        lines = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        lines += [" ".join(part.split()) for part in INLINE.findall(FENCE.sub("", text))]
        found |= {match[0].split(" #")[0].strip(' "') for line in lines if (match := ENTRY.search(line))}
    return sorted(command for command in found if not any(part in command for part in ELSEWHERE))


def test_there_are_commands_of_every_entry_point():
    assert {command.split(".py")[0] for command in commands()} == set(SCRIPTS)


@pytest.mark.parametrize("command", commands())
def test_command_parses(command):
    entry, name, rest = ENTRY.match(command).groups()
    assert name in SCRIPTS[entry]
    try:
        parse(f"{entry}.py", name, SCRIPTS[entry][name], GROUPS, shlex.split(rest))
    except SystemExit as ended:
        pytest.fail(f"{command}: exit {ended.code}")


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
