"""Reading ahead: one thread parses the next batches while this one splits the last. At most two batches wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_WAITING = 2
_SECONDS = 0.1


@contextmanager
def ahead(source: Iterator[T]) -> Iterator[Iterator[T]]:
    """The items of `source`, made in a thread of their own; its error is raised where the item would have come.

    When the context ends early, the thread stops at its next item and `source` is closed in it.

    >>> with ahead(iter([1, 2, 3])) as items:
    ...     list(items)
    [1, 2, 3]
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(maxsize=_WAITING)
    given_up = threading.Event()

    def put(item: T | None, error: BaseException | None, last: bool) -> None:
        while not given_up.is_set():
            try:
                waiting.put((item, error, last), timeout=_SECONDS)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in source:
                put(item, None, False)
                if given_up.is_set():
                    break
            put(None, None, True)
        except BaseException as error:
            put(None, error, True)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    def items() -> Iterator[T]:
        while True:
            item, error, last = waiting.get()
            if error is not None:
                raise error
            if last:
                return
            yield item  # type: ignore[misc]

    thread = threading.Thread(target=work, name="store-parser", daemon=True)
    thread.start()
    try:
        yield items()
    finally:
        given_up.set()
        thread.join()
