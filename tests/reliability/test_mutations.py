"""The short form of the mutation harness: damaged files give success or the project's own error, and nothing else."""

from random import Random

import pytest
from formats import FORMATS
from mutations import case, damage, run_format

# Networks take longer to make, and videos to decode, than all other files together take to be read.
NETWORKS = ("checkpoint_hourglass", "checkpoint_lifter", "checkpoint_stitched", "checkpoint_resume")


OTHERS = [name for name in FORMATS if name not in NETWORKS and not name.startswith("video")]
QUICK = [(name, 50 if name in OTHERS else 12 if name in NETWORKS else 60) for name in FORMATS]
LONG = [pytest.param(name, 200, marks=pytest.mark.long) for name in OTHERS]  # the same cases, and 150 more


@pytest.mark.parametrize(("name", "count"), [*QUICK, *LONG])
def test_damaged_files(name, count):
    outcome = run_format(name, count)
    assert outcome.faults == []
    assert outcome.read + outcome.refused == count
    # A damaged cache or pack is made anew, damaged options are left aside.
    assert outcome.refused or name in ("cache", "crop_pack", "options_json")


def test_cases_are_fixed_by_their_seed_and_number():
    form = FORMATS["mpii_json"]
    data = b'[{"a": 1.5}, {"b": [1, 2]}]'
    assert case(form, data, "a", 0, 3) == case(form, data, "a", 0, 3)
    assert len({case(form, data, "a", 0, number) for number in range(50)}) > 40
    assert damage(b"", Random(0)) == b""
