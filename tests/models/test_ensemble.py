"""Models and guides side by side: the joint density, by hand, and the parts of a prediction."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro import poutine

from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import MixtureGuide
from pyro_rationale.models import EnsembleModel
from pyro_rationale.models.program import local_parameters
from tests.support.tiny import PRIOR, texts, tiny_guide, tiny_model

KINDS = pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])


@KINDS
def test_the_joint_density_is_the_prior_s_times_the_mean_likelihood(kind: str) -> None:
    """Unknown targets (NaN) are left out in every member."""
    members = [tiny_model(kind, seed=seed) for seed in (1, 2, 3)]
    ensemble, batch = EnsembleModel(members), texts(kind=kind)
    z = tiny_guide("chain").posterior(batch).sample()
    with local_parameters():
        trace = poutine.trace(poutine.condition(ensemble, {"z": z})).get_trace(batch)
    trace.compute_log_prob()
    assert batch.targets is not None
    observed = [m.likelihood.observe(m.encoder(batch.tokens, z, batch.lengths), batch.targets) for m in members]
    each = torch.stack([law.log_prob(known) for law, known in observed])
    torch.testing.assert_close(trace.nodes["y"]["log_prob"], each.exp().mean(0).log())
    prior = PRIOR.distribution(batch.lengths, batch.tokens.shape[1], torch.float64)
    torch.testing.assert_close(trace.nodes["z"]["log_prob"], prior.log_prob(z))


@KINDS
def test_the_prediction_is_the_mixture_of_its_components(kind: str) -> None:
    members = [tiny_model(kind, seed=seed) for seed in (1, 2, 3)]
    ensemble, batch = EnsembleModel(members), texts(kind=None)
    z = tiny_guide("chain").posterior(batch).sample(torch.Size([2]))
    with torch.no_grad():
        parts, whole = ensemble.components(batch, z), ensemble.predictive(batch, z)
    assert len(parts) == 3
    name = "probs" if kind == "multiclass" else "mean"
    each = torch.stack([getattr(part, name) for part in parts])
    torch.testing.assert_close(getattr(whole, name), each.mean(0))
    torch.manual_seed(0)
    draws = whole.sample(torch.Size([4000]))
    if kind == "multiclass":
        shares = torch.nn.functional.one_hot(draws, 3).double().mean(0)
        torch.testing.assert_close(shares, whole.probs, atol=0.04, rtol=0)
    else:
        torch.testing.assert_close(draws.mean(0), whole.mean, atol=0.06, rtol=0)
        torch.testing.assert_close(draws.var(0), whole.variance, atol=0.06, rtol=0.06)


def test_inclusion_is_the_mean_over_the_guides() -> None:
    members = [tiny_guide("chain", seed=seed) for seed in (1, 2)]
    guide, batch = MixtureGuide(members), texts()
    q = guide.posterior(batch)
    torch.testing.assert_close(q.mean, (members[0].posterior(batch).mean + members[1].posterior(batch).mean) / 2)
    with local_parameters(), pyro.plate_stack("samples", (7,), rightmost_dim=-2):
        assert guide(batch).shape == (7, 3, batch.tokens.shape[1])


def test_it_has_no_loss() -> None:
    ensemble, batch = EnsembleModel([tiny_model(seed=1), tiny_model(seed=2)]), texts()
    outputs = ensemble.encoder(batch.tokens, batch.mask.double(), batch.lengths)
    assert batch.targets is not None
    with pytest.raises(ConfigError, match="name one of its members"):
        ensemble.likelihood.loss(outputs, batch.targets)
    assert ensemble.likelihood.noise == pytest.approx(0.5)
    assert ensemble.gain == pytest.approx(tiny_model().gain)
