"""REINFORCE without a baseline (Williams 1992): with one sample, the estimator of Lei et al. (2016)."""

from __future__ import annotations

from pyro_rationale.inference.estimators._score_function import ScoreFunction


class Reinforce(ScoreFunction):
    """The plain score function; unbiased, and of high variance."""


REGISTERED = Reinforce
