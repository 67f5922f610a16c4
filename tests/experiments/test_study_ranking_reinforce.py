"""The loss of Lei et al. (2016) for pairs, by hand and by enumeration, and a small fit by it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.distributions import IndependentMask
from pyro_rationale.distributions.masks import changes_of
from pyro_rationale.evaluation.ranking_baselines import SearchTask
from pyro_rationale.experiments.studies.rankers import RATIONALE, WHOLE
from pyro_rationale.experiments.studies.ranking_readers import others
from pyro_rationale.experiments.studies.ranking_reinforce import CHEAPEST, DEAREST, PairLoss, distances, hinge
from pyro_rationale.fitted import FittedModel
from tests.models.test_ranking import LENGTHS, three, tiny_ranking
from tests.support.oracle import all_masks
from tests.support.planted_pairs import planted_pairs
from tests.support.tiny import document
from tests.support.untrained_pairs import before_training

COPIES, ROUNDS = 300, 40


def test_hinge_and_distances_by_hand() -> None:
    batch = three()  # texts 0 and 2 ask for 2 and 1; the first may find 1 and 2, the last 0 and 1
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), dim=-1)
    assert hinge(batch, vectors).tolist() == pytest.approx([1 + 0.6 - 0.0, 1 + 0.0 - 0.8])
    kept = vectors.roll(1, 0)
    texts, apart = distances(batch, kept, vectors)
    assert texts.tolist() == [0, 2, 2, 1]
    similar = [2, 1, 0, 2]
    expected = [1 - (kept[i] @ vectors[i] + kept[i] @ vectors[j]) / 2 for i, j in zip(texts, similar, strict=True)]
    assert apart.tolist() == pytest.approx([float(value) for value in expected])


def test_its_gradient_is_that_of_the_expected_cost() -> None:
    """Many copies of three texts in one pass, each with masks of its own, against all masks of each text."""
    model, batch = tiny_ranking(), three()
    logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    many = batch.repeated(COPIES)
    leaf = logits.repeat(COPIES, 1).requires_grad_()
    guide = SimpleNamespace(posterior=lambda batch: IndependentMask(leaf, batch.lengths))
    config = SimpleNamespace(train=SimpleNamespace(anneal=0))
    reader: Any = SimpleNamespace(model=model, guide=guide, config=config)
    loss = PairLoss(reader, 0.5)
    price = 0.2
    torch.manual_seed(0)
    parts = []
    for _ in range(ROUNDS):
        loss.price = price
        [slope] = torch.autograd.grad(loss(many, 0), leaf)
        parts.append(slope.reshape(COPIES, 3, 4) * COPIES)
    found = torch.cat(parts)

    own = logits.clone().requires_grad_()
    with torch.no_grad():
        whole = model.embed(batch, batch.mask.double())
    total = torch.zeros((), dtype=torch.float64)
    for text, similar in ((0, 2), (2, 1), (2, 0), (1, 2)):
        one, masks = document(batch, text), all_masks(LENGTHS[text])
        with torch.no_grad():
            kept = model.embed(one, masks[:, None])[:, 0]
        cost = 1 - (kept @ whole[text] + kept @ whole[similar]) / 2
        cost = cost + price * (masks.sum(-1) + changes_of(masks, one.mask))
        table = IndependentMask(own[text, None, : LENGTHS[text]], one.lengths).log_prob(masks[:, None])[:, 0].exp()
        total = total + (table * cost).sum() / 4
    total.backward()
    assert own.grad is not None
    error = found.std(0) / len(found) ** 0.5
    z = (found.mean(0) - own.grad) / error.clamp_min(1e-12)
    assert float(z.abs().max()) < 4.5
    assert float((own.grad / error.clamp_min(1e-12)).abs().max()) > 10  # else nothing would be seen


def test_the_price_follows_the_share() -> None:
    config = SimpleNamespace(train=SimpleNamespace(anneal=0))
    reader: Any = SimpleNamespace(config=config)
    loss = PairLoss(reader, 0.2)
    first = loss.price
    loss.steer(0.3, 0.2)
    assert loss.price > first
    loss.steer(0.1, 0.2)
    assert loss.price == pytest.approx(first)
    for kept, bound in ((1.0, DEAREST), (0.0, CHEAPEST)):
        for _ in range(1000):
            loss.steer(kept, 0.2)
        assert loss.price == pytest.approx(bound)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FittedModel:
    return before_training(tmp_path_factory.mktemp("reinforce"))


def test_it_is_trained_and_keeps_the_share_of_the_run(fitted: FittedModel) -> None:
    task = SearchTask.of(planted_pairs(), "test")
    state = torch.get_rng_state()
    found, shares = others(task, fitted, 0.2, 0, reinforce=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(found) == [f"REINFORCE (Lei et al. 2016): {name}" for name in (RATIONALE, WHOLE)]
    assert shares[f"REINFORCE (Lei et al. 2016): {RATIONALE}"] == pytest.approx(0.2, abs=0.05)
    assert all(np.isfinite(own["map"].value) for own in found.values())
