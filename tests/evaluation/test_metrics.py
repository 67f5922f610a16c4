"""Every metric against a figure worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.evaluation.metrics import (
    Predictions,
    count_runs,
    lexicon_metrics,
    prediction_metrics,
    rationale_metrics,
    selection_metrics,
)
from pyro_rationale.evaluation.metrics.selection import shared_statistics
from pyro_rationale.evaluation.statistic import values_of


def bits(pattern: str) -> tuple[bool, ...]:
    return tuple(c == "1" for c in pattern)


def document(gold: str | None = None, opinion: str | None = None, words: str = "") -> Document:
    tokens = tuple(words.split()) if words else tuple("w" for _ in gold or opinion or "")
    return Document(
        id="d",
        text=" ".join(tokens),
        tokens=tokens,
        offsets=tuple((2 * i, 2 * i + 1) for i in range(len(tokens))),
        gold=None if gold is None else bits(gold),
        opinion=None if opinion is None else bits(opinion),
    )


def close(metrics: dict, **expected: float) -> None:
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize(
    ("mask", "runs"), [("", 0), ("0", 0), ("1", 1), ("0110", 1), ("101", 2), ("1101011", 3), ("000", 0)]
)
def test_runs(mask: str, runs: int) -> None:
    assert count_runs(bits(mask)) == runs


def test_selection_is_pooled_over_words() -> None:
    masks = [bits("1101"), bits("000000"), bits("11")]
    # 5 of 12 words, in the runs 11, 1, 11; one document of three is empty.
    close(selection_metrics(masks), selected=5 / 12, span=5 / 3, empty=1 / 3)


def test_selection_of_nothing() -> None:
    assert selection_metrics([bits("00")]) == {"selected": 0.0, "span": 0.0, "empty": 1.0}
    assert selection_metrics([]) == {"selected": 0.0, "span": 0.0, "empty": 0.0}


def test_words_that_several_targets_of_a_text_keep() -> None:
    """A text has targets 0 and 1, and one has 0 and 2: one of seven kept words is kept once only."""
    rows = [replace(document(words="a b c d"), aspect=aspect) for aspect in (0, 1, 0, 2)]
    masks = [bits("1100"), bits("0100"), bits("0011"), bits("0011")]
    assert values_of(shared_statistics(rows, masks)) == {"shared": pytest.approx(6 / 7)}
    apart = [bits("1100"), bits("0011"), bits("1000"), bits("0000")]
    assert values_of(shared_statistics(rows, apart)) == {"shared": 0.0}



def test_rationale_metrics_by_hand() -> None:
    documents = [
        document("1100", "1000"),
        document("0011", "0001"),
        document("000000", "000000"),  # annotated: nothing here speaks of the aspect
        document("1111", "0110"),
        document(words="not annotated at all"),
    ]
    masks = [bits("0110"), bits("0000"), bits("100000"), bits("1110"), bits("1111")]
    # hits 1 + 0 + 0 + 3 = 4; kept 2 + 0 + 1 + 3 = 6; gold 2 + 2 + 0 + 4 = 8, of 18 annotated words.
    metrics = rationale_metrics(documents, masks)
    close(metrics, precision=4 / 6, recall=4 / 8, f1=2 * 4 / (6 + 8), gold=8 / 18)
    # Over documents with gold words: precisions 1/2, 0, 1; recalls 1/2, 0, 3/4; F1 2/4, 0, 6/7.
    close(metrics, precision_macro=1.5 / 3, recall_macro=1.25 / 3, f1_macro=(1 / 2 + 6 / 7) / 3)
    # Over documents that keep something: 1/2, 0 (the third keeps a word in vain), 1. The empty one is forgiven.
    close(metrics, precision_lei=1.5 / 3)
    # Opinion words: 1 + 1 + 0 + 2 = 4, of which kept 0 + 0 + 0 + 2.
    close(metrics, opinion_recall=2 / 4)


def test_the_authors_precision_forgives_empty_masks() -> None:
    documents = [document("1100"), document("1100")]
    metrics = rationale_metrics(documents, [bits("1000"), bits("0000")])
    close(metrics, precision_lei=1.0, precision_macro=0.5, precision=1.0, recall=0.25, recall_macro=0.25)


def test_nothing_kept_anywhere() -> None:
    metrics = rationale_metrics([document("1100", "1000")], [bits("0000")])
    for name in ("precision", "recall", "f1", "precision_macro", "f1_macro", "precision_lei", "opinion_recall"):
        assert metrics[name] == 0.0, name


def test_keys_appear_only_with_gold() -> None:
    assert rationale_metrics([document(words="no gold here")], [bits("111")]) == {}
    assert rationale_metrics([document("000")], [bits("111")]) == {}
    assert "opinion_recall" not in rationale_metrics([document("110")], [bits("111")])


def test_masks_and_documents_must_match_in_number() -> None:
    with pytest.raises(ValueError, match="shorter"):
        rationale_metrics([document("1"), document("1")], [bits("1")])


def test_lexicon_lift_by_hand() -> None:
    documents = [document(words="a good beer with a bad label"), document(words="good good thing")]
    masks = [bits("0110010"), bits("100")]
    # In the lexicon: good, bad, good, good = 4 of 10 words; kept: good beer bad, good: 3 of 4.
    metrics = lexicon_metrics(documents, masks, {"good", "bad"})
    close(metrics, lexicon_kept=3 / 4, lexicon_base=4 / 10, lexicon_lift=(3 / 4) / (4 / 10))


def test_lexicon_without_a_single_match() -> None:
    metrics = lexicon_metrics([document(words="a b")], [bits("10")], {"good"})
    assert metrics["lexicon_base"] == 0.0
    assert math.isnan(metrics["lexicon_lift"])


def test_regression_by_hand() -> None:
    spec = TargetSpec("regression", ("taste", "look"), ranges=((0.0, 10.0), (1.0, 5.0)))
    nan = float("nan")
    predictions = Predictions(np.array([[4.0, 2.0], [9.0, 5.0]]), np.array([[5.0, nan], [7.0, 1.0]]))
    metrics = prediction_metrics(spec, predictions)
    # Errors: -1, unrated; 2, 4. Scaled: -.1; .2, 1.
    close(metrics, mse=(1 + 4 + 16) / 3, mae=(1 + 2 + 4) / 3, mse_scaled=(0.01 + 0.04 + 1) / 3)
    close(metrics["aspects"]["taste"], mse=2.5, mae=1.5, mse_scaled=0.025)
    close(metrics["aspects"]["look"], mse=16.0, mae=4.0, mse_scaled=1.0)


def test_one_target_has_no_aspects_and_an_unrated_aspect_no_figures() -> None:
    one = TargetSpec("regression", ("taste",), ranges=((0.0, 10.0),))
    assert "aspects" not in prediction_metrics(one, Predictions(np.ones((2, 1)), np.zeros((2, 1))))
    two = TargetSpec("regression", ("taste", "look"), ranges=((0.0, 10.0), (0.0, 10.0)))
    metrics = prediction_metrics(two, Predictions(np.ones((1, 2)), np.array([[0.0, float("nan")]])))
    assert metrics["aspects"]["look"] == {}


def test_no_known_target_gives_no_metric() -> None:
    spec = TargetSpec("regression", ("taste",), ranges=((0.0, 10.0),))
    assert prediction_metrics(spec, Predictions(np.ones((2, 1)), np.full((2, 1), np.nan))) == {}


def test_a_prediction_that_is_not_a_number_is_not_hidden() -> None:
    spec = TargetSpec("regression", ("taste",), ranges=((0.0, 10.0),))
    metrics = prediction_metrics(spec, Predictions(np.array([[np.nan], [1.0]]), np.zeros((2, 1))))
    assert math.isnan(metrics["mse"])


def test_binary_by_hand() -> None:
    spec = TargetSpec("binary", ("positive",), classes=("no", "yes"))
    predictions = Predictions(np.array([[0.8], [0.4], [0.7], [0.9]]), np.array([[1.0], [1.0], [0.0], [np.nan]]))
    metrics = prediction_metrics(spec, predictions)
    close(metrics, accuracy=1 / 3, log_loss=-(math.log(0.8) + math.log(0.4) + math.log(0.3)) / 3)


def test_several_labels_are_told_apart() -> None:
    spec = TargetSpec("binary", ("a", "b"), classes=("no", "yes"))
    metrics = prediction_metrics(spec, Predictions(np.array([[0.8, 0.8]]), np.array([[1.0, 0.0]])))
    close(metrics, accuracy=0.5)
    close(metrics["aspects"]["a"], accuracy=1.0, log_loss=-math.log(0.8))
    close(metrics["aspects"]["b"], accuracy=0.0, log_loss=-math.log(0.2))


def test_multiclass_by_hand() -> None:
    spec = TargetSpec("multiclass", ("topic",), classes=("x", "y", "z"))
    values = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.0, 1.0, 0.0]])
    metrics = prediction_metrics(spec, Predictions(values, np.array([[0.0], [1.0], [1.0]])))
    close(metrics, accuracy=2 / 3, log_loss=-(math.log(0.5) + math.log(0.2)) / 3)


def test_log_loss_stays_finite() -> None:
    spec = TargetSpec("binary", ("positive",), classes=("no", "yes"))
    metrics = prediction_metrics(spec, Predictions(np.array([[0.0]]), np.array([[1.0]])))
    close(metrics, accuracy=0.0, log_loss=-math.log(1e-7))
