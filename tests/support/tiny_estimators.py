"""Estimators whose fit takes a fraction of a second, and texts with ratings and labels for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyro_rationale.data import DataOptions
from pyro_rationale.data.corpora.synthetic import load_synthetic
from pyro_rationale.sklearn import RationaleRegressor

TINY: dict[str, Any] = {
    **{"hidden": 6, "embedding": 6, "steps": 10, "anneal": 4, "batch_size": 16, "max_words": 50},
    **{"threads": 1, "device": "cpu", "preset": "planted"},
}
DOCUMENTS = load_synthetic(DataOptions(documents=60, aspect="all")).train
TEXTS = [document.text for document in DOCUMENTS]
RATINGS = np.array([document.targets for document in DOCUMENTS])
ONE = RATINGS[:, 0]
LABELS = np.where(np.median(ONE) < ONE, "good", "bad")
UNSEEN = ["A lovely head <b>& a dull</b> taste!", "Good.", "zzz \u202e qqq"]


def tiny(kind: type[Any] = RationaleRegressor, **options: Any) -> Any:
    """An estimator whose fit takes a fraction of a second."""
    return kind(**{**TINY, **options})
