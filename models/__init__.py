"""The generative programs: p(z) and p(y given x, z). Import this package as `pyro_rationale.models`."""

from pyro_rationale.models.ensemble import EnsembleModel
from pyro_rationale.models.latent_prior import LatentPriorModel, longer_runs
from pyro_rationale.models.likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    Likelihood,
    NormalLikelihood,
    OrdinalLikelihood,
)
from pyro_rationale.models.ranking import RankingModel
from pyro_rationale.models.rationale import RationaleModel

__all__ = [
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "EnsembleModel",
    "LatentPriorModel",
    "Likelihood",
    "NormalLikelihood",
    "OrdinalLikelihood",
    "RankingModel",
    "RationaleModel",
    "longer_runs",
]
