"""`benchmarks/answers.py`: two ratings of a text, and which of them is picked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from pyro_rationale.data import load_corpus
from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.options import DataOptions


@pytest.fixture
def answers(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("answers")


def test_the_other_rating_is_one_of_a_training_text_and_far_enough_away(answers: ModuleType) -> None:
    corpus = load_corpus(DataOptions(documents=30, aspect="all"))
    rows = by_aspect(corpus.test[:3], 4)
    pool = np.array([document.targets for document in corpus.train])
    asked = answers.others(rows, pool, np.full(4, 0.3), seed=0)
    assert [target for target, *_ in asked] == [0, 1, 2, 3] * 3
    for target, true, wrong in asked:
        assert math.isnan(wrong) or (wrong in pool[:, target] and abs(wrong - true) >= 0.3)
    assert all(math.isnan(wrong) for _, _, wrong in answers.others(rows, pool, np.full(4, 2.0), seed=0))
    unrated = replace(rows[0], targets=(math.nan,) * 4)
    assert math.isnan(answers.others([unrated], pool, np.zeros(4), seed=0)[0][1])


def test_the_sign_test_counts_texts_on_which_the_two_ways_differ(answers: ModuleType) -> None:
    assert answers.sign_test(0, 0) == 1.0
    assert answers.sign_test(5, 5) == 1.0
    assert answers.sign_test(0, 6) == pytest.approx(2 / 64)
    assert answers.sign_test(6, 0) == answers.sign_test(0, 6)
