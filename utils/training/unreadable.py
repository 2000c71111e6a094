"""Photos that can't be read, met in training and validation."""

from utils.compute.distributed import ALONE, Processes
from utils.osutils import warn


class Unreadable:
    """The samples whose photos could not be read; each part ("training", "validation") is warned of when it grows."""

    def __init__(self, what: str, processes: Processes = ALONE):
        """`what` the samples are, in the warning: "people", "images"."""
        self._what, self._processes = what, processes
        self._samples: dict[str, set[int]] = {"training": set(), "validation": set()}
        self._warned_of = {"training": 0, "validation": 0}

    def note(self, part: str, minibatch: dict) -> None:
        """`minibatch` has "index" and "readable", still on the CPU: looking at it makes nobody wait for the device."""
        self._samples[part].update(minibatch["index"][~minibatch["readable"]].tolist())

    def warn(self) -> None:
        """Warn of the samples that were met since the last time. All processes call it."""
        for part in self._samples:
            samples = self._samples[part] = set().union(*self._processes.gather_objects(self._samples[part]))
            if len(samples) > self._warned_of[part]:
                self._warned_of[part] = len(samples)
                warn(f"{len(samples)} {part} {self._what} are unreadable: excluded from loss and metrics")
