"""Ctrl-C and SIGTERM while a command has no loop that handles them. No torch import here."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DEFAULT = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class EndingSignal:
    """A signal handler that ends the command by an exception, and remembers the signal.

    Imports and libraries can swallow the exception; `check` raises it again.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def __call__(self, number: int, frame: Any = None) -> None:
        self.received = number
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt after SIGINT and SystemExit with status 143 after SIGTERM."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            raise SystemExit(128 + self.received)


@contextmanager
def ending_signals() -> Iterator[EndingSignal]:
    """Context in which SIGINT and SIGTERM end the command with its cleanups, unless something else handles them."""
    handler, former = EndingSignal(), {}
    if threading.current_thread() is threading.main_thread():
        former = {number: signal.getsignal(number) for number in DEFAULT}
    taken = [number for number, one in former.items() if one == DEFAULT[number]]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield handler
    finally:
        for number in taken:
            signal.signal(number, former[number])
