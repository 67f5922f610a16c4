"""The split into training, development and test documents: 80/10/10, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")

_DEV, _TEST = 3, 7  # of every ten documents


def three_way_split(
    items: Sequence[T],
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
) -> tuple[tuple[T, ...], tuple[T, ...], tuple[T, ...]]:
    """Split into train, dev and test, about 80/10/10.

    Groups are shuffled, laid end to end stratum by stratum, and of every ten documents on that line one goes to dev
    and one to test; a group goes where its middle falls. So classes keep their shares, and ten documents are enough
    for three parts. The first group of a stratum is trained on: no class exists in the test documents only.

    Args:
        items: the documents, in a stable order.
        seed: of the shuffle; nothing else is random.
        groups: one key per item; items with equal keys stay together (sentences of one review, copies of one text).
        strata: one key per item (its class); a group counts as its first item's.

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

    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    begun: set[Hashable] = set()
    position = 0
    for block in blocks:
        stratum = None if strata is None else strata[block[0]]
        if stratum not in begun:
            begun.add(stratum)
            parts[0].extend(block)
            continue
        place = (position + len(block) // 2) % 10
        parts[1 if place == _DEV else 2 if place == _TEST else 0].extend(block)
        position += len(block)
    train, dev, test = (tuple(items[i] for i in sorted(part)) for part in parts)
    return train, dev, test


def two_way_split(
    items: Sequence[T],
    seed: int,
    groups: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Split into 90/10, where one of the three parts is a file of its own; see :func:`three_way_split`."""
    train, held, rest = three_way_split(range(len(items)), seed, groups, strata)
    return tuple(items[i] for i in sorted(train + rest)), tuple(items[i] for i in held)
