"""The benchmark of two processes runs. Speed is not asserted."""

from argparse import Namespace

from command_line import load_script

from utils.compute.distributed import ALONE


def test_every_turn_is_timed():
    options = Namespace(turns=2, steps=1, stacks=1, features=8, batch=2, size=64, threads=1)
    times = load_script("benchmarks", "scaling").measure(options, ALONE)
    assert set(times) == {"one", "two"}
    for turns in times.values():
        assert len(turns) == 2  # without the first
        assert all(clock > 0 and work > 0 for clock, work in turns)
