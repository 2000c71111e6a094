"""Ctrl-C ends a long job between two steps, at the same step in all processes."""

import signal
import sys
from typing import NoReturn

from utils.compute.distributed import ALONE, AnyRankLater, Processes


class StopSignal:
    """SIGINT sets `requested`, and the loop ends after the step; a second SIGINT stops at once.

    Several processes stop together, whichever of them received the signal.
    """

    def __init__(self, processes: Processes = ALONE) -> None:
        self.requested = False
        self._processes, self._any_rank_later = processes, AnyRankLater(processes)

    def after_step(self) -> bool:
        """Whether to stop; call it after every step."""
        return self._any_rank_later(self.requested)

    def after_epoch(self) -> bool:
        """Whether to stop; call it after every epoch."""
        self._any_rank_later.close()
        return self._processes.any_rank(self.requested)

    def __enter__(self) -> "StopSignal":
        self._former = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exception) -> None:
        signal.signal(signal.SIGINT, self._former)

    def exit(self, epochs_done: float) -> NoReturn:
        """Exit with status 130; call it after writing the checkpoint."""
        self._any_rank_later.close()
        print(f"interrupted after {epochs_done:.2f} epochs; continue with --resume", file=sys.stderr)
        sys.exit(130)

    def _handle(self, *_) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("stopping after this step (press Ctrl-C again to stop at once)", file=sys.stderr, flush=True)
