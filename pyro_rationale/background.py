"""Work ahead in a thread: networks compute, and torch lets others run meanwhile, while what they found is written."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
_PATIENCE = 0.1  # seconds between two looks at whether the reader has left


def in_background(items: Iterator[T], most: int) -> Iterator[T]:
    """The same items, of which up to `most` have been made before they are asked for.

    Whatever making one raises is raised where it would have been without this. A reader who leaves ends the thread.
    """
    made: Queue[tuple[T | None, BaseException | None]] = Queue(most)
    left = Event()

    def put(item: T | None, problem: BaseException | None) -> None:
        while not left.is_set():
            try:
                made.put((item, problem), timeout=_PATIENCE)
                return
            except Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item, None)
                if left.is_set():
                    return
            put(None, StopIteration())
        except BaseException as problem:
            put(None, problem)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            try:
                item, problem = made.get(timeout=_PATIENCE)  # an interrupt does not wait for the thread
            except Empty:
                continue
            if isinstance(problem, StopIteration):
                return
            if problem is not None:
                raise problem
            yield item  # type: ignore[misc]
    finally:
        left.set()
        thread.join()
