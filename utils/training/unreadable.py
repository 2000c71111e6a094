"""Keeps count of unreadable photos during training and validation."""

from utils.compute.distributed import ALONE, Processes
from utils.osutils import UserError, warn


class Unreadable:
    """Samples whose photos could not be read, by part ("training", "validation").

    `warn` says when a part has new ones, and ends a training that has read no photo at all.
    """

    def __init__(self, what: str, processes: Processes = ALONE):
        """`what`: noun for the samples in the warning: "people" or "images"."""
        self._what, self._processes = what, processes
        self._samples: dict[str, set[int]] = {"training": set(), "validation": set()}
        self._warned_of = {"training": 0, "validation": 0}
        self._some_read = False  # of those of training

    def note(self, part: str, minibatch: dict) -> None:
        """Record the unreadable samples of a minibatch; its "index" and "readable" must be on the CPU (no sync)."""
        readable = minibatch["readable"]
        self._samples[part].update(minibatch["index"][~readable].tolist())
        self._some_read |= part == "training" and bool(readable.any())

    def warn(self) -> None:
        """Warn of samples found since the last call. All processes call it.

        Raises UserError if those of training were all unreadable.
        """
        some_read = any(self._processes.gather_objects(self._some_read))
        for part in self._samples:
            samples = self._samples[part] = set().union(*self._processes.gather_objects(self._samples[part]))
            if len(samples) > self._warned_of[part]:
                self._warned_of[part] = len(samples)
                if part == "training" and not some_read:
                    raise UserError(
                        f"none of the {len(samples)} training {self._what} could be read; are the files damaged? "
                        "Copy them again"
                    )
                warn(f"{len(samples)} {part} {self._what} are unreadable: excluded from loss and metrics")
