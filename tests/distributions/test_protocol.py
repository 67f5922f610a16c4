"""Each mask distribution answers for itself: its discrete twin, its chain, another prior, conditionals and the KL."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch

from pyro_rationale.distributions import LinearChain, MaskDistribution, RelaxedMask
from tests.support.tiny import texts, tiny_guide, tiny_model

CLOSED = pytest.mark.parametrize("name", ["independent", "relaxed", "chain", "hardkuma"])


@CLOSED
def test_as_chain_is_the_same_distribution(name: str) -> None:
    q = tiny_guide(name).posterior(texts()).discrete()
    chain = q.as_chain()
    assert chain is not None
    z = q.sample(torch.Size([5]))
    torch.testing.assert_close(chain.log_prob(z), q.log_prob(z))
    torch.testing.assert_close(chain.mean, q.mean)


@CLOSED
def test_word_log_probs_add_up(name: str) -> None:
    q = tiny_guide(name).posterior(texts()).discrete()
    z = q.sample(torch.Size([5]))
    torch.testing.assert_close(q.word_log_probs(z).sum(-1), q.log_prob(z))


def test_a_distribution_of_ones_own_has_a_kl_to_the_prior() -> None:
    class Shifted(MaskDistribution):
        """Answers only for its moments."""

        mean = change = torch.zeros(())
        _device = torch.device("cpu")

    batch = texts()
    inner = tiny_guide("chain").posterior(batch)
    q = Shifted(inner.batch_shape, batch.tokens.shape[1], batch.lengths)
    for name in ("mean", "change"):
        setattr(Shifted, name, getattr(inner, name))
    q.entropy = inner.entropy  # type: ignore[method-assign]
    p = tiny_model().prior.distribution(batch.lengths, batch.tokens.shape[1], torch.float64)
    torch.testing.assert_close(dist.kl.kl_divergence(q, p), dist.kl.kl_divergence(inner, p))
    with pytest.raises(NotImplementedError, match="Shifted has no closed form under another prior"):
        q.tilt(0.1)


def test_what_has_no_closed_form_says_so() -> None:
    q = tiny_guide("recurrent").posterior(texts())
    assert not q.has_exact_marginals
    assert q.as_chain() is None
    assert q.discrete() is q
    with pytest.raises(NotImplementedError, match="RecurrentMask has no closed form"):
        dist.kl.kl_divergence(q, LinearChain(torch.zeros(len(texts()), texts().tokens.shape[1]), 0.0))


def test_relaxed_samples_are_tilted_as_discrete_ones() -> None:
    logits = torch.tensor([[0.3, -0.2, 1.0]])
    torch.testing.assert_close(RelaxedMask(logits).tilt(0.5).mean, torch.sigmoid(logits - 0.5))
