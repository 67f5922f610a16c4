"""Positions of kept words, the norms of a mask, and attention beside the latent-variable model."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_rationale.data import load_corpus
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference import MaskELBO
from pyro_rationale.inference.norms import NormELBO
from pyro_rationale.study.attention import Attention
from pyro_rationale.study.positions import position_metrics
from small_fit import small
from tiny import exact, texts, tiny_guide, tiny_model


def document(size: int, opinion: list[bool] | None = None) -> Document:
    places = tuple((2 * i, 2 * i + 1) for i in range(size))
    marked = None if opinion is None else tuple(opinion)
    return Document("d", " ".join("w" * size), tuple("w" * size), places, (), None, marked)


def flags(size: int, *kept: int) -> list[bool]:
    return [t in kept for t in range(size)]


def test_positions_of_the_last_words() -> None:
    found = position_metrics([document(10), document(5)], [flags(10, 9), flags(5, 4)])
    assert found["position_mean"] == pytest.approx((0.95 + 0.9) / 2)
    assert found["position_last_fifth"] == 1.0
    assert found["position_distance"] == pytest.approx(1 - 2 / 15)  # two words of all 15 stand in the last tenth


def test_positions_are_held_against_the_words_that_carry_the_rating() -> None:
    carried = flags(10, 2, 7)
    assert position_metrics([document(10, carried)], [flags(10, 2, 7)])["position_distance"] == 0.0
    assert position_metrics([document(10, carried)], [flags(10, 2)])["position_distance"] == pytest.approx(0.5)


def test_nothing_kept_has_no_position() -> None:
    assert all(math.isnan(v) for v in position_metrics([document(4)], [flags(4)]).values())


def test_l1_of_a_discrete_mask_is_l0_in_expectation() -> None:
    model, guide, batch = tiny_model(), tiny_guide("independent"), texts()
    torch.manual_seed(0)
    estimate = NormELBO("l1", "rloo", 20000).estimate(model, guide, batch)
    torch.manual_seed(0)
    plain = MaskELBO("rloo", 20000).estimate(model, guide, batch)
    assert torch.allclose(estimate.kl, plain.kl, atol=0.05)
    assert not torch.equal(estimate.kl, plain.kl)


def test_l2_charges_the_root_of_the_number_of_words() -> None:
    model, guide, batch = tiny_model(), tiny_guide("independent"), texts()
    torch.manual_seed(0)
    estimate = NormELBO("l2", "rloo", 20000).estimate(model, guide, batch)
    for row, known in enumerate(exact(model, guide, batch)):
        counts = known.q.masks.sum(-1)
        excess = model.prior.alpha * float(known.q.expect(counts.sqrt() - counts).detach())
        want = float(known.q.expect(known.q.log_probs - known.p.log_probs).detach()) + excess
        assert float(estimate.kl[row]) == pytest.approx(want, abs=0.03)


def test_the_gradient_of_the_l2_norm_is_unbiased() -> None:
    model, guide, batch = tiny_model(), tiny_guide("independent"), texts()
    head = guide.head.bias  # type: ignore[union-attr]
    known = exact(model, guide, batch)
    total = sum(
        one.q.expect(one.kappa * one.log_likelihood + one.p.log_probs - model.prior.alpha * (c.sqrt() - c))
        + one.q.entropy
        for one in known
        for c in [one.q.masks.sum(-1)]
    )
    (want,) = torch.autograd.grad(total, head)
    torch.manual_seed(1)
    found = []
    for _ in range(400):
        estimate = NormELBO("l2", "rloo", 50).estimate(model, guide, batch)
        found.append(-torch.autograd.grad(estimate.surrogate, head)[0])
    draws = torch.stack(found)
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - want).abs() <= 4 * error).all()


def test_norms_that_are_none() -> None:
    with pytest.raises(ConfigError, match="--norm"):
        NormELBO("l3", "rloo", 2)
    with pytest.raises(ConfigError, match="recurrent"):
        NormELBO("l2", "rloo", 2).estimate(tiny_model(), tiny_guide("recurrent"), texts())


@pytest.fixture(scope="module")
def corpus() -> object:
    return load_corpus(DataOptions(documents=48))


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_attention_learns_and_keeps_the_share_of_words(kind: str, corpus) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    attention = Attention(small(guide="independent", steps=60, anneal=10), corpus, kind, share=0.1)
    batches = BucketedBatches(corpus.train, attention.vocabulary, corpus.spec, 48)
    batch = next(batches.ordered())
    torch.manual_seed(0)
    before = float(attention.loss(batch).detach())
    attention.fit()
    torch.manual_seed(0)
    assert float(attention.loss(batch).detach()) < before
    shares = attention.shares(batch)
    assert torch.allclose(shares.sum(-1), torch.ones(len(batch)))
    assert float(shares[~batch.mask].abs().sum()) == 0.0
    kept = attention.top(batch)
    assert torch.equal(kept.sum(-1).long(), attention.count(batch))
    assert float((kept * shares).sum(-1).min()) >= 0.1 - 1e-6  # the top tenth holds at least its share
    metrics = attention.measure(corpus.test)
    assert metrics["empty"] == 0.0
    assert ("error_reading_all" in metrics) == (kind == "soft")


def test_hard_attention_has_the_exact_gradient_on_average(corpus) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """One draw per document: the expectation is a sum over words."""
    attention = Attention(small(guide="independent"), corpus, "hard", share=0.001)
    batch = next(BucketedBatches(corpus.train, attention.vocabulary, corpus.spec, 4).ordered())
    bias = attention.guide.head.weight
    shares = attention.shares(batch)
    each = torch.eye(shares.shape[1])[:, None].expand(-1, len(batch), -1) * batch.mask
    costs = attention._cost(attention.model.encoder(batch.tokens, each, batch.lengths), batch)  # (T, B)
    (want,) = torch.autograd.grad((costs.detach().t() * shares).sum(-1).mean(), bias, retain_graph=True)
    entropy = -(shares * shares.clamp_min(1e-12).log()).sum(-1).mean()
    (spread,) = torch.autograd.grad(entropy, bias)
    torch.manual_seed(2)
    found = torch.stack([torch.autograd.grad(attention.loss(batch), bias)[0] for _ in range(1500)])
    error = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - (want - 0.01 * spread)).abs() <= 4.5 * error + 1e-7).all()
