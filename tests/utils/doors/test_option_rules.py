"""What the entry functions of scripts decide from their options."""

from argparse import Namespace

import pytest

from utils.doors.option_rules import workers_of_run


@pytest.mark.parametrize(("device", "given", "expected"), [("cpu", (), 0), ("cpu", ("workers",), 6), ("cuda", (), 6)])
def test_a_run_on_a_cpu_has_workers_only_if_they_are_given(device, given, expected):
    assert workers_of_run(Namespace(workers=6, given=set(given)), device) == expected
