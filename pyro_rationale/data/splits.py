"""The split into training, development and test documents: 80/10/10, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from typing import TypeVar

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
        shares: of the three parts, if others than 80/10/10; they sum to 1, and a part of share 0 stays empty.

    Returns:
        Train, dev and test, each in the order of `items`.
    """
    train, dev, test = (
        tuple(items[i] for i in part) for part in split_places(len(items), seed, groups, strata, shares)
    )
    return train, dev, test


def split_places(
    count: int,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
    shares: tuple[float, float, float] = _SHARES,
) -> tuple[list[int], list[int], list[int]]:
    """The same split as positions in a list of `count` items, each part ascending; other arguments likewise."""
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
    """The part that lacks most of its share of what has been dealt; of equal ones the first."""
    train, dev, test = (
        shares[0] * dealt - filled[0], shares[1] * dealt - filled[1], shares[2] * dealt - filled[2]
    )  # fmt: skip
    return 0 if train >= dev and train >= test else 1 if dev >= test else 2


def filled_places(
    count: int,
    dev: bool,
    test: bool,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Positions of those of `count` documents that are trained on, and of those that stand in for dev and for test.

    Args:
        count: documents given for training.
        dev: whether somebody gave development documents; none are split off then.
        test: whether somebody gave test documents, likewise.
        seed: as for :func:`three_way_split`.
        groups: one key per training document, likewise.
        strata: likewise.
    """
    if dev and test:
        return range(count), (), ()
    first, second, third = split_places(count, seed, groups, strata)
    if not dev and not test:
        return first, second, third
    # 90/10, where one of the three parts is a file of its own.
    rest = sorted(first + third)
    return (rest, (), second) if dev else (rest, second, ())


def filled_splits(
    train: Sequence[T],
    dev: Sequence[T] | None,
    test: Sequence[T] | None,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
) -> tuple[tuple[T, ...], tuple[T, ...], tuple[T, ...]]:
    """Train, dev and test, of which those that nobody gave (`None`) are split off from training.

    Args:
        train: the training documents.
        dev: the development documents.
        test: the test documents.
        seed: as for :func:`three_way_split`.
        groups: one key per training document, likewise.
        strata: likewise.
    """
    places = filled_places(len(train), dev is not None, test is not None, seed, groups, strata)
    rest, held_dev, held_test = (tuple(train[i] for i in part) for part in places)
    return rest, held_dev if dev is None else tuple(dev), held_test if test is None else tuple(test)
