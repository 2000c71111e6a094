"""Damaged files that hypothesis generates, and shrinks where a reader fails.

    python tests/reliability/torture.py fuzz                          # all formats, 500 examples each
    python tests/reliability/torture.py fuzz --formats mat_truth npz_frames --seed 7 --examples 100
    python tests/reliability/torture.py fuzz --keep                   # and update corpus.json

An example is a list of edits (`edits.py`) of a format's base file. The file is read in a child process, which is
replaced after each fault: a reader that dies, hangs or takes too much memory gives a falsifying example that shrinks
like one that raises. Before, the corpus of the format is run again. `--keep` adds to it what has an outcome of its own.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import hypothesis
from cases import Child, Format, Outcome, Result
from corpus import Corpus, Entry, entry_of, load, save, smallest
from edits import OF_CHANGES, Edit, Structure, apply, values_of
from hypothesis import strategies as st
from mutations import EXTREME_BYTES, EXTREME_VALUES

MOST_EDITS = 5
MOST_FAULTS = 6  # of a format: mend these first
TOKENS = (b"NaN", b"-1", b"1e999", b"null", b"9" * 20, b"\n", b"\t", b",", b'"', b"[", b"\x80", b"\xff" * 4, b"\0" * 8)
FILLS = (0, 1, -1, float("nan"), float("inf"), 1e300, 1e18)


class Fault(Exception):
    """Neither success nor the project's own error."""

    def __init__(self, entry: Entry):
        super().__init__(entry.message)
        self.entry = entry


@dataclass
class Fuzzed:
    """What the examples of a format came to.

    Attributes:
        outcome: counts over all examples, with those that hypothesis ran to shrink a fault.
        entries: of the corpus: those it had, with their outcomes of now, and those met.
        faults: distinct ones, the smallest edits of each.
    """

    outcome: Outcome = field(default_factory=Outcome)
    entries: list[Entry] = field(default_factory=list)
    faults: list[Entry] = field(default_factory=list)


# ------------------------------------------------------------------------------------------ examples
def edit_lists(data: bytes, structure: Structure | None) -> st.SearchStrategy[list[Edit]]:
    """Lists of edits of a file with these bytes."""
    offsets = st.integers(0, len(data))
    new = st.one_of(
        st.sampled_from([bytes([byte]) for byte in EXTREME_BYTES]),
        st.sampled_from(TOKENS),
        st.binary(min_size=1, max_size=8),
    ).map(bytes.hex)
    lengths = st.sampled_from((1, 2, 4, 8, 64)) | st.integers(1, max(len(data), 1))
    kinds = [
        st.tuples(st.just("set"), offsets, new),
        st.tuples(st.just("insert"), offsets, new),
        st.tuples(st.just("delete"), offsets, lengths),
        st.tuples(st.just("cut"), offsets),
        st.tuples(st.just("repeat"), offsets, lengths, st.sampled_from((1, 2, 50))),
        st.tuples(st.just("repeat"), offsets, st.just(1), st.just(200_000)),
    ]
    edits = st.one_of(kinds).map(list)
    if structure:
        # Half of the lists are well-formed files, as far as values decide it.
        values = _edits_of_values(data, structure)
        return st.lists(values, min_size=1, max_size=MOST_EDITS) | st.lists(
            st.one_of(values, edits), min_size=1, max_size=MOST_EDITS
        )
    return st.lists(edits, min_size=1, max_size=MOST_EDITS)


def _edits_of_values(data: bytes, structure: Structure) -> st.SearchStrategy[Edit]:
    found = [(path, value) for path, value in values_of(structure.load(data)) if path or structure.plain]
    removals = st.sampled_from(found).map(lambda item: ["remove", item[0]])
    kinds: list[st.SearchStrategy[Any]] = []
    if structure.plain:
        numbers = st.integers() | st.floats() | st.integers(-3, 20)
        scalars = st.one_of(st.sampled_from(EXTREME_VALUES), numbers, st.text(max_size=5), st.booleans())
        kinds.append(scalars | st.lists(scalars, max_size=4))
    if structure.dtypes:
        shapes = st.lists(st.integers(0, 5), max_size=4)
        arrays = st.tuples(st.sampled_from(structure.dtypes), shapes, st.sampled_from(FILLS))
        kinds.append(arrays.map(lambda array: {"array": list(array)}))
    pairs = st.tuples(st.sampled_from(found), st.one_of(kinds))
    return removals | pairs.map(lambda pair: ["value", pair[0][0], _in_shape(pair[1], pair[0][1])])


def _in_shape(new: Any, old: Any) -> Any:
    """An array without a shape of its own takes that of the value it replaces: readers look at shapes first."""
    if isinstance(new, dict) and "array" in new and not new["array"][1] and hasattr(old, "shape"):
        dtype, _, fill = new["array"]
        return {"array": [dtype, list(old.shape), fill]}
    return new


# ------------------------------------------------------------------------------------------ running
def fuzz_format(form: Format, examples: int, seed: int = 0, corpus: Sequence[Entry] = ()) -> Fuzzed:
    """Run a format's corpus, then `examples` of hypothesis."""
    structure, fuzzed = OF_CHANGES.get(form.change), Fuzzed()
    for entry, result in zip(corpus, replay(form, corpus), strict=True):
        now = entry_of(result, entry.edits)
        fuzzed.entries.append(now._replace(fault=now.fault or entry.fault))
        fuzzed.outcome.add(entry.edits, result)
    fuzzed.faults += [entry for entry in fuzzed.entries if entry.kind == "fault"]

    def check(edits: list[Edit]) -> None:
        result = child.run(apply(child.data, edits, structure))
        fuzzed.outcome.add(edits, result)
        entry = entry_of(result, edits)
        if not entry.fault:
            fuzzed.entries = smallest([*fuzzed.entries, entry])
        elif entry.fault not in [fault.fault for fault in fuzzed.faults]:
            raise _fault_type(entry.fault)(entry)

    with Child(form) as child:
        # Hypothesis stops soon after a fault. It starts again, without those found, until it finds no other.
        while len(fuzzed.faults) < MOST_FAULTS and (
            found := _falsifying(check, edit_lists(child.data, structure), examples, seed)
        ):
            fuzzed.faults += found
    fuzzed.entries = smallest(fuzzed.entries + fuzzed.faults)
    return fuzzed


def replay(form: Format, corpus: Sequence[Entry]) -> list[Result]:
    """The results of the entries of a format's corpus."""
    structure = OF_CHANGES.get(form.change)
    with Child(form) as child:
        return [child.run(apply(child.data, entry.edits, structure)) for entry in corpus]


def _falsifying(check: Any, examples_of: st.SearchStrategy[list[Edit]], examples: int, seed: int) -> list[Entry]:
    """The faults that hypothesis finds, shrunk."""
    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,  # corpus.json is what is kept
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    found: list[Entry] = []
    with tempfile.TemporaryDirectory() as home:
        hypothesis.configuration.set_hypothesis_home_dir(home)  # nothing is left in the working folder
        try:
            hypothesis.seed(seed)(settings(hypothesis.given(examples_of)(check)))()
        except* Fault as group:
            found += [fault.entry for fault in _leaves(group)]
        finally:
            hypothesis.configuration.set_hypothesis_home_dir(None)
    return found


@cache
def _fault_type(fault: str) -> type[Fault]:
    """An exception of its own per fault: hypothesis shrinks one example per type of exception."""
    return type("Fault", (Fault,), {"__doc__": fault})


def _leaves(group: BaseExceptionGroup) -> list[Any]:
    return [leaf for one in group.exceptions for leaf in (_leaves(one) if isinstance(one, ExceptionGroup) else [one])]


def main(argv: Sequence[str]) -> int:
    """A part of `torture.py`: print a line per format with its faults; 1 if there are any."""
    from formats import FORMATS

    parser = argparse.ArgumentParser(prog="torture.py fuzz", description="Damaged files that hypothesis generates.")
    parser.add_argument("--examples", type=int, default=500, help="per format; shrinking a fault takes more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="by default all")
    parser.add_argument("--keep", action="store_true", help="update corpus.json")
    options = parser.parse_args(argv)
    corpus, failed = load(), 0
    print(f"{'format':<22}{'cases':>7}{'read':>7}{'refused':>9}{'faults':>8}{'kept':>6}{'longest, s':>12}{'MiB':>6}")
    for name in options.formats:
        fuzzed = fuzz_format(FORMATS[name], options.examples, options.seed, corpus.get(name, ()))
        _show(name, fuzzed)
        failed += len(fuzzed.faults)
        if options.keep:
            _keep(corpus, name, fuzzed)
    return 1 if failed else 0


def _show(name: str, fuzzed: Fuzzed) -> None:
    outcome = fuzzed.outcome
    cases = outcome.read + outcome.refused + len(outcome.faults)
    counts = f"{cases:>7}{outcome.read:>7}{outcome.refused:>9}{len(fuzzed.faults):>8}{len(fuzzed.entries):>6}"
    print(f"{name:<22}{counts}{outcome.seconds:>12.2f}{outcome.memory / 2**20:>6.0f}", flush=True)
    for fault in fuzzed.faults:
        print(f"    {fault.fault}: {fault.edits}", flush=True)


def _keep(corpus: Corpus, name: str, fuzzed: Fuzzed) -> None:
    """Written after each format: a run that is stopped keeps what it has."""
    corpus[name] = fuzzed.entries
    save(corpus)
