"""Markov chains on masks: every move keeps the enumerated posterior, and the chains find it from anywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pyro_rationale.inference.posterior.gibbs import BlockGibbs, dispersed, gibbs_posterior
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint
from tests.inference.test_importance import posteriors
from tests.support.grids import each_value
from tests.support.oracle import Oracle, chi_square_z
from tests.support.tiny import LENGTHS, texts, tiny_guide, tiny_model

CHAINS = 2000
KAPPA = 3.0

MOVES: dict[str, Callable[[BlockGibbs, Tensor], Tensor]] = {
    "neighbours": lambda chains, z: chains.redraw_all(z, chains.neighbours())[0],
    "scattered": lambda chains, z: chains.redraw_all(z, chains.scattered())[0],
    "one block": lambda chains, z: chains.redraw(z, chains.neighbours()[:, :2])[0],
    "leap": lambda chains, z: chains.leap(z)[0],
    "sweep": lambda chains, z: chains.sweep(z)[0],
}


def from_tables(oracles: list[Oracle], number: int, size: int) -> Tensor:
    """Exact draws of the posteriors, `(number, B, size)`."""
    z = torch.zeros(number, len(oracles), size, dtype=torch.float64)
    for row, oracle in enumerate(oracles):
        z[:, row, : oracle.n] = oracle.masks[torch.multinomial(oracle.probs, number, replacement=True)]
    return z


def misfit(oracles: list[Oracle], z: Tensor) -> float:
    """The largest chi-square, as a z-score, of masks `(S, B, T)`; documents of several words."""
    return max(chi_square_z(o, z[:, row, : o.n]) for row, o in enumerate(oracles) if o.n > 1)


@each_value("move,proposal", list(MOVES), [None, "chain"])
def test_a_move_leaves_the_posterior_as_it_is(move: str, proposal: str | None) -> None:
    model, batch = tiny_model(kappa=KAPPA).eval(), texts(padding=2)
    oracles = posteriors(model, "regression")
    law = None if proposal is None else tiny_guide(proposal).posterior(batch).discrete()
    chains = BlockGibbs(CachedLogJoint(model, batch), 3, law)
    z = from_tables(oracles, 10_000, batch.tokens.shape[1])
    for _ in range(3):
        z = MOVES[move](chains, z)
    assert misfit(oracles, z) < 4
    assert bool((z[:, ~batch.mask] == 0).all())


@pytest.mark.parametrize(("kind", "block"), [("regression", 1), ("regression", 4), ("binary", 3), ("multiclass", 3)])
def test_chains_find_the_posterior_from_one_mask(kind: str, block: int) -> None:
    model, batch = tiny_model(kind, kappa=KAPPA).eval(), texts(kind=kind, padding=1)
    oracles = posteriors(model, kind)
    start = batch.mask.double().expand(CHAINS, -1, -1)
    found = BlockGibbs(CachedLogJoint(model, batch), block).run(start, draws=1, warmup=15)
    z = found.masks[:, 0].double()
    assert misfit(oracles, z) < 4
    for row, oracle in enumerate(oracles):
        for kept in (z.mean(0), found.mean):
            deviation = (oracle.mean * (1 - oracle.mean) / CHAINS).sqrt()
            assert float(((kept[row, : oracle.n] - oracle.mean) / deviation).abs().max()) < 4.5


def test_averaged_conditionals_are_the_marginals_and_less_noisy_than_draws() -> None:
    model, batch = tiny_model(kappa=KAPPA).eval(), texts()
    oracles = posteriors(model, "regression")
    found = gibbs_posterior(CachedLogJoint(model, batch), chains=200, draws=50, warmup=10)
    truth = oracles[0].mean
    by_draws = found.masks.double().mean(1)[:, 0] - truth  # (C, T)
    by_conditionals = found.inclusion[:, 0] - truth
    assert float((by_conditionals.mean(0) / (by_conditionals.std(0) / 200**0.5)).abs().max()) < 4.5
    assert bool((by_conditionals.std(0) < by_draws.std(0)).all())
    torch.testing.assert_close(found.error[0], by_conditionals.std(0) / 200**0.5)


def test_a_leap_from_the_posterior_itself_is_always_taken() -> None:
    batch = texts()
    model = tiny_model(kappa=1e-9).eval()  # the posterior is the prior
    chains = BlockGibbs(CachedLogJoint(model, batch))
    found = chains.run(dispersed(chains.scorer, 50), draws=5, warmup=0)
    torch.testing.assert_close(found.leaps, torch.ones(3, dtype=torch.float64))


def test_orders_are_permutations_with_padding_behind() -> None:
    batch = texts(padding=2)
    chains = BlockGibbs(CachedLogJoint(tiny_model().eval(), batch))
    for _ in range(20):
        for order in (chains.neighbours(), chains.scattered()):
            for row, length in enumerate(LENGTHS):
                assert sorted(order[row, :length].tolist()) == list(range(length))
                assert sorted(order[row].tolist()) == list(range(order.shape[1]))


def test_chains_start_far_apart_and_are_kept_as_asked() -> None:
    batch = texts(padding=1)
    scorer = CachedLogJoint(tiny_model().eval(), batch)
    start = dispersed(scorer, 6, tiny_guide("relaxed").posterior(batch).discrete())
    assert start.shape == (6, 3, 6)
    assert float(start[0].sum()) == 0
    assert torch.equal(start[1], batch.mask.double())
    assert dispersed(scorer, 1).shape[0] == 1
    found = gibbs_posterior(scorer, chains=3, draws=4, warmup=2, thin=2)
    assert found.masks.shape == (3, 4, 3, 6)
    torch.testing.assert_close(found.log_joint, scorer(found.masks))


def test_a_block_has_a_word() -> None:
    with pytest.raises(ValueError, match="at least 1 word"):
        BlockGibbs(CachedLogJoint(tiny_model(), texts()), 0)
