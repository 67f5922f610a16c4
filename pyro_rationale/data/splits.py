"""Split documents into training, development and test documents: 80/10/10, reproducible by seed."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from typing import TypeVar

from pyro_rationale.data.cache.dataset import taken, text_keys
from pyro_rationale.data.document import Document
from pyro_rationale.errors import DataError

T = TypeVar("T")

_SHARES = (0.8, 0.1, 0.1)


def three_way_split(
    items: Sequence[T],
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
    shares: tuple[float, float, float] = _SHARES,
    dev: Sequence[T] | None = None,
    test: Sequence[T] | None = None,
) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
    """Split into train, dev and test, about 80/10/10, or 90/10 where dev or test documents are given.

    Groups are shuffled and dealt out one after the other, stratum by stratum, each to the part that is furthest
    below its share. So classes keep their shares, parts come out right for groups of any size, and ten documents
    are enough for three parts. The first group of a stratum is trained on: no class occurs in test texts only.

    Args:
        items: the documents, in a stable order, in memory or on disk.
        seed: of the shuffle; nothing else is random.
        groups: one key per item; items with equal keys stay together (sentences of one review, copies of a text).
        strata: one key per item (its class); a group counts as its first item's.
        shares: of the three parts, 80/10/10 by default; they sum to 1, and a part of share 0 stays empty.
        dev: development documents that are not split off.
        test: test documents that are not split off.

    Returns:
        Train, dev and test; what is split off is in the order of `items`.
    """
    if dev is not None and test is not None:
        return items, dev, test
    first, second, third = _indices(len(items), seed, groups, strata, shares)
    if dev is not None or test is not None:
        first, third = sorted(first + third), second
    train, held_out = taken(items, first), taken(items, second)
    return train, held_out if dev is None else dev, taken(items, third) if test is None else test


def check_parts(where: str, parts: Sequence[Sequence[Document]], divided: Sequence[Document] | None = None) -> None:
    """Make sure that no part of a split is empty.

    Args:
        where: the corpus, for the message.
        parts: train, dev and test.
        divided: documents that they were split off from; default: all of them.

    Raises:
        DataError: one of them is: copies of too few texts.
    """
    if all(map(len, parts)):
        return
    keys = [key for part in (parts if divided is None else [divided]) for key in text_keys(part)]
    raise DataError(
        f"{where}: {len(set(keys))} different training texts are too few to split dev or test off ({len(keys)} "
        "documents, and copies of a text stay together); add texts, or name files with --dev-data and --test-data"
    )


def _indices(
    count: int,
    seed: int,
    groups: Sequence[Hashable] | None,
    strata: Sequence[Hashable] | None,
    shares: tuple[float, float, float],
) -> tuple[list[int], list[int], list[int]]:
    """Positions in a list of `count` items of each part, ascending; see :func:`three_way_split`."""
    numbers: dict[Hashable, int] = {}
    group = range(count) if groups is None else [numbers.setdefault(key, len(numbers)) for key in groups]
    sizes = [0] * (count if groups is None else len(numbers))
    ranks: dict[Hashable, int] = {}
    rank = [0] * len(sizes)  # of the stratum of a group's first item
    for i, number in enumerate(group):
        own = 0 if strata is None else ranks.setdefault(strata[i], len(ranks))
        if not sizes[number]:
            rank[number] = own
        sizes[number] += 1
    order = list(range(len(sizes)))
    random.Random(seed).shuffle(order)
    order.sort(key=rank.__getitem__)
    home = bytearray(len(sizes))
    filled = [0, 0, 0]
    begun = [False] * max(len(ranks), 1)
    dealt = 0
    for number in order:
        dealt += sizes[number]
        # The part furthest below its share of the dealt items; the first one of equals.
        part = max(range(3), key=lambda k: shares[k] * dealt - filled[k]) if begun[rank[number]] else 0
        begun[rank[number]] = True
        home[number] = part
        filled[part] += sizes[number]
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for i, number in enumerate(group):
        parts[home[number]].append(i)
    return parts
