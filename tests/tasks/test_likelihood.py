"""The contract of every likelihood: its distribution, its loss and its noise agree."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_rationale.tasks import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    Likelihood,
    NormalLikelihood,
    OrdinalLikelihood,
    TargetSpec,
    task_of,
)
from tests.support.tiny import SPECS


def test_likelihoods_follow_the_target() -> None:
    kinds = {
        "regression": NormalLikelihood, "binary": BernoulliLikelihood, "multiclass": CategoricalLikelihood,
        "ordinal": OrdinalLikelihood,
    }  # fmt: skip
    for kind, spec in SPECS.items():
        likelihood = task_of(spec).make_likelihood()
        assert type(likelihood) is kinds[kind]
        assert likelihood.width == task_of(spec).width
        assert likelihood.event_dim == len(likelihood(torch.zeros(4, task_of(spec).width)).event_shape)


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass", "ordinal"])
def test_our_likelihoods_obey_the_contract(kind: str) -> None:
    spec, targets = {
        "regression": (TargetSpec(kind, ("a", "b"), ((0.0, 1.0),) * 2), torch.tensor([[0.1, 0.9], [0.4, math.nan]])),
        "binary": (TargetSpec(kind, ("a", "b"), classes=("no", "yes")), torch.tensor([[1.0, 0.0], [0.0, math.nan]])),
        "multiclass": (TargetSpec(kind, ("a",), classes=("x", "y", "z")), torch.tensor([2, 0])),
        "ordinal": (
            TargetSpec(kind, ("a", "b"), ((1.0, 5.0), (0.0, 2.0)), levels=(5, 3)),
            torch.tensor([[0.25, 1.0], [0.5, math.nan]]),
        ),
    }[kind]
    check_contract(task_of(spec).make_likelihood(0.1), targets)


def check_contract(likelihood: Likelihood, targets: torch.Tensor) -> None:
    """Compare the distribution with the stated loss, and the noise with its inverse."""
    outputs = torch.randn(2, likelihood.width, generator=torch.Generator().manual_seed(1))
    distribution, known = likelihood.observe(outputs, targets)
    count = (~targets.isnan()).sum(-1) if targets.dim() > 1 else torch.ones(2)
    stated = -likelihood.gain(1.0) * likelihood.loss(outputs, targets).sum(-1) - count * likelihood.log_normalizer()
    assert distribution.log_prob(known).tolist() == pytest.approx(stated.tolist(), rel=1e-5)
    assert likelihood.kappa_for(likelihood.gain(3.0)) == pytest.approx(3.0)
    if likelihood.noise is not None:
        best = likelihood.best_log_likelihood(0.4, 2.0)
        likelihood.fit_noise(0.2)
        assert best == pytest.approx(-2 * likelihood.log_normalizer() - likelihood.gain(1.0) * 0.4, rel=1e-5)
