"""Batches from a thread: the same, in the same order; its faults come out here, and it ends with whoever listens."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import prefetched


def batches(count: int, fault: int = -1) -> Iterator[Batch]:
    for number in range(count):
        if number == fault:
            raise ValueError("a bad row")
        yield Batch(torch.full((2, 3), number), torch.tensor([3, 2]))


def listening() -> bool:
    return any(thread.name == "batches" for thread in threading.enumerate())


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_same_batches(count: int) -> None:
    assert [int(batch.tokens[0, 0]) for batch in prefetched(batches(count))] == list(range(count))
    assert not listening()


def test_they_are_made_ahead_but_not_far() -> None:
    made: list[int] = []
    second = threading.Event()

    def watched() -> Iterator[Batch]:
        for number, batch in enumerate(batches(50)):
            made.append(number)
            if number == 2:
                second.set()
            yield batch

    stream = prefetched(watched(), depth=2)
    next(stream)
    assert second.wait(5)
    assert len(made) <= 4  # one taken, two waiting, one in the thread's hands
    stream.close()  # type: ignore[attr-defined]
    assert not listening()


def test_a_fault_comes_in_its_place() -> None:
    stream = prefetched(batches(9, fault=3))
    assert [int(next(stream).tokens[0, 0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="a bad row"):
        next(stream)
    assert not listening()
