"""Comprehensiveness and sufficiency before judges whose mind can be read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.evaluation.metrics.faithfulness import BINS, faithfulness_metrics, top_share
from pyro_rationale.tasks import task_of
from tests.support.marked import bits, document

BINARY = TargetSpec("binary", ("positive",), classes=("no", "yes"))
RATING = TargetSpec("regression", ("taste", "look"), ranges=((0.0, 10.0), (1.0, 5.0)))
TOPIC = TargetSpec("multiclass", ("topic",), classes=("x", "y", "z"))


class WordJudge:
    """P(positive) is .5, + .1 for each `good` and - .2 for each `bad` that it is given."""

    spec = BINARY

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> np.ndarray:
        kept = [[t for t, flag in zip(d.tokens, m, strict=True) if flag] for d, m in zip(documents, masks, strict=True)]
        self.seen += kept
        return np.array([[0.5 + 0.1 * words.count("good") - 0.2 * words.count("bad")] for words in kept])


def test_by_hand() -> None:
    documents = [document(words="good a good b"), document(words="bad a b c"), document(words="a b")]
    masks = [bits("1100"), bits("1001"), bits("00")]
    metrics = faithfulness_metrics(WordJudge(), documents, masks)
    # From whole texts: .7 (yes), .3 (no, with .7), .5 (yes).
    # Without the marked words .6, .5, .5: drops .1, .2, 0. From them alone .6, .3, .5: drops .1, 0, 0.
    assert metrics["comprehensiveness"] == pytest.approx((0.1 + 0.2 + 0.0) / 3)
    assert metrics["sufficiency"] == pytest.approx((0.1 + 0.0 + 0.0) / 3)
    assert metrics.keys() == {
        *("comprehensiveness", "sufficiency", "comprehensiveness_random", "sufficiency_random"),
    }


def test_a_drop_may_be_negative() -> None:
    # Whole: .5 + .1 - .2 = .4 (no, with .6). Without `bad`: .6, so .4 for no. From `bad` alone: .3, so .7 for no.
    metrics = faithfulness_metrics(WordJudge(), [document(words="good bad a")], [bits("010")])
    assert metrics["comprehensiveness"] == pytest.approx(0.6 - 0.4)
    assert metrics["sufficiency"] == pytest.approx(0.6 - 0.7)


def test_aopc_by_hand() -> None:
    # Ten words, two of them good: whole .7. Ranked: good, a, good, rest. Of ten words the bins take 1, 1, 1, 2, 5.
    words = document(words="a good b c d e f g good h")
    scores = np.array([0.8, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.7, 0.1])
    metrics = faithfulness_metrics(WordJudge(), [words], [bits("0" * 10)], [scores])
    # Without the top 1, 1, 1, 2, 5: .6, .6, .6, .6, .5. From these alone: .6, .6, .6, .6, .7.
    assert metrics["aopc_comprehensiveness"] == pytest.approx((0.1 + 0.1 + 0.1 + 0.1 + 0.2) / 5)
    assert metrics["aopc_sufficiency"] == pytest.approx((0.1 + 0.1 + 0.1 + 0.1 + 0.0) / 5)
    assert metrics["comprehensiveness_at_50"] == pytest.approx(0.2)
    assert [metrics[f"sufficiency_at_{n}"] for n in (1, 5, 10, 20, 50)] == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.0])


def test_bins_are_those_of_eraser() -> None:
    assert BINS == (0.01, 0.05, 0.1, 0.2, 0.5)


def test_the_judge_reads_nothing_but_what_it_is_given() -> None:
    judge = WordJudge()
    faithfulness_metrics(judge, [document(words="a b c")], [bits("010")])
    assert judge.seen[:3] == [["a", "b", "c"], ["a", "c"], ["b"]]
    assert [len(words) for words in judge.seen[3:]] == [2, 1]  # random words, as many


def test_random_words_are_the_same_for_everybody() -> None:
    documents = [document(words="good bad a b c d e f")]
    one, two = (faithfulness_metrics(WordJudge(), documents, [bits("11000000")], seed=seed) for seed in (3, 3))
    assert one == two
    # On average over many seeds: 2 of 8 words, so a quarter of the good and of the bad.
    many = [
        faithfulness_metrics(WordJudge(), [document(words="good a b c")], [bits("1000")], seed=seed)
        for seed in range(200)
    ]
    mean = np.mean([metrics["comprehensiveness_random"] for metrics in many])
    assert mean == pytest.approx(0.1 / 4, abs=4 * 0.1 * np.sqrt(3 / 16 / 200))


def test_drops_of_several_labels_are_averaged() -> None:
    spec = TargetSpec("binary", ("a", "b"), classes=("no", "yes"))
    assert task_of(spec).drop(np.array([[0.9, 0.2]]), np.array([[0.6, 0.3]])) == pytest.approx([(0.3 + 0.1) / 2])


def test_drops_of_ratings_are_shares_of_their_scales_whatever_the_direction() -> None:
    full, other = np.array([[5.0, 3.0], [5.0, 3.0]]), np.array([[7.0, 3.0], [4.0, 1.0]])
    assert task_of(RATING).drop(full, other) == pytest.approx([(0.2 + 0) / 2, (0.1 + 0.5) / 2])


def test_drops_of_classes_are_those_of_the_class_predicted_from_the_whole_text() -> None:
    full, other = np.array([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]]), np.array([[0.1, 0.2, 0.7], [0.9, 0.1, 0.0]])
    assert task_of(TOPIC).drop(full, other) == pytest.approx([0.5, -0.4])


@pytest.mark.parametrize(
    ("words", "share", "taken"),
    [(0, 0.5, 0), (1, 0.01, 1), (100, 0.01, 1), (101, 0.01, 2), (100, 0.07, 7), (10, 0.5, 5), (3, 1.0, 3)],
)
def test_how_many_words_are_on_top(words: int, share: float, taken: int) -> None:
    assert top_share(np.arange(words, dtype=float), share).sum() == taken


@given(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=20), st.sampled_from(BINS))
def test_no_word_below_the_top_is_better(scores: list[float], share: float) -> None:
    mask = top_share(np.array(scores), share)
    below = [score for score, kept in zip(scores, mask, strict=True) if not kept]
    assert min(np.array(scores)[mask]) >= max(below, default=0.0)


def test_of_equal_words_the_earlier_are_on_top() -> None:
    assert top_share(np.array([0.5, 0.9, 0.5, 0.5]), 0.5).tolist() == [True, True, False, False]


def test_all_or_nothing_marked() -> None:
    documents = [document(words="good a")]
    whole = faithfulness_metrics(WordJudge(), documents, [bits("11")])
    nothing = faithfulness_metrics(WordJudge(), documents, [bits("00")])
    assert (whole["sufficiency"], nothing["comprehensiveness"]) == (0.0, 0.0)
    assert whole["comprehensiveness"] == nothing["sufficiency"] == pytest.approx(0.1)
