"""Distributions over word masks: pure torch under Pyro's `TorchDistribution`; no texts, no networks."""

from __future__ import annotations

from pyro_rationale.distributions.autoregressive import RecurrentMask
from pyro_rationale.distributions.base import MaskDistribution
from pyro_rationale.distributions.chain import LinearChain
from pyro_rationale.distributions.hardkuma import HardKumaMask, HardKumaraswamy
from pyro_rationale.distributions.independent import IndependentMask
from pyro_rationale.distributions.kl import cross_energy, sequential_entropy, sequential_kl
from pyro_rationale.distributions.mixture import MixtureMask
from pyro_rationale.distributions.nonempty import NonEmptyMask
from pyro_rationale.distributions.prior import (
    AspectPriors,
    ChainPrior,
    Constraint,
    TensorChainPrior,
    fit_prior,
    priors_of,
)
from pyro_rationale.distributions.relaxed import RelaxedMask
from pyro_rationale.distributions.units import UnitMask

Prior = LinearChain | NonEmptyMask | UnitMask  # what p(z) of a batch can be

__all__ = [
    "AspectPriors",
    "ChainPrior",
    "Constraint",
    "HardKumaMask",
    "HardKumaraswamy",
    "IndependentMask",
    "LinearChain",
    "MaskDistribution",
    "MixtureMask",
    "NonEmptyMask",
    "Prior",
    "RecurrentMask",
    "RelaxedMask",
    "TensorChainPrior",
    "UnitMask",
    "cross_energy",
    "fit_prior",
    "priors_of",
    "sequential_entropy",
    "sequential_kl",
]
