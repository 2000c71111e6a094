import io
import logging
import sys

import pytest

from utils.console import progress as progress_module
from utils.console.progress import progress
from utils.osutils import logger


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets: `clock.now`."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(progress_module.time, "monotonic", lambda: Clock.now)
    return Clock


def test_without_a_terminal_there_is_a_line_every_20_seconds(clock, capsys):
    for _ in progress(range(100), 100, "epoch 3/9", status=lambda: "loss 0.5"):
        clock.now += 0.5
    # 2 batches per second: lines after 20 and 40 s.
    assert capsys.readouterr().err.splitlines() == [
        "epoch 3/9: 40/100 batch, 2 batch/s, loss 0.5, 30 s left",
        "epoch 3/9: 80/100 batch, 2 batch/s, loss 0.5, 10 s left",
    ]


def test_a_stream_of_unknown_length(clock, capsys):
    for _ in progress(iter("abc"), None, "frames", unit="frame"):
        clock.now += 21
    assert capsys.readouterr().err.splitlines()[1] == "frames: 2 frame, 0.0476 frame/s"


def test_a_short_job_prints_nothing(capsys):
    assert list(progress(range(3), 3, "short", status=lambda: pytest.fail("status was asked for"))) == [0, 1, 2]
    assert list(progress([], 0, "nothing")) == []
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(progress(iter(range(5)), 5, "epoch 1/2")) == [0, 1, 2, 3, 4]
    assert "epoch 1/2" in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    for item in progress(range(5), 5, "broken off"):
        if item == 2:
            break
    assert "broken off" in terminal.getvalue()


def test_a_bar_shows_the_status(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("tqdm.std.time", lambda: float(next(clock)))
    list(progress(range(3), 3, "slow", status=lambda: "loss 0.25"))
    assert "loss 0.25" in terminal.getvalue()


def test_a_silent_logger_silences_progress(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    logger().setLevel(logging.ERROR)
    try:
        assert list(progress(range(100), 100, "epoch 3/9")) == list(range(100))
    finally:
        logger().setLevel(logging.INFO)
    assert sys.stderr.getvalue() == ""
