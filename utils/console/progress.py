"""Progress of long jobs: a tqdm bar on a terminal, a plain line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from utils.osutils import logger

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 20.0


def progress(
    items: Iterable[T], total: int | None, title: str, unit: str = "batch", status: Callable[[], str] | None = None
) -> Iterator[T]:
    """Yield `items` while showing how far they are, unless the library's logger is set to less than warnings.

    Args:
        total: how many there will be, None where unknown (a stream).
        title: what is being done.
        status: called when something is shown (at most a few times a second), gives e.g. "loss 0.00123".
    """
    if not logger().isEnabledFor(logging.WARNING):
        yield from items
    elif sys.stderr.isatty():
        yield from _bar(items, total, title, unit, status)
    else:
        yield from _lines(items, total, title, unit, status)


def _bar(items, total, title, unit, status):
    with tqdm(total=total, desc=title, unit=unit, dynamic_ncols=True, leave=False, mininterval=0.5) as bar:
        for item in items:
            yield item
            if bar.update() and status:
                bar.set_postfix_str(status(), refresh=False)


def _lines(items, total, title, unit, status):
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            rate = done / (now - start)
            parts = [f"{title}: {done}{f'/{total}' if total else ''} {unit}", f"{rate:.3g} {unit}/s"]
            if status:
                parts.append(status())
            if total:
                parts.append(f"{(total - done) / rate:.0f} s left")
            print(", ".join(parts), file=sys.stderr, flush=True)
