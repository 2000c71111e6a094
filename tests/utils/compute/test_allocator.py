import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from utils.compute import allocator
from utils.compute.allocator import KEEP_MEMORY, MMAP_THRESHOLDS, OTHERS, keep_large_blocks

ROOT = Path(__file__).parents[3]
FAULTS = """
import resource
from utils.compute.allocator import keep_large_blocks
print(keep_large_blocks())
bytearray(100 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    bytearray(100 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture
def calls(monkeypatch):
    """The calls of mallopt, on a system with a glibc that takes no threshold above `calls.most`."""
    made = []

    def mallopt(parameter, value):
        made.append((parameter, value))
        return int(parameter != allocator.M_MMAP_THRESHOLD or value <= most[0])

    most = [1 << 31]
    monkeypatch.setattr("ctypes.CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    monkeypatch.setattr(allocator.os, "confstr", lambda _: "glibc 2.36", raising=False)
    for name in (KEEP_MEMORY, "GLIBC_TUNABLES", *OTHERS):
        monkeypatch.delenv(name, raising=False)
    return SimpleNamespace(made=made, most=most)


def test_the_largest_threshold_that_glibc_takes(calls):
    assert keep_large_blocks()
    assert calls.made[0] == (-3, MMAP_THRESHOLDS[0])
    assert {parameter for parameter, _ in calls.made} == {-1, -2, -3}
    calls.made.clear()
    calls.most[0] = 32 << 20
    assert keep_large_blocks()
    assert calls.made[:2] == [(-3, 1 << 30), (-3, 32 << 20)]
    calls.most[0] = 0
    assert not keep_large_blocks()


@pytest.mark.parametrize(
    ("name", "value"),
    [(KEEP_MEMORY, "0"), ("MALLOC_TRIM_THRESHOLD_", "1"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1")],
)
def test_the_environment_decides(monkeypatch, calls, name, value):
    monkeypatch.setenv(name, value)
    assert not keep_large_blocks()
    assert calls.made == []


@pytest.mark.parametrize("error", [ValueError, OSError, AttributeError])
def test_another_c_library_stays_as_it_is(monkeypatch, calls, error):
    def confstr(name):
        raise error

    monkeypatch.setattr(allocator.os, "confstr", confstr, raising=False)
    assert not keep_large_blocks()
    assert calls.made == []


@pytest.mark.skipif(not allocator._is_glibc(), reason="glibc alone has this")
def test_a_block_is_mapped_once():
    faults = {}
    for value in ("1", "0"):
        environment = {name: text for name, text in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
        done = subprocess.run(
            [sys.executable, "-c", FAULTS], cwd=ROOT, env=environment | {KEEP_MEMORY: value}, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        kept, count = done.stdout.split()
        faults[kept] = int(count)
    assert faults["True"] < 100 < faults["False"]
