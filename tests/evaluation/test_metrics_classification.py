"""Figures of classes against scikit-learn's, and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.evaluation.evaluate import compute
from pyro_rationale.evaluation.metrics import MetricInputs
from pyro_rationale.evaluation.metrics.classification import (
    area_under_roc,
    class_figures,
    class_statistics,
    confusion_matrix,
    mean_area,
)
from pyro_rationale.evaluation.significance import intervals

NAN = float("nan")
LABELS = ("a", "b", "c", "d")


def draws(seed: int, count: int = 60, classes: int = 4) -> tuple[Any, Any]:
    """True classes, the last of which is never true, and probabilities of few different values."""
    random = np.random.default_rng(seed)
    true = random.choice(classes - 1, count, p=[0.8, 0.15, 0.05])
    scores = np.round(random.gamma(1.0, size=(count, classes)) + 1.5 * np.eye(classes)[true], 1) + 0.05
    return true, scores / scores.sum(1, keepdims=True)


def documents(targets: Any) -> list[Document]:
    return [Document(str(i), "x", ("x",), ((0, 1),), tuple(row)) for i, row in enumerate(targets)]


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    true, probabilities = draws(seed)
    guess = probabilities.argmax(1)
    matrix = confusion_matrix(true, guess, 4)
    np.testing.assert_array_equal(matrix, reference.confusion_matrix(true, guess, labels=range(4)))
    precision, recall, f1, count = reference.precision_recall_fscore_support(
        true, guess, labels=range(4), zero_division=0
    )
    for i, row in enumerate(class_figures(matrix, LABELS).values()):
        expected = (count[i], precision[i], recall[i], f1[i])
        assert tuple(row.values()) == pytest.approx(expected)
    found = class_statistics(true, guess, 4)
    assert found["macro_f1"].value == pytest.approx(reference.f1_score(true, guess, average="macro"))
    seen = np.unique(true)
    assert found["balanced_accuracy"].value == pytest.approx(recall[seen].mean())
    one = reference.roc_auc_score(true == 0, probabilities[:, 0])
    assert area_under_roc(probabilities[:, 0], true == 0) == pytest.approx(one)
    areas = [reference.roc_auc_score(true == i, probabilities[:, i]) for i in seen]
    assert mean_area(probabilities, true) == pytest.approx(np.mean(areas))


def test_who_always_says_the_commonest_class() -> None:
    """Accuracy is 95 %, and nothing else speaks for it."""
    true = np.repeat([0, 1], [95, 5])
    found = class_statistics(true, np.zeros(100, dtype=int), 2)
    assert found["balanced_accuracy"].value == 0.5
    assert found["macro_f1"].value == pytest.approx((2 * 95 / 195) / 2)
    assert mean_area(np.full((100, 2), 0.5), true) == 0.5
    assert math.isnan(mean_area(np.full((3, 2), 0.5), np.zeros(3, dtype=int)))


def test_one_target_has_a_table_of_its_classes() -> None:
    spec = TargetSpec("binary", ("kind",), classes=("ham", "spam"))
    texts = documents([[0.0], [0.0], [1.0], [NAN]])
    found = compute(MetricInputs(texts, spec, values=np.array([[0.2], [0.9], [0.8], [0.1]])))
    assert found.metrics["confusion"] == {"ham": {"ham": 1, "spam": 1}, "spam": {"ham": 0, "spam": 1}}
    assert found.metrics["classes"]["spam"] == {"documents": 1, "precision": 0.5, "recall": 1.0, "f1": 2 / 3}
    assert found.metrics["balanced_accuracy"] == 0.75
    assert found.metrics["auc"] == 0.5
    low, high = intervals({"f1": found.statistics["macro_f1"]}, 50)["f1"]
    assert 0.0 <= low <= high <= 1.0


def test_the_average_over_masks_is_what_the_table_is_of() -> None:
    spec = TargetSpec("multiclass", ("kind",), classes=("a", "b", "c"))
    one, average = np.eye(3), np.eye(3)[[0, 1, 1]]
    metrics = compute(MetricInputs(documents([[0.0], [1.0], [2.0]]), spec, values=one, averaged=average)).metrics
    assert (metrics["macro_f1"], metrics["averaged_macro_f1"]) == (1.0, pytest.approx((1 + 2 / 3) / 3))
    assert metrics["confusion"]["c"] == {"a": 0, "b": 1, "c": 0}


def test_several_targets_have_their_own_and_their_mean() -> None:
    spec = TargetSpec("binary", ("good", "cheap", "new"), classes=("no", "yes"))
    texts = documents([[1.0, 0.0, NAN], [0.0, NAN, NAN], [1.0, 1.0, NAN]])
    metrics = compute(MetricInputs(texts, spec, values=np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.5], [0.4, 0.8, 0.5]])))
    good, cheap = metrics.metrics["aspects"]["good"], metrics.metrics["aspects"]["cheap"]
    assert cheap["confusion"] == {"no": {"no": 1, "yes": 0}, "yes": {"no": 0, "yes": 1}}
    assert good["balanced_accuracy"] == 0.75
    assert metrics.metrics["balanced_accuracy"] == 0.875
    assert "confusion" not in metrics.metrics
    assert "confusion" not in metrics.metrics["aspects"].get("new", {})


def test_a_target_of_one_class_leaves_the_mean_area_to_the_others() -> None:
    spec = TargetSpec("binary", ("good", "cheap"), classes=("no", "yes"))
    texts, values = documents([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.9, 0.8], [0.2, 0.7]])
    assert compute(MetricInputs(texts, spec, values=values)).metrics["auc"] == 1.0
    alone = compute(MetricInputs(texts[:1], spec, values=values[:1])).metrics
    assert np.isnan(alone["auc"])


def test_ratings_have_no_classes() -> None:
    spec = TargetSpec("regression", ("stars",), ((1.0, 5.0),))
    assert "macro_f1" not in compute(MetricInputs(documents([[3.0]]), spec, values=np.array([[2.0]]))).metrics
