"""The registry of metrics, and the one composition of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from rich.console import Console

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.evaluation.evaluate import compute
from pyro_rationale.evaluation.metrics import METRICS, Metric, MetricFamily, MetricInputs, every_metric, metric_named
from pyro_rationale.evaluation.statistic import average
from pyro_rationale.reporting.console import format_value, metrics_table
from tests.support.marked import bits, document

RATING = TargetSpec("regression", ("stars",), ((1.0, 5.0),))
DOCUMENTS = [document("1100", targets=(2.0,)), document("0011", targets=(float("nan"),))]
MASKS = [bits("1000"), bits("0011")]
VALUES = np.array([[3.0], [4.0]])


@pytest.fixture
def first_word() -> Iterator[None]:
    """A metric of a user's own."""
    METRICS["first-word"] = MetricFamily(
        (Metric("first_word", "first word kept", "%"),),
        lambda inputs: {"first_word": average([mask[0] for mask in inputs.masks or ()])},
    )
    yield
    del METRICS["first-word"]


def test_a_family_is_computed_where_its_needs_are_met() -> None:
    assert compute(MetricInputs(DOCUMENTS, RATING)).metrics == {"documents": 2}
    predicted = compute(MetricInputs(DOCUMENTS, RATING, values=VALUES)).metrics
    assert predicted == {"documents": 2, "mse": 1.0, "mse_scaled": 1 / 16, "mae": 1.0}
    masked = compute(MetricInputs(DOCUMENTS, RATING, MASKS)).metrics
    assert masked["f1"] == pytest.approx(6 / 7)
    assert "iou_f1" in masked
    assert "mse" not in masked
    assert "auprc" not in masked
    ranked = compute(MetricInputs(DOCUMENTS, RATING, MASKS, scores=[np.array(m, dtype=float) for m in MASKS])).metrics
    assert ranked["auprc"] > 0.5


def test_coverage_counts_known_targets() -> None:
    intervals = np.array([[[1.0, 2.5]], [[1.0, 1.5]]])
    assert compute(MetricInputs(DOCUMENTS, RATING, intervals=intervals)).metrics["covered"] == 1.0


@pytest.mark.usefixtures("first_word")
def test_a_metric_of_a_users_own_is_computed_and_shown() -> None:
    evaluation = compute(MetricInputs(DOCUMENTS, RATING, MASKS))
    assert evaluation.metrics["first_word"] == 0.5
    assert evaluation.statistics["first_word"].value == 0.5
    console = Console(width=80)
    with console.capture() as captured:
        console.print(metrics_table(evaluation.metrics))
    assert "first word kept" in captured.get()
    assert format_value("first_word", 0.5) == "50.0 %"


def test_names_are_unique_and_computed_metrics_are_known() -> None:
    names = [metric.name for metric in every_metric()]
    assert len(names) == len(set(names))
    scores = [np.array(mask, dtype=float) for mask in MASKS]
    found = compute(MetricInputs(DOCUMENTS, RATING, MASKS, VALUES, scores, lexicon={"w"})).metrics
    assert [name for name in found if metric_named(name) is None] == []
