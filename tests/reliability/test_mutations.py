"""The short form of the mutation harness: damaged files give success or the project's own error, and nothing else."""

from random import Random

import pytest
from formats import FORMATS
from mutations import case, damage, run_format

# Networks take longer to make, and videos to decode, than all other files together take to be read.
NETWORKS = ("checkpoint_hourglass", "checkpoint_lifter", "checkpoint_stitched", "checkpoint_resume")


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name):
    count = 12 if name in NETWORKS else 60 if name.startswith("video") else 200
    outcome = run_format(name, count)
    assert outcome.faults == []
    assert outcome.read + outcome.refused == count
    # A damaged cache is made anew, damaged options are left aside.
    assert outcome.refused or name in ("cache", "options_json")


def test_cases_are_fixed_by_their_seed_and_number():
    form = FORMATS["mpii_json"]
    data = b'[{"a": 1.5}, {"b": [1, 2]}]'
    assert case(form, data, "a", 0, 3) == case(form, data, "a", 0, 3)
    assert len({case(form, data, "a", 0, number) for number in range(50)}) > 40
    assert damage(b"", Random(0)) == b""
