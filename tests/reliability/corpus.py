"""The corpus that `fuzz.py` keeps: per format, a smallest list of edits for each outcome that it met.

`corpus.json` has a line per entry. Its lists are small enough to be read; numbers, quotes and paths are cut out of the
messages, which only tell outcomes apart.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cases import Result
from edits import Edit

from utils.osutils import write_text

PATH = Path(__file__).with_name("corpus.json")
MOST_ENTRIES = 12  # of a format; faults are always kept
MOST_READ, MOST_WRITTEN = 500, 160  # characters of a message
STRIPPED = (
    (re.compile(r"\S*/\S*"), "…"),  # paths
    (re.compile(r"(?<!\w)'[^']*('|$)|\"[^\"]*(\"|$)"), "…"),
    (re.compile(r"0x[\da-f]+|[-+]?\d[\d.,]*(e[-+]?\d+)?"), "#"),
    (re.compile(r"[^\x20-\x7e…×–—·≥≤−]+"), "…"),  # parts of a damaged file
    (re.compile(r"[#…]([\s,()\[\]]*[#…])+"), "…"),  # lists of these
)


class Entry(NamedTuple):
    """Edits of a format's base file and what became of them.

    Attributes:
        kind: "read" or "refused"; "fault" until the reader is mended and the edits have run again.
        message: of the refusal, stripped.
        edits: see `edits.py`.
        fault: that they once led to; empty for all but those that found one.
    """

    kind: str
    message: str
    edits: list[Edit]
    fault: str = ""

    @property
    def size(self) -> tuple[int, int, str]:
        """Small is: few edits, then a short text; the text itself makes the order total."""
        text = json.dumps(self.edits)
        return len(self.edits), len(text), text


Corpus = dict[str, list[Entry]]


def entry_of(result: Result, edits: list[Edit]) -> Entry:
    message = stripped(result.message)
    return Entry(result.kind, message, edits, message if result.kind == "fault" else "")


def stripped(message: str) -> str:
    """A message without what differs from file to file: numbers, quotes, paths."""
    message = message[:MOST_READ]
    for pattern, replacement in STRIPPED:
        message = pattern.sub(replacement, message)
    return message[:MOST_WRITTEN]


def smallest(entries: Iterable[Entry]) -> list[Entry]:
    """One entry per outcome, and per fault; the smallest `MOST_ENTRIES` beside the faults, sorted by outcome."""
    found: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        outcome = ("fault", entry.fault) if entry.fault else (entry.kind, entry.message)
        found[outcome] = min(entry, found.get(outcome, entry), key=lambda one: one.size)
    faults = [entry for entry in found.values() if entry.fault]
    others = sorted((entry for entry in found.values() if not entry.fault), key=lambda one: one.size)
    return sorted(faults + others[:MOST_ENTRIES], key=lambda one: (one.kind, one.message, one.fault, one.size))


def load(path: Path = PATH) -> Corpus:
    """The corpus of a file; empty where there is none yet."""
    content = json.loads(path.read_text()) if path.exists() else {}
    return {name: [Entry(**({"message": ""} | entry)) for entry in entries] for name, entries in content.items()}


def save(corpus: Corpus, path: Path = PATH) -> None:
    """Write the file: whole, or not at all."""
    formats = [
        f"{json.dumps(name)}: [\n" + ",\n".join(_line(entry) for entry in entries) + "\n]"
        for name, entries in sorted(corpus.items())
    ]
    write_text(path, "{\n" + ",\n".join(formats) + "\n}\n")


def _line(entry: Entry) -> str:
    return json.dumps({name: value for name, value in entry._asdict().items() if value != ""}, ensure_ascii=False)
