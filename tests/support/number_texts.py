"""The estimators for scikit-learn's own checks, which hand over tables of numbers: each row is written as a text."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, validate_data

from pyro_rationale.sklearn import RationaleClassifier, RationaleRegressor


def written(table: Any) -> list[str]:
    """`[[1.26, -3.0]]` as `["a13 b-30"]`: a word is a column and its number, rounded so that words recur."""
    return [" ".join(f"c{j}x{round(float(x)) % 7}" for j, x in enumerate(row)) for row in table]


class _Numbers:
    """Reads tables of numbers. What is checked of them here is not under test; all else is the estimator's own."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        if y is not None:
            check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False)
        table = validate_data(self, X, dtype=np.float64)
        return super().fit(written(table), y, sample_weight)  # type: ignore[misc]

    def _unlabelled(self, texts: Any) -> Any:
        if not hasattr(self, "fitted_"):
            return super()._unlabelled(["unfitted"])  # type: ignore[misc]
        table = validate_data(self, texts, dtype=np.float64, reset=False)
        return super()._unlabelled(written(table))  # type: ignore[misc]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = True
        tags.input_tags.string = False
        if tags.regressor_tags is not None:
            tags.regressor_tags.poor_score = True  # two steps of training
        if tags.classifier_tags is not None:
            tags.classifier_tags.poor_score = True
        return tags


class NumberRegressor(_Numbers, RationaleRegressor):
    """A regressor of tables of numbers."""


class NumberClassifier(_Numbers, RationaleClassifier):
    """A classifier of tables of numbers."""
