"""Keeps count of unreadable photos during training and validation."""

from utils.compute.distributed import ALONE, Processes
from utils.osutils import warn


class Unreadable:
    """Samples whose photos could not be read, by part ("training", "validation"); warns when a part has new ones."""

    def __init__(self, what: str, processes: Processes = ALONE):
        """`what`: noun for the samples in the warning: "people" or "images"."""
        self._what, self._processes = what, processes
        self._samples: dict[str, set[int]] = {"training": set(), "validation": set()}
        self._warned_of = {"training": 0, "validation": 0}

    def note(self, part: str, minibatch: dict) -> None:
        """Record the unreadable samples of a minibatch; its "index" and "readable" must be on the CPU (no sync)."""
        self._samples[part].update(minibatch["index"][~minibatch["readable"]].tolist())

    def warn(self) -> None:
        """Warn of samples found since the last call. All processes call it."""
        for part in self._samples:
            samples = self._samples[part] = set().union(*self._processes.gather_objects(self._samples[part]))
            if len(samples) > self._warned_of[part]:
                self._warned_of[part] = len(samples)
                warn(f"{len(samples)} {part} {self._what} are unreadable: excluded from loss and metrics")
