"""The check that a test gives the options that it shows, and that no option is without a test."""

import sys
from types import SimpleNamespace

import pytest
from shown_options import COMMAND_LINES, assert_all_shown, pytest_pyfunc_call, without

SHOWN_SCRIPTS = [("viz", "training_curves")]


def run_test(*shown: str, given: str = "", dropped: str = "", error: BaseException | None = None) -> object:
    """What the hook makes of a test that shows these options of viz.py training_curves, gives one, and ends so."""
    marks = [SimpleNamespace(args=shown)] if shown else []
    item = SimpleNamespace(iter_markers=lambda name: marks, module=SimpleNamespace(SHOWN_SCRIPTS=SHOWN_SCRIPTS))
    COMMAND_LINES.given = {(*SHOWN_SCRIPTS[0], given)} if given else set()
    COMMAND_LINES.dropped = (dropped, SHOWN_SCRIPTS) if dropped else None
    hook = pytest_pyfunc_call(item)
    next(hook)
    try:
        hook.throw(error) if error else hook.send("result")
    except StopIteration as ended:
        return ended.value
    finally:
        COMMAND_LINES.given, COMMAND_LINES.dropped = set(), None


def test_an_option_that_is_named_must_be_given():
    assert run_test() == "result"
    assert run_test("load", given="load") == "result"
    with pytest.raises(AssertionError, match=r"shows \['load'\], but gives them to no script"):
        run_test("load", given="output_dir")


def test_a_failure_remains_one():
    with pytest.raises(ZeroDivisionError):
        run_test("load", given="load", error=ZeroDivisionError())


def test_without_an_option_the_test_must_fail():
    assert run_test("load", dropped="load", error=AssertionError())
    assert run_test("load", dropped="load", error=SystemExit(2))
    with pytest.raises(pytest.fail.Exception, match="passes without --load"):
        run_test("load", dropped="load")


def test_dropped_options_take_their_values_along():
    argv = ["--lr", "1", "--schedule", "5", "7", "--lr=2", "--no_flip", "--seed", "3"]
    assert without(argv, {"--lr", "--schedule"}) == ["--no_flip", "--seed", "3"]
    assert without(argv, {"--flip", "--no_flip"}) == [*argv[:6], "--seed", "3"]


def test_what_commands_are_given_is_noted(parse_options):
    parse_options("--load", "a", "b", entry="viz", script="training_curves")
    assert {("viz", "training_curves", "load")} == COMMAND_LINES.given


@pytest.mark.shows("load")
def test_a_test_with_a_mark(parse_options):
    assert parse_options("--load", "a", entry="viz", script="training_curves").load


def test_options_without_a_test_are_named():
    with pytest.raises(AssertionError, match="no test shows these options"):
        assert_all_shown(SHOWN_SCRIPTS, [sys.modules[__name__]])
    assert_all_shown(SHOWN_SCRIPTS, [sys.modules[__name__]], ["by_part", "output_dir", "debug_traceback"])
    with pytest.raises(AssertionError, match="no option of the scripts"):
        assert_all_shown(SHOWN_SCRIPTS, [sys.modules[__name__]], ["by_part", "output_dir", "debug_traceback", "lr"])
