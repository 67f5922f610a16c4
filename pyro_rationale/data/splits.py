"""Split documents into training, development and test documents: 80/10/10, reproducible by seed."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from typing import TypeVar

from pyro_rationale.data.cache.dataset import taken

T = TypeVar("T")

_SHARES = (0.8, 0.1, 0.1)


def three_way_split(
    items: Sequence[T],
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
    shares: tuple[float, float, float] = _SHARES,
) -> tuple[tuple[T, ...], tuple[T, ...], tuple[T, ...]]:
    """Split into train, dev and test, about 80/10/10.

    Groups are shuffled and dealt out one after the other, stratum by stratum, each to the part that is furthest
    below its share. So classes keep their shares, parts come out right for groups of any size, and ten documents
    are enough for three parts. The first group of a stratum is trained on: no class occurs in test texts only.

    Args:
        items: the documents, in a stable order.
        seed: of the shuffle; nothing else is random.
        groups: one key per item; items with equal keys stay together (sentences of one review, copies of a text).
        strata: one key per item (its class); a group counts as its first item's.
        shares: of the three parts, 80/10/10 by default; they sum to 1, and a part of share 0 stays empty.

    Returns:
        Train, dev and test, each in the order of `items`.
    """
    train, dev, test = (
        tuple(items[i] for i in part) for part in split_indices(len(items), seed, groups, strata, shares)
    )
    return train, dev, test


def split_indices(
    count: int,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
    shares: tuple[float, float, float] = _SHARES,
) -> tuple[list[int], list[int], list[int]]:
    """Positions in a list of `count` items of each part, ascending; see :func:`three_way_split` for the arguments."""
    numbers: dict[Hashable, int] = {}
    group = range(count) if groups is None else [numbers.setdefault(key, len(numbers)) for key in groups]
    sizes = [0] * (count if groups is None else len(numbers))
    ranks: dict[Hashable, int] = {}
    rank = [0] * len(sizes)  # of the stratum of a group's first item
    for i, number in enumerate(group):
        if strata is not None and not sizes[number]:
            rank[number] = ranks.setdefault(strata[i], len(ranks))
        elif strata is not None:
            ranks.setdefault(strata[i], len(ranks))
        sizes[number] += 1
    order = list(range(len(sizes)))
    random.Random(seed).shuffle(order)
    if strata is not None:
        order.sort(key=rank.__getitem__)

    home = bytearray(len(sizes))
    filled = [0, 0, 0]
    begun = [False] * max(len(ranks), 1)
    dealt = 0
    for number in order:
        size = sizes[number]
        dealt += size
        part = _emptiest(shares, filled, dealt) if begun[rank[number]] else 0
        begun[rank[number]] = True
        home[number] = part
        filled[part] += size
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for i, number in enumerate(group):
        parts[home[number]].append(i)
    return parts


def _emptiest(shares: tuple[float, float, float], filled: list[int], dealt: int) -> int:
    """Index of the part that is furthest below its share of the dealt items; of equal ones the first."""
    train, dev, test = (
        shares[0] * dealt - filled[0], shares[1] * dealt - filled[1], shares[2] * dealt - filled[2]
    )  # fmt: skip
    return 0 if train >= dev and train >= test else 1 if dev >= test else 2


def filled_splits(
    train: Sequence[T],
    dev: Sequence[T] | None,
    test: Sequence[T] | None,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
    """Train, dev and test documents, where dev or test is split off from training if it is not given.

    Args:
        train: the training documents, in memory or on disk.
        dev: the development documents, or `None`.
        test: the test documents, or `None`.
        seed: see :func:`three_way_split`.
        groups: one key per training document; see :func:`three_way_split`.
        strata: one key per training document; see :func:`three_way_split`.
    """
    if dev is not None and test is not None:
        return train, dev, test
    first, second, third = split_indices(len(train), seed, groups, strata)
    held_out, rest = taken(train, second), sorted(first + third)  # 90/10, where one of the three parts is given
    if dev is not None:
        return taken(train, rest), dev, held_out
    if test is not None:
        return taken(train, rest), held_out, test
    return taken(train, first), held_out, taken(train, third)
