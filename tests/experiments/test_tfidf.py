"""The linear model on tf-idf."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_rationale.errors import TrainingError
from pyro_rationale.experiments.baselines.tfidf import best_model


def test_a_linear_model_of_one_class_is_one_cell_that_failed() -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(TrainingError, match="all of one class"):
        best_model(True, np.ones((4, 2)), np.zeros(4), np.ones((2, 2)), np.zeros(2))
