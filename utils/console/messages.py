"""Show the library's `logging` messages on the command line."""

import logging
import sys

from utils.osutils import logger, printable


class _Console(logging.Handler):
    """Prints warnings to stderr and other messages to stdout, looked up at each call so that redirection works."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            print("warning:", printable(record.getMessage(), kept=""), file=sys.stderr, flush=True)
        else:
            print(printable(record.getMessage()), flush=True)


def show_messages() -> None:
    """Print the library's messages from now on. A second call has no effect.

    Command lines call this. In Python, configure `logging.getLogger("human_pose")` like any other logger.
    """
    if not any(isinstance(handler, _Console) for handler in logger().handlers):
        logger().addHandler(_Console())
        logger().setLevel(logging.INFO)
