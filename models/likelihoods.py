"""Likelihoods p(y | x, z); each stands with its task in :mod:`pyro_rationale.tasks`."""

from pyro_rationale.tasks import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    Likelihood,
    NormalLikelihood,
    OrdinalLikelihood,
)

__all__ = ["BernoulliLikelihood", "CategoricalLikelihood", "Likelihood", "NormalLikelihood", "OrdinalLikelihood"]
