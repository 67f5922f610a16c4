"""Ranks of scored items: log probabilities of the relevant ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pyro_rationale.data.ranks import log_prob_of


def test_the_log_probability_averages_over_similar_texts_and_leaves_the_others_out() -> None:
    logits = np.array([2.0, 1.0, 0.0, -1.0])
    relevant = np.array([True, True, False, False])
    expected = [-x + math.log(math.exp(x) + math.exp(0.0) + math.exp(-1.0)) for x in (2.0, 1.0)]
    assert -log_prob_of(logits, relevant) == pytest.approx(np.mean(expected))
    assert math.isnan(log_prob_of(logits, np.zeros(4, dtype=bool)))
