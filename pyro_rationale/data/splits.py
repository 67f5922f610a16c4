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
    members: dict[Hashable, list[int]] = {}
    for i in range(len(items)):
        members.setdefault(i if groups is None else groups[i], []).append(i)
    blocks = list(members.values())
    random.Random(seed).shuffle(blocks)
    if strata is not None:
        rank = {key: i for i, key in enumerate(dict.fromkeys(strata))}
        blocks.sort(key=lambda block: rank[strata[block[0]]])

    parts: tuple[list[int], ...] = ([], [], [])
    begun: set[Hashable] = set()
    dealt = 0
    for block in blocks:
        dealt += len(block)
        stratum = None if strata is None else strata[block[0]]
        lacking = [share * dealt - len(part) for share, part in zip(shares, parts, strict=True)]
        part = lacking.index(max(lacking)) if stratum in begun else 0
        parts[part].extend(block)
        begun.add(stratum)
    train, dev, test = (tuple(items[i] for i in sorted(part)) for part in parts)
    return train, dev, test


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
    if dev is not None and test is not None:
        return tuple(train), tuple(dev), tuple(test)
    if dev is None and test is None:
        return three_way_split(train, seed, groups, strata)
    rest, held = two_way_split(train, seed, groups, strata)
    return (rest, held, tuple(test)) if test is not None else (rest, tuple(dev or ()), held)


def two_way_split(
    items: Sequence[T],
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Split into 90/10, where one of the three parts is a file of its own; see :func:`three_way_split`."""
    train, held, rest = three_way_split(range(len(items)), seed, groups, strata)
    return tuple(items[i] for i in sorted(train + rest)), tuple(items[i] for i in held)
