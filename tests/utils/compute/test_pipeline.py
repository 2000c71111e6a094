"""Stages that overlap: order, errors, bounds, and ends."""

import threading
from contextvars import ContextVar

import pytest

from utils.compute.pipeline import ahead, behind, in_turns


def test_items_come_in_order_from_another_thread():
    seen = set()

    def items():
        for number in range(20):
            seen.add(threading.get_ident())
            yield number

    assert list(ahead(items(), 2)) == list(range(20))
    assert threading.get_ident() not in seen
    assert list(ahead([])) == []


def test_context_variables_hold_in_the_threads():
    variable, seen = ContextVar("variable", default=0), []
    token = variable.set(5)
    assert list(ahead(variable.get() for _ in range(2))) == [5, 5]
    with behind(lambda: seen.append(variable.get())) as put:
        put()
    variable.reset(token)
    assert seen == [5]


def test_at_most_count_items_are_made_before_they_are_asked_for():
    made, enough = [], threading.Event()

    def items():
        for number in range(100):
            made.append(number)
            if number == 4:
                enough.set()
            yield number

    stream = ahead(items(), 3)
    assert next(stream) == 0
    assert enough.wait(10)  # 0 is taken, 1 to 3 wait, 4 is in hand
    assert len(made) == 5
    stream.close()
    assert len(made) <= 6


def test_an_error_is_raised_where_its_item_was_expected():
    def items():
        yield 1
        raise ValueError("broken")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_calls_are_made_in_order_and_done_at_the_end():
    done, main = [], threading.get_ident()
    with behind(lambda number, word: done.append((number, word, threading.get_ident() != main)), 2) as put:
        for number in range(20):
            put(number, "x")
    assert done == [(number, "x", True) for number in range(20)]


def test_an_error_of_a_call_is_raised_and_no_later_call_is_made():
    done = []

    def work(number):
        if number == 1:
            raise OSError("full")
        done.append(number)

    def many():
        with behind(work) as put:
            for number in range(1000):
                put(number)

    with pytest.raises(OSError, match="full"):
        many()
    assert done == [0]
    with pytest.raises(OSError, match="full"), behind(work) as put:
        put(1)  # the last call: its error is raised at the end


def test_waiting_calls_are_dropped_where_the_context_ends_with_an_error():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(number):
        begun.set()
        go_on.wait(10)
        done.append(number)

    def interrupted():
        with behind(work, 3) as put:
            for number in range(3):
                put(number)
            begun.wait(10)
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [0]


# ------------------------------------------------------------------------------------------ in turns
def test_results_come_in_order_and_nothing_is_made_while_they_are_used():
    made, together = [], threading.Barrier(2)

    def make(number):
        together.wait(10)  # two threads, or it fails
        made.append(number)
        return -number

    stream = in_turns(make, range(6), 4, threads=2)
    for number in range(6):
        assert next(stream) == -number
        assert len(made) == (4 if number < 4 else 6)
    assert list(stream) == []
    assert list(in_turns(make, [], 4, threads=2)) == []


def test_an_error_in_turn_is_raised_where_its_result_was_expected():
    stream = in_turns(lambda number: 1 // number, [1, 0, 1], 3, threads=2)
    assert next(stream) == 1
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_context_variables_hold_in_turns():
    variable = ContextVar("variable", default=0)
    token = variable.set(5)
    assert list(in_turns(lambda number: number + variable.get(), range(3), 2, threads=2)) == [5, 6, 7]
    variable.reset(token)
