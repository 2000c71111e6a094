"""What library code says through `logging`, shown as the command line shows it."""

import logging
import sys

from utils.osutils import LOGGER


class _Console(logging.Handler):
    """Warnings as one line on stderr, other messages on stdout; both as they are at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            print(f"warning: {record.getMessage()}", file=sys.stderr, flush=True)
        else:
            print(record.getMessage(), flush=True)


def show_messages() -> None:
    """Print the library's messages from now on; a second call changes nothing.

    Command lines call this. In Python, `logging.getLogger("human_pose")` is configured like any other logger.
    """
    if not any(isinstance(handler, _Console) for handler in LOGGER.handlers):
        LOGGER.addHandler(_Console())
        LOGGER.setLevel(logging.INFO)
