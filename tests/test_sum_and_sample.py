"""`sum-and-sample`: which masks are summed, which drawn, with which weights; and its gradient against enumeration."""

from __future__ import annotations

import pytest
import torch

from estimator_checks import DOCUMENTS, HARD, TAUS, exact_gradient, gradients, z_scores
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference import MaskELBO
from tiny import replicate, tiny_guide, tiny_model

SHARPNESS = (0.3, 1.0, 4.0)  # undecided, as it comes, nearly certain


def sharpened(name: str, factor: float) -> RationaleGuide:
    guide = tiny_guide(name)
    with torch.no_grad():
        for part, parameter in guide.named_parameters():
            if part.startswith(("head", "joint", "cell.direct", "cell.output")):
                parameter.mul_(factor)
    return guide


def posterior(name: str, factor: float, copies: int = 1) -> MaskDistribution:
    with torch.no_grad():
        return sharpened(name, factor).posterior(replicate(DOCUMENTS, copies))


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("factor", SHARPNESS)
@pytest.mark.parametrize("name", HARD)
def test_unbiased(name: str, factor: float, tau: float) -> None:
    """In the features, and in the encoder's output: at K = 2 and 4, whatever share of the probability is summed."""
    model, guide = tiny_model(kappa=1.5), sharpened(name, factor)
    right = exact_gradient(model, guide, tau)
    for samples in (2, 4):
        found = gradients(MaskELBO("sum-and-sample", samples, tau), model, guide)
        assert z_scores(found, right).abs().max() < 4
