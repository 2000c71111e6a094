"""When the demo weights are used, and what is printed then."""

import pytest
from command_line import ROOT

from stacked_hourglass import demo_weights
from stacked_hourglass.demo_weights import DEMO_WEIGHTS, weights_to_load


def test_they_are_in_the_repository():
    assert DEMO_WEIGHTS == ROOT / "stitched/pretrained/demo.pth.tar"
    assert DEMO_WEIGHTS.is_file()


@pytest.mark.parametrize("given", [("a.pth",), ("a.pth", None, None), (None, "b.pth", None), (None, None, "c.pth")])
def test_not_where_a_checkpoint_is_given(given, capsys):
    assert weights_to_load(*given) == given[0]
    assert capsys.readouterr() == ("", "")


def test_not_where_they_are_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", tmp_path / "none.pth.tar")
    assert weights_to_load(None) is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "better"),
    [((None,), "--load HOURGLASS"), ((None, None, None), "--load_hourglass HOURGLASS --load_2d3d LIFTER, or --load")],
)
def test_otherwise_a_line_says_that_they_are_weak_and_what_is_better(given, better, capsys):
    assert weights_to_load(*given) == DEMO_WEIGHTS
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"no checkpoint given: the demo weights {DEMO_WEIGHTS} are used; they are weak")
    assert better in line
    page = line.split("see ")[1]
    assert "--load_hourglass" in (ROOT / page).read_text()
