"""Fitted estimators for all tests of the folder."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="package")
def fitted() -> dict[str, Any]:
    """One of each, to be read only."""
    from sklearn.exceptions import ConvergenceWarning  # not before a test has seen that it is installed

    from pyro_rationale.sklearn import RationaleClassifier
    from tests.support.tiny_estimators import LABELS, ONE, RATINGS, TEXTS, tiny

    some = RATINGS[:, :2].copy()
    some[::3, 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            "one": tiny().fit(TEXTS, ONE),
            "two": tiny().fit(TEXTS, some),
            "binary": tiny(RationaleClassifier).fit(TEXTS, LABELS),
            "three": tiny(RationaleClassifier, guide="chain").fit(TEXTS, np.digitize(ONE, [0.4, 0.6]) - 1),
        }
