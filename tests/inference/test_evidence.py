"""Evidence and its bounds against the enumerated tables of the oracle."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.guides import GUIDES, own_guides
from pyro_rationale.inference.posterior.evidence import (
    BoundOfK,
    all_masks,
    bounds_of,
    effective_sample_size,
    enumerate_masks,
    iwae,
)
from pyro_rationale.inference.posterior.log_joint import draw_weighted
from pyro_rationale.inference.posterior.log_joint import log_joint as log_joint_of
from pyro_rationale.models import RationaleModel
from tests.support.oracle import Oracle
from tests.support.tiny import SPECS, Exact, exact, texts, tiny_guide, tiny_model

DOUBLE = torch.float64
KAPPAS = (None, 1.0, 3.5)


def tables(name: str, model: RationaleModel, batch: Batch) -> tuple[MaskDistribution, list[Exact]]:
    """A guide's distribution and the oracle's tables; of a relaxed one, those of its discrete twin."""
    guide = tiny_guide(name)
    q = guide.posterior(batch)
    if name != "relaxed":
        return q, exact(model, guide, batch)
    twin = tiny_guide("independent")
    twin.load_state_dict(guide.state_dict())
    return q, exact(model, twin, batch)


def log_joint(one: Exact, kappa: float | None) -> Tensor:
    """Log joint of one document's masks, in the oracle's order."""
    return one.p.log_probs + (one.kappa if kappa is None else kappa) * one.log_likelihood


def stack(values: Iterator[Tensor]) -> Tensor:
    return torch.stack(list(values)).detach()


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("kind", list(SPECS))
def test_the_evidence_is_the_sum_over_the_table(kind: str, kappa: float | None, padding: int) -> None:
    batch = texts(padding=padding, kind=kind)
    model = tiny_model(kind, kappa=1.7)
    expected = stack(log_joint(one, kappa).logsumexp(0) for one in exact(model, tiny_guide("chain"), batch))
    torch.testing.assert_close(enumerate_masks(model, batch, kappa=kappa).evidence, expected)


@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("name", list(GUIDES))
def test_the_elbo_is_an_exact_expectation(name: str, kappa: float | None) -> None:
    batch = texts(padding=1)
    model = tiny_model(kappa=1.7)
    q, documents = tables(name, model, batch)
    expected = stack(one.q.expect(log_joint(one, kappa)) + one.q.entropy for one in documents)
    table = enumerate_masks(model, batch, q, kappa)
    torch.testing.assert_close(table.elbo, expected)
    assert bool((table.elbo < table.evidence).all())


def test_every_mask_stands_where_it_should() -> None:
    batch = texts()
    model = tiny_model()
    q, documents = tables("chain", model, batch)
    table = enumerate_masks(model, batch, q)
    for row, one in enumerate(documents):
        n = one.q.n
        where = one.q.index(all_masks(0, 2**n, n, torch.zeros(1, dtype=DOUBLE)))
        posterior = Oracle(log_joint(one, None)).log_probs
        torch.testing.assert_close(table.log_posterior[: 2**n, row], posterior[where].detach())
        weights = (log_joint(one, None) - one.q.log_probs)[where].detach()
        torch.testing.assert_close(table.log_weights[: 2**n, row], weights)
        assert bool((table.log_weights[2**n :, row] == -math.inf).all())
        assert bool((table.log_posterior[2**n :, row] == -math.inf).all())


class Asked:
    """How many masks at once a model's encoder and a guide's distribution have been asked about."""

    def __init__(self, model: RationaleModel, q: MaskDistribution, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[int] = []
        self.drawn: list[int] = []
        self.weighed: list[int] = []
        kind = type(q.discrete())
        sample, log_prob = kind.precise_sample, kind.log_prob

        def sampled(law: MaskDistribution, shape: torch.Size) -> Tensor:
            self.drawn.append(shape.numel() * law.batch_shape.numel())
            return sample(law, shape)

        def weighed(law: MaskDistribution, z: Tensor) -> Tensor:
            self.weighed.append(z[..., 0].numel())
            return log_prob(law, z)

        monkeypatch.setattr(kind, "precise_sample", sampled)
        monkeypatch.setattr(kind, "log_prob", weighed)
        model.encoder.register_forward_pre_hook(lambda _, given: self.read.append(given[1][..., 0].numel()))


@pytest.mark.parametrize("rows", [1, 7, 4096])
@pytest.mark.parametrize("name", ["independent", "recurrent"])
def test_enumeration_in_pieces(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = texts()
    model = tiny_model()
    q = tiny_guide(name).posterior(batch)
    whole = enumerate_masks(model, batch, q)
    asked = Asked(model, q, monkeypatch)
    pieces = enumerate_masks(model, batch, q, rows=rows)
    torch.testing.assert_close(pieces.log_joint, whole.log_joint)
    torch.testing.assert_close(pieces.log_q, whole.log_q)
    assert sum(asked.read) == 32 * 3
    assert max(asked.read + asked.weighed) <= max(rows, 3)


@pytest.mark.parametrize("samples", [1, 50, 2000])
def test_memory_does_not_grow_with_the_samples(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = texts()
    model = tiny_model()
    q = tiny_guide("chain").posterior(batch)
    asked = Asked(model, q, monkeypatch)
    iwae(model, q, batch, (1, samples), rows=60)
    assert sum(asked.read) == sum(asked.drawn) == 3 * samples
    assert max(asked.read + asked.drawn) <= 60
    asked.drawn.clear()
    drawn = list(enumerate_masks(model, batch, q).draw(q, samples, rows=60))
    assert sum(asked.drawn) == 3 * samples
    assert max(asked.drawn) <= 60
    assert max(len(some) for some in drawn) <= 20


def test_twelve_words_and_no_more() -> None:
    model = tiny_model()
    batch = texts((12,))
    table = enumerate_masks(model, batch, tiny_guide("chain").posterior(batch))
    torch.testing.assert_close(table.log_posterior.exp().sum(0), torch.ones(1, dtype=DOUBLE))
    assert table.log_q is not None
    torch.testing.assert_close(table.log_q.exp().sum(0), torch.ones(1, dtype=DOUBLE))
    with pytest.raises(ValueError, match="at most 12 words to enumerate, got one of 13"):
        enumerate_masks(model, texts((3, 13)))


def test_what_is_missing_is_named() -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match="batch with targets"):
        enumerate_masks(model, texts(kind=None))
    with pytest.raises(ValueError, match="enumeration with a guide"):
        _ = enumerate_masks(model, texts()).elbo


# Bounds.


def by_hand(log_weights: Tensor, size: int) -> Tensor:
    """One bound per whole group of draws, `(G, B)`."""
    groups = len(log_weights) // size
    return torch.stack([log_weights[g * size : (g + 1) * size].exp().mean(0).log() for g in range(groups)])


@pytest.mark.parametrize("piece", [1, 3, 64, 1000, 5000])
def test_bounds_do_not_depend_on_the_pieces(piece: int) -> None:
    log_weights = torch.randn(1003, 4, dtype=DOUBLE) * 3
    for size, bound in bounds_of(log_weights.split(piece), (1, 2, 7, 100, 1003)).items():
        expected = by_hand(log_weights, size)
        assert bound.groups == len(expected) == 1003 // size
        torch.testing.assert_close(bound.mean, expected.mean(0))
        if bound.groups > 1:
            torch.testing.assert_close(bound.error, expected.std(0) / math.sqrt(bound.groups))
        else:
            assert bool(bound.error.isnan().all())


def test_pieces_of_changing_size() -> None:
    log_weights = torch.randn(500, 2, dtype=DOUBLE)
    sizes = itertools.cycle([1, 90, 4, 13])
    pieces, start = [], 0
    while start < 500:
        stop = start + next(sizes)
        pieces.append(log_weights[start:stop])
        start = stop
    bound = bounds_of(pieces, (40,))[40]
    torch.testing.assert_close(bound.mean, by_hand(log_weights, 40).mean(0))


def test_large_and_vanishing_weights() -> None:
    huge = bounds_of([torch.tensor([[1000.0, -math.inf], [1001.0, -math.inf]])], (2,))[2]
    torch.testing.assert_close(huge.mean[0], torch.tensor(1000 + math.log((1 + math.e) / 2), dtype=DOUBLE))
    assert float(huge.mean[1]) == -math.inf
    bound = BoundOfK(1)
    for value in (0.0, -math.inf, 0.0):
        bound.add(torch.tensor([[value]]))
    assert float(bound.result().mean) == -math.inf


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 sample"):
        BoundOfK(0)
    with pytest.raises(ValueError, match="at least 9 draws for the bound of 9, got 8"):
        bounds_of([torch.zeros(8, 1)], (1, 9))
    batch = texts()
    with pytest.raises(ValueError, match="as the largest K, 100, got 20"):
        iwae(tiny_model(), tiny_guide("chain").posterior(batch), batch, (1, 100), samples=20)


@pytest.mark.parametrize("name", list(GUIDES))
def test_expectations_of_small_bounds(name: str) -> None:
    batch = texts((4, 2, 1), padding=1)
    model = tiny_model(kappa=2.0)
    q, documents = tables(name, model, batch)
    bounds = iwae(model, q, batch, (1, 2), samples=40_000)
    for size, bound in bounds.items():
        expected = []
        for one in documents:
            weights = log_joint(one, None) - one.q.log_probs
            chance, value = one.q.log_probs, weights
            if size == 2:
                chance = chance[:, None] + chance
                value = torch.logaddexp(weights[:, None], weights) - math.log(2)
            expected.append((chance.exp() * value).sum())
        z = (bound.mean - stack(iter(expected))) / bound.error
        assert float(z.abs().max()) < 4, f"IWAE-{size}: {z.tolist()}"


@pytest.mark.parametrize("name", own_guides())  # the tiny hardkuma guide is too far off for the last step
def test_bounds_rise_with_k_towards_the_evidence(name: str) -> None:
    batch = texts()
    model = tiny_model(kappa=3.0)
    q, _ = tables(name, model, batch)
    table = enumerate_masks(model, batch, q)
    before, error = table.elbo, torch.zeros(3, dtype=DOUBLE)
    for size in (3, 30, 300):  # each from draws of its own, for those of one set are in order in any case
        bound = iwae(model, q, batch, (size,), samples=60 * size)[size]
        assert bool((bound.mean > before - 4 * (error**2 + bound.error**2).sqrt()).all())
        assert bool((bound.mean < table.evidence + 4 * bound.error).all())
        before, error = bound.mean, bound.error
    assert bool((table.evidence - before < 0.1 * (table.evidence - table.elbo) + 4 * error).all())
    assert float((table.evidence - table.elbo).max()) > 0.1


def test_bounds_of_one_set_of_draws_are_in_order() -> None:
    log_weights = torch.randn(2000, 50, dtype=DOUBLE) * 4
    bounds = bounds_of(log_weights.split(37), (1, 10, 100, 1000))
    means = torch.stack([bound.mean for bound in bounds.values()])
    assert bool((means.diff(dim=0) > 0).all())


@pytest.mark.parametrize("name", list(GUIDES))
def test_drawing_from_the_table_is_drawing_and_weighing(name: str) -> None:
    batch = texts(padding=2)
    model = tiny_model()
    q = tiny_guide(name).posterior(batch)
    table = enumerate_masks(model, batch, q)
    torch.manual_seed(5)
    looked_up = torch.cat(list(table.draw(q, 50, rows=21)))
    torch.manual_seed(5)
    drawn = draw_weighted(partial(log_joint_of, model, batch), q.discrete(), 50, rows=21)
    weighed = torch.cat([some for _, some in drawn])
    torch.testing.assert_close(looked_up, weighed.double())


def test_effective_sample_sizes() -> None:
    log_weights = torch.tensor(
        [[2000.0, 0.0, 0.0, -math.inf], [2000.0, -900.0, math.log(3.0), -math.inf]], dtype=torch.float32
    )
    size = effective_sample_size(log_weights)
    assert size.dtype == DOUBLE
    torch.testing.assert_close(size, torch.tensor([2.0, 1.0, 1.6, 0.0], dtype=DOUBLE))
