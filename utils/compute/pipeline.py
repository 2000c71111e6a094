"""Stages of work that overlap: a stage in a thread of its own, at most `count` items from its neighbour.

    with write_video(path, fps, size) as write, behind(write) as put:
        for name, frame in ahead(source):
            put(draw(frame))

Decoding, encoding and OpenCV release Python's global lock, so threads suffice. Memory is that of `count` items a stage.

Beside a stage that keeps all cores busy by itself, such as a network on a CPU, nothing is gained by overlapping. Where
its cores wait for each other, as PyTorch's do, it even loses: a thread that takes one of them makes it wait on the
others too. `in_turns` uses all cores for either in turn.
"""

import contextvars
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing.pool import ThreadPool
from typing import TypeVar

Item, Made = TypeVar("Item"), TypeVar("Made")

COUNT = 4
_PATIENCE = 0.1  # s, after which a waiting thread looks whether its work is still wanted
_LAST_ITEM = 5.0  # s, for the item that a thread is making when nobody wants more; it may be blocked for ever


def ahead(items: Iterable[Item], count: int = COUNT) -> Iterator[Item]:
    """The same items in the same order, made in another thread, up to `count` before they are asked for.

    An exception of `items` is raised where the item was expected. If the loop over the items is left early, the thread
    ends after the item that it is making, which is waited for up to 5 s.
    """
    made: queue.Queue = queue.Queue(count)
    left = threading.Event()

    def put(kind: str, value: object = None) -> bool:
        while not left.is_set():
            try:
                made.put((kind, value), timeout=_PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
        except BaseException as error:  # also KeyboardInterrupt: the main thread decides what follows
            put("error", error)
        else:
            put("end")

    thread = _thread(make)
    thread.start()
    try:
        while True:
            kind, value = made.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        left.set()
        thread.join(_LAST_ITEM)


def in_turns(make: Callable[[Item], Made], items: Iterable[Item], count: int, threads: int) -> Iterator[Made]:
    """`make(item)` of each item, in order: `count` at a time, by several threads, and none while they are being used.

    An exception of `make` is raised where its result was expected.
    """
    items = iter(items)
    with ThreadPool(threads) as pool:  # of daemons: one that is blocked does not hold up the end of the program
        while True:
            calls = [pool.apply_async(contextvars.copy_context().run, (make, item)) for item in islice(items, count)]
            if not calls:
                return
            for call in calls:
                call.wait()
            yield from (call.get() for call in calls)


@contextmanager
def behind(work: Callable[..., object], count: int = COUNT) -> Iterator[Callable[..., None]]:
    """Yield `put`, which takes the arguments of a call of `work` and returns at once, if fewer than `count` wait.

    The calls are made in another thread, one after the other, and are done at the end of the context. An exception of
    a call is raised by the next `put`, or at the end; no later call is made. If the context ends with an exception,
    waiting calls are dropped.
    """
    waiting: queue.Queue = queue.Queue(count)
    errors: list[BaseException] = []
    dropped = threading.Event()

    def call() -> None:
        while (arguments := waiting.get()) is not None:
            if errors or dropped.is_set():
                continue
            try:
                work(*arguments)
            except BaseException as error:
                errors.append(error)

    def put(*arguments: object) -> None:
        if errors:
            raise errors[0]
        waiting.put(arguments)

    thread = _thread(call)
    thread.start()
    try:
        yield put
    except BaseException:
        dropped.set()
        raise
    finally:
        waiting.put(None)
        thread.join()
    if errors:
        raise errors[0]


def _thread(work: Callable[[], None]) -> threading.Thread:
    """A thread that sees the context variables of this one, such as `--max_pixels`."""
    return threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
