import json
from pathlib import Path

import pytest

from utils.compute import cache
from utils.compute.cache import VARIABLE, cache_folder, cached, key_of
from utils.files.schema import numbers

SCHEMA = {"mean": numbers(1, low=0, high=1)}


def test_computed_once_for_one_key(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"mean": [0.5]}

    assert cached("numbers", ["a", b"b"], compute, tmp_path, schema=SCHEMA) == {"mean": [0.5]}
    assert cached("numbers", ["a", b"b"], compute, tmp_path, schema=SCHEMA) == {"mean": [0.5]}
    assert len(calls) == 1
    assert cached("numbers", ["a", b"c"], compute, tmp_path, schema=SCHEMA) == {"mean": [0.5]}
    assert len(calls) == 2
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(f"numbers_{key_of(['a', part])}.json" for part in (b"b", b"c"))
    assert json.loads((tmp_path / names[0]).read_text()) == {"mean": [0.5]}


def test_parts_do_not_run_into_one_another():
    assert key_of(["ab", "c"]) != key_of(["a", "bc"])
    assert key_of(["a"]) == key_of([b"a"])


def test_the_folder_is_the_projects_wherever_one_works(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == Path(cache.__file__).resolve().parents[2] / ".cache"
    assert (cache_folder().parent / "train.py").is_file()


def test_the_folder_can_be_another(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    cached("numbers", ["a"], lambda: {"mean": [0.5]}, schema=SCHEMA)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [f"numbers_{key_of(['a'])}.json"]


@pytest.mark.parametrize(
    "damaged",
    ["", "{", "[]", "null", "{}", '{"mean": []}', '{"mean": [NaN]}', '{"mean": ["0.5"]}', '{"mean": [2]}', "[" * 10**5],
)
def test_a_damaged_file_is_made_again(tmp_path, caplog, damaged):
    path = tmp_path / f"numbers_{key_of(['a'])}.json"
    path.write_text(damaged)
    found = cached("numbers", ["a"], lambda: {"mean": [0.5]}, tmp_path, schema=SCHEMA)
    assert found == json.loads(path.read_text()) == {"mean": [0.5]}
    [line] = caplog.messages
    assert line.startswith(f"cache dropped: {path}")
