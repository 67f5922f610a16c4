"""scikit-learn's own checks of the estimators: on texts it has one; on numbers written as texts, all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("sklearn")

from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from pyro_rationale.sklearn import RationaleClassifier, RationaleRegressor
from tests.support.number_texts import NumberClassifier, NumberRegressor


def each_check() -> pytest.MarkDecorator:
    """All checks of a regressor and of a classifier; those of the classifier that both have are slow."""
    options: dict[str, Any] = {"hidden": 2, "embedding": 2, "steps": 2, "anneal": 1, "min_count": 1}
    fails = {
        "check_sample_weight_equivalence_on_dense_data": "with the row twice batches are others: the objective is the "
        "row's twice (tests/inference/test_weights.py), the steps are not"
    }
    mark = parametrize_with_checks(
        [kind(**options, threads=1, device="cpu") for kind in (NumberRegressor, NumberClassifier)],
        expected_failed_checks=lambda _: fails,
    ).mark
    name_of, known, cases = mark.kwargs["ids"], set(), []
    for case in mark.args[1]:
        marks, (estimator, check) = getattr(case, "marks", ()), getattr(case, "values", case)
        common = name_of(check) in known
        cases.append(pytest.param(estimator, check, marks=[*marks, *[pytest.mark.slow] * common]))
        known.add(name_of(check))
    return pytest.mark.parametrize(("estimator", "check"), cases, ids=name_of)


@pytest.mark.filterwarnings("ignore")
@each_check()
def test_checks_of_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("kind", [RationaleRegressor, RationaleClassifier])
def test_its_checks_say_that_they_cannot_make_texts(kind: type[Any]) -> None:
    with pytest.warns(SkipTestWarning, match="Can't test estimator"):
        check_estimator(kind())
