"""The commands that README.md and the pages of docs/ name."""

import re

from command_line import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?:\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:python |torchrun )[^`]+)`", re.DOTALL)
VARIABLE = re.compile(r"^(\w+)=\"(.*)\"\n", re.MULTILINE)  # T="train.py SCRIPT ...", for lines `python $T ...`
ENTRY = re.compile(r"\b(train|run|viz|eval)\.py\s+(\w+)(.*)", re.DOTALL)
PROGRAM = re.compile(r"\b((?:scripts|benchmarks)/\w+\.py)\b(.*)", re.DOTALL)
PATH = re.compile(r"\b(?:scripts|benchmarks)/\w+\.(?:py|sh)\b")
TARGET = re.compile(r"(?:^|`)make ([a-z][\w-]*)", re.MULTILINE)
ELSEWHERE = (" --help", "…", "...", "$")  # in place of words that the user chooses


def commands() -> list[str]:
    """`entry.py script options` wherever a page has it in a block or between backquotes, without its comment."""
    return found(ENTRY)


def program_commands() -> list[str]:
    """The same of `scripts/NAME.py options` and `benchmarks/NAME.py options`."""
    return found(PROGRAM)


def found(kind: re.Pattern) -> list[str]:
    lines = [line for page in PAGES for line in _lines(page.read_text())]
    matches = {match[0].split(" #")[0].strip() for line in lines if (match := kind.search(line))}
    return sorted(command for command in matches if not any(part in command for part in ELSEWHERE))


def _lines(text: str) -> list[str]:
    blocks = [block.replace("\\\n", " ") for block in FENCE.findall(text)]
    for number, block in enumerate(blocks):
        for name, value in VARIABLE.findall(block):
            blocks[number] = VARIABLE.sub("", block).replace(f"${name}", value)
    inline = [" ".join(part.split()) for part in INLINE.findall(FENCE.sub("", text))]
    return [" ".join(line.split()) for block in blocks for line in block.splitlines()] + inline
