"""The tests marked `long`: `make test` leaves them out, and CI runs them too. Each says why it may be left out."""

import re
import subprocess
from types import SimpleNamespace

import pytest
from command_line import ROOT
from launchers import why_no_horovod

MARK = re.compile(r"\bmark\.long\b")


def selection(target: str) -> str:
    """What `make TARGET` gives as pytest's -m, without running it."""
    command = ["make", "--dry-run", "--always-make", target]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in printed.splitlines() if "-m pytest" in line]
    return line.partition(" -m pytest ")[2].partition(" -m ")[2].strip('" ')


def test_ci_runs_what_make_test_leaves_out():
    assert [selection(target) for target in ("test", "test-long", "test-all")] == ["not long", "long", ""]
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert lines.index("make test") < lines.index("make test-long")


@pytest.mark.parametrize("missing", [True, False])
def test_one_line_says_what_make_test_leaves_out_and_how_to_get_horovod(pytestconfig, monkeypatch, missing):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if missing else name)
    assert bool(why_no_horovod()) == missing
    printed: list[str] = []
    reporter = SimpleNamespace(
        config=SimpleNamespace(option=SimpleNamespace(markexpr="not long")),
        getreports=lambda category: [],
        write_line=printed.append,
    )
    pytestconfig.pluginmanager.get_plugin(str(ROOT / "tests/conftest.py")).pytest_terminal_summary(reporter)
    [line] = printed
    assert "make test-long" in line
    assert ("make horovod" in line) == missing


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "tests").rglob("*.py")) if MARK.search(path.read_text())],
    ids=lambda path: path.name,
)
def test_each_mark_has_its_reason(path):
    """In a comment on its line, or on the line before; `make test-long` collects files by their names."""
    lines = path.read_text().splitlines()
    marked = [number for number, line in enumerate(lines) if MARK.search(line)]
    without = [number + 1 for number in marked if not any("#" in one for one in lines[max(number - 1, 0) : number + 1])]
    assert without == [], f"lines of {path.name} without a reason"
