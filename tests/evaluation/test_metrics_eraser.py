"""ERASER's plausibility metrics: worked out by hand, against a naive reading of the definitions, and scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, precision_recall_fscore_support

from pyro_rationale.data.document import spans_of
from pyro_rationale.evaluation.metrics import eraser_metrics, rationale_metrics
from pyro_rationale.evaluation.metrics.eraser import areas, overlap, span_counts
from tests.evaluation.test_metrics import close
from tests.support.marked import bits, document

# (gold, kept) of four annotated documents with something to see, one without gold words, one not annotated.
CASES: list[tuple[str | None, str]] = [
    ("1111000000", "1110000111"),  # spans: 3 of 4 words shared, a hit; and one far off
    ("0011110000", "0000111100"),  # 2 of 6 words shared: no hit
    ("1100011000", "0000000000"),  # nothing kept
    ("0000000000", "1100000000"),  # nobody marked a word
    ("11110000", "11000000"),  # 2 of 4 words shared: a hit at the threshold
    (None, "1111"),
]
DOCUMENTS = [document(gold, length=len(kept)) for gold, kept in CASES]
MASKS = [bits(kept) for _, kept in CASES]

pairs_of_flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12).map(
    lambda rows: ([gold for gold, _ in rows], [kept for _, kept in rows])
)
corpora = st.lists(pairs_of_flags, min_size=1, max_size=6)


def as_text(flags: Sequence[bool]) -> str:
    return "".join("01"[int(flag)] for flag in flags)


def test_spans() -> None:
    assert spans_of(bits("")) == spans_of(bits("000")) == []
    assert spans_of(bits("1101000111")) == [(0, 2), (3, 4), (7, 10)]


def test_overlap() -> None:
    assert overlap((0, 3), (0, 4)) == 3 / 4
    assert overlap((2, 6), (4, 8)) == overlap((4, 8), (2, 6)) == 2 / 6
    assert overlap((0, 2), (2, 4)) == overlap((0, 2), (5, 9)) == 0.0
    assert overlap((5, 9), (5, 9)) == 1.0


def test_iou_f1_by_hand() -> None:
    # Hits 1, 0, 0, 0, 1; kept spans 2, 1, 0, 1, 1; gold spans 1, 1, 2, 0, 1.
    metrics = eraser_metrics(DOCUMENTS, MASKS)
    # Precision over the four documents that keep something: (1/2 + 0 + 0 + 1) / 4. The document without gold counts.
    # Recall over the four with gold words: (1 + 0 + 0 + 1) / 4. Then F1 of the two means.
    close(metrics, iou_precision=3 / 8, iou_recall=1 / 2, iou_f1=2 * (3 / 8) * (1 / 2) / (3 / 8 + 1 / 2))
    # Pooled: 2 hits, 5 kept spans, 5 gold spans.
    close(metrics, iou_f1_micro=2 / 5)


def test_the_threshold_is_included_and_can_be_moved() -> None:
    one = [document("11110000")], [bits("11000000")]
    assert eraser_metrics(*one)["iou_f1"] == 1.0
    assert eraser_metrics(*one, threshold=0.51)["iou_f1"] == 0.0


def test_token_f1_by_hand() -> None:
    # Hits 3, 2, 0, 0, 2; kept 6, 4, 0, 2, 2; gold 4, 4, 4, 0, 4. All five have a gold or a kept word.
    metrics = eraser_metrics(DOCUMENTS, MASKS)
    close(metrics, token_precision=(1 / 2 + 1 / 2 + 0 + 0 + 1) / 5, token_recall=(3 / 4 + 1 / 2 + 0 + 0 + 1 / 2) / 5)
    close(metrics, token_f1=(6 / 10 + 4 / 8 + 0 + 0 + 4 / 6) / 5)
    # ERASER's instance_micro is what rationale_metrics calls f1: 7 hits, 14 kept, 16 gold.
    close(rationale_metrics(DOCUMENTS, MASKS), precision=7 / 14, recall=7 / 16, f1=14 / 30)


def test_a_document_without_gold_and_without_marks_is_left_out() -> None:
    documents = [document("1100"), document("0000")]
    close(eraser_metrics(documents, [bits("1100"), bits("0000")]), token_f1=1.0, iou_f1=1.0)
    close(eraser_metrics(documents, [bits("1100"), bits("1000")]), token_f1=0.5, iou_precision=0.5, iou_recall=1.0)


def test_areas_by_hand() -> None:
    # Recall, precision: (0, 1), (1/2, 1), (1/2, 1/2), (1, 2/3), (1, 1/2).
    trapezoids, steps = areas(np.array(bits("1010")), [0.9, 0.8, 0.7, 0.1])
    assert trapezoids == pytest.approx(1 / 2 + (1 / 2) * (1 / 2 + 2 / 3) / 2)
    assert steps == pytest.approx(1 / 2 + (1 / 2) * (2 / 3))


def test_a_ranking_that_says_nothing_still_has_a_large_area_by_trapezoids() -> None:
    assert areas(np.array(bits("1000")), [0.3] * 4) == pytest.approx(((1 + 1 / 4) / 2, 1 / 4))


def test_auprc_is_a_mean_over_documents_with_gold_words() -> None:
    documents = [document("1010"), document("10"), document("00"), document(length=2), document("111")]
    scores = [np.array(row) for row in ([0.9, 0.8, 0.7, 0.1], [0.1, 0.2], [0.5, 0.6], [0.0, 1.0], [0.2, 0.3, 0.1])]
    metrics = eraser_metrics(documents, [(False,) * len(d.tokens) for d in documents], scores)
    first, second = 1 / 2 + (1 / 2) * (1 / 2 + 2 / 3) / 2, 1 / 4  # second: (0, 1), (0, 0), (1, 1/2)
    close(metrics, auprc=(first + second + 1) / 3)  # all words gold: 1 whatever the scores
    close(metrics, average_precision=(1 / 2 + (1 / 2) * (2 / 3) + 1 / 2) / 2)  # that one is left out here


def test_areas_against_scikit_learn() -> None:
    """ERASER's AUPRC is `auc` of `precision_recall_curve`, by trapezoids, and not `average_precision_score`."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        gold = rng.random(rng.integers(2, 30)) < rng.random()
        gold[rng.integers(len(gold))] = True
        scores = rng.integers(0, 6, len(gold)) / 5 if rng.random() < 0.5 else rng.random(len(gold))  # ties
        precision, recall, _ = precision_recall_curve(gold, scores)
        assert areas(gold, scores) == pytest.approx((auc(recall, precision), average_precision_score(gold, scores)))


def test_token_scores_against_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    golds, kept = (rng.random((20, 15)) < share for share in (0.3, 0.2))
    documents = [document(as_text(gold)) for gold in golds]
    metrics = eraser_metrics(documents, kept.tolist())
    rows = [
        precision_recall_fscore_support(gold, mask, average="binary", zero_division=0)[:3]
        for gold, mask in zip(golds, kept, strict=True)
        if (gold | mask).any()
    ]
    precision, recall, f1 = np.mean(rows, axis=0)
    close(metrics, token_precision=precision, token_recall=recall, token_f1=f1)


def naive(cases: Sequence[tuple[Sequence[bool], Sequence[bool]]], threshold: float) -> tuple[float, float]:
    """IOU F1, macro and micro, with spans as sets of words and dictionaries by document."""

    def spans(flags: Sequence[bool]) -> list[set[int]]:
        found: list[set[int]] = []
        for i, flag in enumerate(flags):
            if flag and i and flags[i - 1]:
                found[-1].add(i)
            elif flag:
                found.append({i})
        return found

    kept = {i: spans(mask) for i, (_, mask) in enumerate(cases) if any(mask)}
    gold = {i: spans(flags) for i, (flags, _) in enumerate(cases) if any(flags)}
    hits = {
        i: sum(any(len(p & g) / len(p | g) >= threshold for g in gold.get(i, [])) for p in own)
        for i, own in kept.items()
    }

    def f1(p: float, r: float) -> float:
        return 2 * p * r / (p + r) if p + r else 0.0

    counts = [sum(len(own) for own in side.values()) for side in (kept, gold)]
    total = sum(hits.values())
    macro_p = sum(hits[i] / len(own) for i, own in kept.items()) / max(1, len(kept))
    macro_r = sum(hits.get(i, 0) / len(own) for i, own in gold.items()) / max(1, len(gold))
    return f1(macro_p, macro_r), f1(total / max(1, counts[0]), total / max(1, counts[1]))


@given(corpora, st.sampled_from([0.1, 0.5, 1.0]))
def test_iou_f1_against_sets(cases: list[tuple[list[bool], list[bool]]], threshold: float) -> None:
    documents = [document(as_text(gold)) for gold, _ in cases]
    metrics = eraser_metrics(documents, [kept for _, kept in cases], threshold=threshold)
    if not any(any(gold) for gold, _ in cases):
        assert metrics == {}
        return
    assert (metrics["iou_f1"], metrics["iou_f1_micro"]) == pytest.approx(naive(cases, threshold))


@given(corpora)
def test_perfect_masks_score_one(cases: list[tuple[list[bool], list[bool]]]) -> None:
    documents = [document(as_text(gold)) for gold, _ in cases]
    masks = [gold for gold, _ in cases]
    metrics = eraser_metrics(documents, masks, [np.array(gold, dtype=float) for gold in masks])
    if any(map(any, masks)) and not all(map(all, masks)):
        assert all(value == pytest.approx(1.0) for name, value in metrics.items() if name != "average_precision")


@given(corpora, st.randoms(use_true_random=False))
def test_the_order_of_documents_means_nothing(cases: list[tuple[list[bool], list[bool]]], random: object) -> None:
    def scored(some: list[tuple[list[bool], list[bool]]]) -> dict[str, float]:
        documents = [document(as_text(gold)) for gold, _ in some]
        scores = [np.arange(len(kept)) % 3 / 2.0 for _, kept in some]
        return eraser_metrics(documents, [kept for _, kept in some], scores)

    other = list(cases)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert scored(cases) == pytest.approx(scored(other), abs=1e-12)


@given(pairs_of_flags)
def test_at_a_half_no_gold_span_is_found_twice(case: tuple[list[bool], list[bool]]) -> None:
    hits, kept, gold = span_counts(np.array(case[0]), np.array(case[1]))
    assert hits <= min(kept, gold)


def test_nothing_annotated_nothing_said() -> None:
    assert eraser_metrics([], []) == {}
    assert eraser_metrics([document(length=3)], [bits("111")]) == {}
    assert eraser_metrics([document("000")], [bits("111")], [np.ones(3)]) == {}


def test_one_document_and_empty_masks() -> None:
    metrics = eraser_metrics([document("110")], [bits("000")], [np.array([0.2, 0.3, 0.1])])
    close(metrics, iou_f1=0.0, iou_f1_micro=0.0, token_f1=0.0, auprc=1.0, average_precision=1.0)


def test_scores_must_fit() -> None:
    with pytest.raises(ValueError, match="expected 2 scores"):
        areas(np.array([True, False]), [1.0])
    with pytest.raises(ValueError, match="numbers"):
        areas(np.array([True, False]), [1.0, math.nan])
    with pytest.raises(ValueError, match="no recall"):
        areas(np.array([False]), [1.0])
    with pytest.raises(ValueError, match="shorter"):
        eraser_metrics([document("1"), document("1")], [bits("1")])
