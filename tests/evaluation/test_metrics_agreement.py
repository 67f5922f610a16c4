"""Agreement with several annotators: by hand, and kappa against scikit-learn and a worked example."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from pyro_rationale.evaluation.metrics import agreement_metrics
from tests.evaluation.test_metrics_eraser import as_text, close
from tests.support.marked import bits, document

# Two documents with maps, one with a single map, one with gold alone.
DOCUMENTS = [
    document(maps=["1100", "1000", "0110"]),
    document(maps=["0011", "0001"]),
    document(maps=["1111"]),
    document("1111"),
]
MASKS = [bits("1000"), bits("0011"), bits("1111"), bits("0000")]


def test_f1_with_humans_by_hand() -> None:
    metrics = agreement_metrics(DOCUMENTS, MASKS)
    # Each: hits 1, 1, 0 and 2, 1; kept 1, 1, 1 and 2, 2; marked 2, 1, 2 and 2, 1.
    close(metrics, maps_f1_each=2 * 5 / (7 + 8))
    # Unions 1110 and 0011: hits 1 + 2, kept 1 + 2, marked 3 + 2.
    close(metrics, maps_f1_union=2 * 3 / (3 + 5))
    # Majorities (at least half) 1100 and 0011: hits 1 + 2, kept 3, marked 2 + 2.
    close(metrics, maps_f1_majority=2 * 3 / (3 + 4))
    close(metrics, maps=5 / 2)


def test_humans_among_themselves_by_hand() -> None:
    metrics = agreement_metrics(DOCUMENTS, MASKS)
    # Ordered pairs of 1100, 1000, 0110: hits 1, 1; 1, 0; 1, 0 and sizes 3, 4; 3, 3; 4, 3. Of 0011, 0001: 1, 1; 3, 3.
    close(metrics, humans_f1_each=2 * (4 + 2) / (20 + 6))
    # The others' unions: 1100|1110, 1000|1110, 0110|1100: hits 2, 1, 1, sizes 5, 4, 4; 0011|0001 and back: 1, 1; 3, 3.
    close(metrics, humans_f1_union=2 * (4 + 2) / (13 + 6))
    # At least half of two is either of them: the same as the union here.
    close(metrics, humans_f1_majority=2 * (4 + 2) / (13 + 6))


def test_masks_against_what_humans_are_measured_by() -> None:
    metrics = agreement_metrics(DOCUMENTS, MASKS)
    # 1000 against 1110, 1110, 1100: hits 1, 1, 1, sizes 4, 4, 3. 0011 against 0001, 0011: hits 1, 2, sizes 3, 4.
    close(metrics, left_out_f1_union=2 * (3 + 3) / (11 + 7), left_out_f1_majority=2 * (3 + 3) / (11 + 7))


def test_the_majority_of_three_differs_from_the_union() -> None:
    documents = [document(maps=["1100", "1000", "0010", "1000"])]
    metrics = agreement_metrics(documents, [bits("1000")])
    close(metrics, maps_f1_majority=1.0, maps_f1_union=2 / (1 + 3))
    # Without one of them: majorities (two of three) 1000, 1000, 1000, 1000.
    close(metrics, left_out_f1_majority=1.0, humans_f1_majority=2 * (1 + 1 + 0 + 1) / (3 + 2 + 2 + 2))


def test_kappa_against_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    maps, masks = rng.random((6, 2, 20)) < 0.3, rng.random((6, 20)) < 0.4
    metrics = agreement_metrics([document(maps=list(map(as_text, two))) for two in maps], masks.tolist())
    repeated = np.repeat(masks[:, None], 2, axis=1)
    close(metrics, maps_kappa=cohen_kappa_score(repeated.ravel(), maps.ravel()))


def test_kappa_of_two_annotators_is_that_of_scikit_learn_where_they_mark_as_much() -> None:
    """Fleiss's kappa of two is Scott's pi, which is Cohen's where both mark the same share."""
    one, other = "1110000000", "1001000010"
    metrics = agreement_metrics([document(maps=[one, other])], [bits("0" * 10)])
    close(metrics, humans_kappa=cohen_kappa_score(list(one), list(other)))


def test_fleiss_by_hand() -> None:
    # Marks by word 3, 2, 0, 1 of three annotators: pairs that agree 3/3, 1/3, 3/3, 1/3, mean 2/3. Share marked 6/12.
    metrics = agreement_metrics([document(maps=["1100", "1100", "1001"])], [bits("0000")])
    close(metrics, humans_kappa=(2 / 3 - 1 / 2) / (1 - 1 / 2))


def test_perfect_agreement() -> None:
    metrics = agreement_metrics([document(maps=["1100", "1100"])], [bits("1100")])
    assert {name: value for name, value in metrics.items() if name != "maps"} == dict.fromkeys(
        (name for name in metrics if name != "maps"), 1.0
    )


def test_nothing_marked_by_anybody() -> None:
    metrics = agreement_metrics([document(maps=["000", "000"])], [bits("000")])
    assert {value for name, value in metrics.items() if name != "maps"} == {0.0}


def test_no_maps_no_agreement() -> None:
    assert agreement_metrics([], []) == {}
    assert agreement_metrics([document("10"), document(maps=["11"])], [bits("10"), bits("11")]) == {}
    assert agreement_metrics([document(maps=["", ""])], [()]) == {}


def test_the_order_of_documents_and_annotators_means_nothing() -> None:
    rng = np.random.default_rng(3)
    maps, masks = rng.random((5, 3, 8)) < 0.4, rng.random((5, 8)) < 0.4
    one = agreement_metrics([document(maps=list(map(as_text, some))) for some in maps], masks.tolist())
    other = agreement_metrics(
        [document(maps=list(map(as_text, some[::-1]))) for some in maps[::-1]], masks[::-1].tolist()
    )
    assert one == pytest.approx(other)
