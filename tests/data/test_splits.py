"""The split: shares, determinism, groups and strata."""

from __future__ import annotations

from collections import Counter

import pytest

from pyro_rationale.data.splits import three_way_split


@pytest.mark.parametrize("size", [10, 11, 99, 1000])
def test_parts_partition_the_items_in_their_shares(size: int) -> None:
    train, dev, test = three_way_split(range(size), seed=3)
    assert sorted([*train, *dev, *test]) == list(range(size))
    assert all(list(part) == sorted(part) for part in (train, dev, test))
    assert abs(len(dev) - size / 10) <= 1
    assert abs(len(test) - size / 10) <= 1
    assert dev
    assert test


def test_the_seed_decides_and_nothing_else() -> None:
    assert three_way_split(range(200), seed=1) == three_way_split(range(200), seed=1)
    assert three_way_split(range(200), seed=1) != three_way_split(range(200), seed=2)


def test_held_out_items_are_spread_over_the_file() -> None:
    _, dev, test = three_way_split(range(1000), seed=0)
    thirds = Counter(i // 334 for i in (*dev, *test))
    assert all(40 < thirds[k] < 95 for k in range(3))  # 67 expected, sd 6


@pytest.mark.parametrize("size", [2, 7, 50])
def test_groups_stay_together_and_shares_hold(size: int) -> None:
    groups = [i // size for i in range(2000)]
    parts = three_way_split(range(2000), 0, groups)
    homes = [{groups[i] for i in part} for part in parts]
    assert sum(map(len, homes)) == len(set().union(*homes))
    assert all(abs(len(part) - 200) <= size for part in parts[1:])


def test_strata_keep_their_shares_even_when_blocks_are_pure() -> None:
    strata = [int(i >= 1500) for i in range(2000)]
    for part in three_way_split(range(2000), 0, [i // 20 for i in range(2000)], strata):
        assert abs(sum(strata[i] for i in part) / len(part) - 0.25) < 0.06


def test_every_class_is_trained_on() -> None:
    strata = ["rare" if i == 17 else "rarer" if i in (3, 4) else "usual" for i in range(40)]
    for seed in range(50):
        train, _, _ = three_way_split(range(40), seed, strata=strata)
        assert {strata[i] for i in train} == {"rare", "rarer", "usual"}


def test_beside_a_file_of_its_own_a_tenth_is_held_out() -> None:
    train, held, given = three_way_split(range(500), seed=0, test=(1, 2))
    assert given == (1, 2)
    assert sorted([*train, *held]) == list(range(500))
    assert abs(len(held) - 50) <= 1
