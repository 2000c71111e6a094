"""--views names views, with commas."""

import argparse

import pytest

from utils.look.names import view_names


def test_names_with_commas():
    assert view_names("front") == ("front",)
    assert view_names("front, side,top") == ("front", "side", "top")


@pytest.mark.parametrize(
    ("text", "fault"), [("frnt", "'frnt': no such view"), ("", "no such view"), ("top,top", "twice")]
)
def test_others_are_refused(text, fault):
    with pytest.raises(argparse.ArgumentTypeError, match=fault):
        view_names(text)
