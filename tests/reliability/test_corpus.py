"""The corpus that fuzzing keeps gives the outcomes that it gave; edits; a planted bug is found and shrunk."""

import gzip
import io
import json
import os
from pathlib import Path

import corpus
import h5py
import numpy as np
import pytest
import torch
from cases import Format, Result
from corpus import Entry, entry_of, smallest, stripped
from edits import GZIP, HDF5, JSON, NPZ, TORCH, apply, values_of
from formats import FORMATS
from fuzz import fuzz_format, replay
from mutations import change_json

from utils.osutils import UserError

CORPUS = corpus.load()


# ------------------------------------------------------------------------------------------ the corpus
@pytest.mark.parametrize("name", FORMATS)
def test_outcomes_are_those_of_the_corpus(name):
    results = replay(FORMATS[name], CORPUS[name])
    faults = [(entry.edits, result.message) for entry, result in zip(CORPUS[name], results, strict=True)
              if result.kind == "fault"]  # fmt: skip
    assert faults == []
    assert [result.kind for result in results] == [entry.kind for entry in CORPUS[name]]


def test_the_corpus_is_small_and_as_fuzzing_writes_it(tmp_path):
    corpus.save(CORPUS, tmp_path / "corpus.json")
    assert (tmp_path / "corpus.json").read_text() == corpus.PATH.read_text()
    assert corpus.PATH.stat().st_size < 200_000
    assert set(CORPUS) == set(FORMATS)


def test_messages_are_the_same_for_all_numbers_quotes_and_paths():
    message = "/tmp/a1/b.json: entry 3: 'x y' is not one of [1, 2.5, -3e+5, 0xfe], it isn't \"\xe9\" either"
    assert stripped(message) == "… entry #: … is not one of […], it isn't … either"
    assert stripped("x" * 10**6) == "x" * corpus.MOST_WRITTEN


def test_an_outcome_has_its_smallest_edits():
    long, short = [["delete", 3, 1], ["cut", 7]], [["cut", 7]]
    other, found = Entry("refused", "b", long), Entry("read", "", long, fault="TypeError: x")
    entries = [Entry("read", "", long), other, Entry("read", "", short), found]
    assert smallest(entries) == [Entry("read", "", short), found, other]
    many = [Entry("refused", str(number), [["cut", number]]) for number in range(50)]
    kept = [found, *many[: corpus.MOST_ENTRIES]]
    assert smallest([*many, found]) == sorted(kept, key=lambda entry: (entry.kind, entry.message))


# ------------------------------------------------------------------------------------------ edits
@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        (["set", 1, "5859"], b"aXYdef"),
        (["set", 5, "5859"], b"abcdeX"),
        (["set", 9, "58"], b"abcdef"),
        (["insert", 0, "58"], b"Xabcdef"),
        (["insert", 9, "58"], b"abcdefX"),
        (["delete", 1, 2], b"adef"),
        (["delete", 5, 9], b"abcde"),
        (["cut", 2], b"ab"),
        (["cut", 0], b""),
        (["repeat", 1, 2, 3], b"abcbcbcbcdef"),
    ],
)
def test_edits_of_bytes(edit, changed):
    assert apply(b"abcdef", [edit]) == changed
    apply(b"", [edit])


def test_edits_of_bytes_come_in_their_order_after_those_of_values():
    edits = [["cut", 6], ["value", ["a"], 7], ["insert", 6, "38"], ["delete", 0, 1]]
    assert apply(b'{"a":1, "b": 2}', edits, JSON) == b'"a": 8'
    with pytest.raises(ValueError, match="no such edit"):
        apply(b"a", [["swap", 1, 2]])


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        (["value", ["a", 1, "b"], None], {"a": [1, {"b": None}]}),
        (["value", ["a", 1], {"array": 1}], {"a": [1, {"array": 1}]}),
        (["value", [], "x"], "x"),
        (["remove", ["a", 0]], {"a": [{"b": 2}]}),
        (["remove", ["a"]], {}),
        # What is not there is left alone.
        (["value", ["c"], 1], {"a": [1, {"b": 2}]}),
        (["value", ["a", 2], 1], {"a": [1, {"b": 2}]}),
        (["value", ["a", 0, "x"], 1], {"a": [1, {"b": 2}]}),
        (["remove", ["a", "x"]], {"a": [1, {"b": 2}]}),
        (["remove", []], {"a": [1, {"b": 2}]}),
    ],
)
def test_edits_of_values(edit, changed):
    data = b'{"a": [1, {"b": 2}]}'
    assert json.loads(apply(data, [edit], JSON)) == changed
    assert json.loads(gzip.decompress(apply(gzip.compress(data), [edit], GZIP))) == changed


def test_edits_of_arrays():
    to_array = lambda name, *array: ["value", [name], {"array": list(array)}]  # noqa: E731
    edits = [to_array("a", "f8", [2, 1], 1.5), to_array("b", "u1", [], 3), ["remove", ["c"]]]
    content = {name: np.zeros(3) for name in "abc"}
    with np.load(io.BytesIO(apply(NPZ.dump(content), edits, NPZ))) as file:
        found = dict(file)
    with h5py.File(io.BytesIO(apply(HDF5.dump(content), edits, HDF5))) as file:
        stored = {name: file[name][()] for name in file}
    data = TORCH.dump({name: torch.zeros(3) for name in "abc"})
    tensors = torch.load(io.BytesIO(apply(data, [*edits, ["value", ["a"], "x"]], TORCH)), weights_only=True)
    for arrays in (found, stored):
        assert arrays.keys() == {"a", "b"}
        assert arrays["a"].tolist() == [[1.5], [1.5]]
        assert arrays["b"] == 3
        assert arrays["b"].dtype == np.uint8
    assert tensors == {"a": "x", "b": torch.tensor(3, dtype=torch.uint8)}


def test_values_of_long_lists_are_the_first_ones():
    content = {"a": [1, 2, 3, 4]}
    assert list(values_of(content)) == [([], content), (["a"], [1, 2, 3, 4]), *((["a", i], i + 1) for i in range(3))]


# ------------------------------------------------------------------------------------------ planted bugs
def _make(folder: Path) -> Path:
    (folder / "a.json").write_text('{"a": 1, "b": [2, 3]}')
    return folder / "a.json"


def _read(path: Path) -> None:
    """Raises for some values, and dies of some bytes."""
    data = path.read_bytes()
    if max(data, default=0) >= 0x80:
        os.abort()
    try:
        content = json.loads(data)
    except ValueError as error:
        raise UserError(str(error)) from None
    if isinstance(content, dict) and content.get("a") is None:
        raise TypeError("a")


@pytest.mark.long  # hypothesis shrinks two faults, one of which kills a process each time
def test_planted_bugs_are_found_and_shrunk():
    fuzzed = fuzz_format(Format(_make, _read, change_json), examples=30, seed=3)
    raised, died = sorted(fuzzed.faults, key=lambda fault: fault.fault)
    assert raised.fault == "TypeError: a"
    assert raised.edits in ([["value", ["a"], None]], [["remove", ["a"]]], [["value", [], {}]])
    assert died.fault == "the process died (#)"
    assert died.edits == [["set", 0, "80"]]
    assert all(fault in fuzzed.entries for fault in fuzzed.faults)


def test_a_mended_fault_stays_in_the_corpus():
    edits = [["remove", ["a"]]]
    fault = entry_of(Result("fault", "TypeError: a"), edits)
    assert fault == Entry("fault", "TypeError: a", edits, "TypeError: a")
    fuzzed = fuzz_format(Format(_make, lambda path: None), examples=1, corpus=[fault])
    assert fuzzed.faults == []
    assert Entry("read", "", edits, "TypeError: a") in fuzzed.entries
