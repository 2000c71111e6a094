"""Ctrl-C or SIGTERM ends a long job between two steps, at the same step in all processes."""

import math
import os
import signal
import sys
import time
from typing import Any, NoReturn

from utils.compute.distributed import ALONE, AnyRankLater, Processes
from utils.compute.early_signals import EndingSignal
from utils.compute.worker_processes import WAIT
from utils.osutils import warn

SECONDS_FOR_A_STEP = 20  # after SIGTERM in several processes; launchers kill after 30
SAME_SIGNAL = 1.0  # seconds in which a launcher passes on what the terminal has sent to all processes already


class StopSignal:
    """SIGINT or SIGTERM sets `requested`, and the loop ends after the step; a second SIGINT stops at once.

    Several processes stop together, whichever of them received the signal. With the end of one of them, launchers send
    SIGTERM to the others, and the next exchange fails; one that is still computing after some seconds ends at once.
    A single process may compute as long as it takes, but ends if it waits as long for a minibatch of its workers: one
    that cannot read may never send it.
    """

    def __init__(self, processes: Processes = ALONE) -> None:
        self._processes, self._any_rank_later = processes, AnyRankLater(processes)
        self._signal, self._when, self._pid = 0, 0.0, os.getpid()
        self._former: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        return self._signal != 0

    def after_step(self) -> bool:
        """Whether to stop; call it after every step."""
        return self._any_rank_later(self.requested)

    def after_epoch(self) -> bool:
        """Whether to stop; call it after every epoch."""
        self._any_rank_later.close()
        return self._processes.any_rank(self.requested)

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGINT, signal.SIGTERM):
            if isinstance(former := signal.getsignal(number), EndingSignal):
                former.check()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception) -> None:
        signal.alarm(0)
        for number, former in self._former.items():
            signal.signal(number, former)

    def exit(self, epochs_done: float) -> NoReturn:
        """Exit with status 130 after SIGINT and 143 after SIGTERM; call it after writing the checkpoint."""
        self._any_rank_later.close()
        number = max(self._processes.gather_objects(self._signal))
        warn(f"interrupted after {epochs_done:.2f} epochs; continue with --resume")
        sys.exit(128 + number)

    def _handle(self, number: int, frame: Any) -> None:
        if os.getpid() != self._pid:  # a forked process, which its parent ends
            return
        now = time.monotonic()
        if self.requested:
            passed_on = self._processes.is_launched and now - self._when < SAME_SIGNAL
            if number == signal.SIGINT and not passed_on:
                raise KeyboardInterrupt
            return
        self._signal, self._when = number, now
        again = " (press Ctrl-C again to stop at once)" if number == signal.SIGINT else ""
        warn(f"stopping after this step{again}")
        if number == signal.SIGTERM and self._processes.size == 1:
            signal.signal(signal.SIGALRM, _end_if_waiting)
        elif number == signal.SIGTERM and callable(self._former[number]):
            signal.signal(signal.SIGALRM, self._former[number])
        else:
            return
        signal.alarm(SECONDS_FOR_A_STEP)


def _end_if_waiting(*_: Any) -> None:
    """Handler of the alarm: end the process if it has waited for a minibatch for so long, else look again later."""
    left = SECONDS_FOR_A_STEP - WAIT.seconds
    if left > 0:
        signal.alarm(math.ceil(left))
        return
    warn(
        f"stopped: no minibatch came from the worker processes in {SECONDS_FOR_A_STEP} s, perhaps a file can't be "
        "read; the last checkpoint is intact, continue with --resume"
    )
    sys.exit(128 + signal.SIGTERM)
