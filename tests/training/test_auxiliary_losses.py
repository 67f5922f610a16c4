"""`--any-rate`, of which the guide hears nothing; random runs; salient words, from which a guide may start."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import IndependentMask
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.training.auxiliary_losses import (
    LEAST,
    at_any_share,
    imitation_loss,
    random_runs,
    salient_words,
)
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun
from tests.support.small_fit import small
from tests.support.tiny import in_sentences, texts


def fit_of(folder: Path, **options: Any) -> tuple[TrainingRun, Batch]:
    fit = prepare_run(small(**options), folder)
    return fit, next(iter(fit.trainer.batches.epoch(0)))


@pytest.mark.parametrize("guide", ["chain", "relaxed", "hardkuma", "recurrent"])
def test_a_share_of_each_text(tmp_path: Path, guide: str) -> None:
    fit, batch = fit_of(tmp_path / "run", guide=guide, tau=None)
    fit.fitted.eval()
    torch.manual_seed(0)
    masks = torch.stack([at_any_share(fit.fitted.guide, batch) for _ in range(40)])
    assert masks.dtype == torch.bool
    assert not bool((masks & ~batch.mask).any())
    shares = masks.sum(-1) / batch.lengths
    assert bool((shares >= LEAST).all())
    assert float(shares.mean()) == pytest.approx(0.5 * (1.0 + LEAST) + float((0.5 / batch.lengths).mean()), abs=0.03)
    assert float(shares.std()) == pytest.approx((1.0 - LEAST) / 12**0.5, abs=0.03)  # even, and each document its own


class Given:
    """A guide whose marginals have given logits, in every document."""

    def __init__(self, logits: list[float]) -> None:
        self.logits = torch.tensor(logits)

    def posterior(self, batch: Batch) -> IndependentMask:
        return IndependentMask(self.logits.expand(len(batch), -1))


def test_words_come_as_under_a_dearer_prior() -> None:
    """One of two words is kept: the difference of their logits says how often, and a word far behind never is."""
    many = 20_000
    batch = Batch(torch.ones(many, 3, dtype=torch.long), torch.full((many,), 3))
    torch.manual_seed(0)
    masks = at_any_share(cast(RationaleGuide, Given([-2.0, -3.0, -40.0])), batch)
    one = masks[masks.sum(-1) == 1]
    assert len(one) > 5_000
    # P(L - L' > -1) of independent logistic L and L'.
    d = math.exp(-1.0)
    wanted = (1.0 - d + d * math.log(d)) / (1.0 - d) ** 2
    assert float(one[:, 0].double().mean()) == pytest.approx(wanted, abs=4 * 0.5 / len(one) ** 0.5)
    assert not bool(one[:, 2].any())


def test_not_before_the_target_rate_is_reached(tmp_path: Path) -> None:
    def loss(step: int, weight: float) -> float:
        fit, batch = fit_of(tmp_path / f"{step}-{weight}", guide="chain", any_rate=weight, anneal=10, steps=40)
        fit.trainer.step = step
        torch.manual_seed(1)
        return float(fit.trainer._objective_loss(batch)[0].detach())

    assert loss(9, 0.0) == loss(9, 1.0)
    assert loss(10, 0.0) < loss(10, 1.0)


def test_the_encoder_alone_learns_from_them(tmp_path: Path) -> None:
    def gradients(folder: str, weight: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        fit, batch = fit_of(tmp_path / folder, guide="chain", any_rate=weight, anneal=0)
        torch.manual_seed(1)
        fit.trainer._objective_loss(batch)[0].backward()
        model, guide = fit.fitted.model, fit.fitted.guide
        return (
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None},
            {name: p.grad.clone() for name, p in guide.named_parameters() if p.grad is not None},
        )

    model, guide = gradients("without", 0.0)
    more, same = gradients("with", 1.0)
    assert all(torch.equal(guide[name], same[name]) for name in guide)
    assert guide.keys() == same.keys()
    assert any(not torch.allclose(model[name], more[name]) for name in model)


def test_salient_words_are_those_that_the_prediction_depends_on(tmp_path: Path) -> None:
    """Under an encoder that is a weighted sum of the kept words, saliency is the size of the weights."""
    fit, batch = fit_of(tmp_path, guide="chain")
    weights = torch.zeros_like(batch.mask, dtype=torch.float64)
    weights[:, 1], weights[:, 2] = -3.0, 1.0

    class Sum(torch.nn.Module):
        dtype = torch.float64

        def forward(self, tokens: Tensor, z: Tensor, lengths: Tensor) -> Tensor:
            return (z * weights).sum(-1, keepdim=True)

    encoder: Any = Sum()
    fit.fitted.model.encoder = encoder
    one = salient_words(fit.fitted.model, batch, 1e-6, 1.0)
    assert torch.equal(one.nonzero()[:, 1], torch.ones(len(batch), dtype=torch.long))
    run = salient_words(fit.fitted.model, batch, 3.0 / float(batch.lengths.max()), 3.0)[batch.lengths.argmax()]
    assert run.nonzero()[:, 0].tolist() == [0, 1, 2]
    excluded = torch.zeros_like(batch.tokens, dtype=torch.uint8)
    excluded[:, 1] = 1
    other = salient_words(fit.fitted.model, replace(batch, excluded=excluded), 1e-6, 1.0)
    assert torch.equal(other.nonzero()[:, 1], torch.full((len(batch),), 2))


def test_salient_sentences(tmp_path: Path) -> None:
    batch = in_sentences(texts((12, 6, 1), padding=2))
    chosen = salient_words(fit_of(tmp_path, guide="chain")[0].fitted.model, batch, 0.5, 1.0)
    assert batch.unit_starts is not None
    assert chosen.shape == batch.unit_starts.shape
    assert chosen.sum(-1).tolist() == [math.ceil(0.5 * units) for units in batch.unit_lengths.tolist()]


def test_a_head_start_teaches_the_guide_in_the_second_half_of_the_warm_up(tmp_path: Path) -> None:
    fit, batch = fit_of(tmp_path, guide="chain", head_start="saliency", warmup=4, steps=40)
    for step, taught in ((0, False), (1, False), (2, True), (3, True)):
        fit.trainer.step = step
        fit.trainer.optimizer.zero_grad(set_to_none=True)
        fit.trainer._full_text_loss(batch)[0].backward()
        assert all((p.grad is not None) == taught for p in fit.fitted.guide.parameters())
    torch.manual_seed(0)
    salient = salient_words(fit.fitted.model, batch, 0.35, 3.0)
    losses = [float(imitation_loss(fit.fitted.guide, batch, salient).detach())]
    optimizer = torch.optim.Adam(fit.fitted.guide.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        loss = imitation_loss(fit.fitted.guide, batch, salient)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"guide": "recurrent"}, "recurrent has no exact marginals"), ({"guide": "chain"}, "there is none; take none")],
)
def test_a_head_start_that_cannot_be(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(head_start="saliency", warmup=0, **options)


def test_runs_by_chance_are_of_whole_sentences() -> None:
    batch = in_sentences(texts((12, 6, 1), padding=2))
    torch.manual_seed(0)
    masks = torch.stack([random_runs(batch, 1.2) for _ in range(50)])
    assert masks.dtype == torch.bool
    assert bool(masks.any(-1).all())
    assert not bool((masks & ~batch.mask).any())
    first, second = masks[:, 0, ::3], masks[:, 0, 1::3]  # the words 0 and 1, 3 and 4, ... are a sentence each
    assert torch.equal(first[:, :4], second[:, :4])
    assert 0.3 < float(masks[:, 0, :12].double().mean()) < 0.8


def test_a_weight_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="--any-rate: expected a number of at least 0"):
        small(any_rate=-1.0)
