"""Batches made ahead of their use, in memory from which a GPU can fetch them by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import Full, Queue
from threading import Event, Thread

import torch

from pyro_rationale.data.batch import Batch

_Item = Batch | BaseException | None  # None: there are no more


def prefetched(batches: Iterable[Batch], depth: int = 2) -> Iterator[Batch]:
    """The same batches in the same order, made and pinned by a thread while the ones before are computed with.

    Nothing that a batch depends on is changed, so that what is resumed from the middle of an epoch is the same. What
    goes wrong in the thread is raised here, in its place; an iterator that is abandoned stops it.

    Args:
        batches: to be drawn from in the thread, and nowhere else.
        depth: how many wait at most.
    """
    waiting: Queue[_Item] = Queue(depth)
    stopped = Event()

    def hand(item: _Item) -> None:
        while not stopped.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                hand(batch.pin_memory() if torch.cuda.is_available() else batch)
                if stopped.is_set():
                    return
            hand(None)
        except BaseException as problem:
            hand(problem)

    thread = Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
