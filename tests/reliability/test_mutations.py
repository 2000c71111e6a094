"""The short form of the mutation harness: damaged files give success or the project's own error, and nothing else."""

import pytest
from formats import FORMATS
from mutations import MOST_SECONDS, case, damage, run_format

# Networks take longer to make, and videos to decode, than all other files together take to be read.
NETWORKS = ("checkpoint_hourglass", "checkpoint_lifter", "checkpoint_stitched", "checkpoint_resume")


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name):
    count = 12 if name in NETWORKS else 60 if name.startswith("video") else 200
    outcome = run_format(name, count)
    assert outcome.faults == []
    assert outcome.read + outcome.refused == count
    assert outcome.refused or name in ("cache", "options_json"), "both are made again or left aside"


def test_cases_are_fixed_by_their_numbers():
    from random import Random

    form = FORMATS["mpii_json"]
    data = b'[{"a": 1.5}, {"b": [1, 2]}]'
    assert case(form, data, "a", 0, 3) == case(form, data, "a", 0, 3)
    assert len({case(form, data, "a", 0, number) for number in range(50)}) > 40
    assert damage(b"", Random(0)) == b""
    assert MOST_SECONDS == 5
