"""A small model and guides with masks for each of two targets."""

from __future__ import annotations

from typing import Any

import torch

from pyro_rationale.distributions import AspectPriors, ChainPrior
from pyro_rationale.guides import GUIDES, RationaleGuide
from pyro_rationale.models import RationaleModel
from tests.support.tiny import PRIOR, tiny_guide, tiny_model

PRIORS = AspectPriors((PRIOR, ChainPrior.from_rate_span(0.5, 2.2)))


def two_targets(kind: str = "regression", kappa: float = 1.5) -> RationaleModel:
    """A model of two targets with a prior for each."""
    one = tiny_model(kind, kappa)
    model = RationaleModel(one.encoder, one.likelihood, PRIOR, kappa, aspects=2).double()
    model.prior = PRIORS
    model.steering = PRIORS.changed(gamma=0.3)
    return model


def two_heads(name: str) -> RationaleGuide:
    """A guide with a head for each of two targets."""
    one = tiny_guide(name)
    options: dict[str, Any] = {"width": 3} if name == "recurrent" else {}
    guide = GUIDES[name](one.generator, aspects=2, **options).double()
    torch.manual_seed(5)
    with torch.no_grad():
        for part, parameter in guide.named_parameters():
            if part.startswith(("head", "joint", "cell")):
                parameter.add_(torch.randn_like(parameter) * 0.8)
    return guide
