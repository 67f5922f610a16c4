"""Simulation-based calibration of the masks of similar texts: three texts of four words, two of which are queries.

Masks and similar texts are drawn by the program of the model. The posterior of all masks together is had by
enumeration, and by the weighted draws of a guide that has seen the texts alone: the ranks of the true masks are uniform
under both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
import torch
from pyro import poutine
from torch import Tensor

from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference.posterior.sbc import Verdict, judge, ranks_of
from pyro_rationale.models import RankingModel
from tests.models.test_ranking import LENGTHS, joint_table, three, tiny_ranking
from tests.support.oracle import Oracle, all_masks, changes
from tests.support.tiny import PRIOR, tiny_guide

NUMBER, DRAWS, POOL = 400, 49, 3000
SIMILAR = ((1, 0), (1, 1), (2, 0), (2, 1))  # what the first and the last text may be similar to
Sampler = Callable[[Tensor], Tensor]
"""From the index of the observed similar texts `(N,)` to that of masks of all texts `(L, N)`."""


@functools.cache
def tiny() -> RankingModel:
    """So cold that similar texts tell something of the masks."""
    return tiny_ranking(kappa=1.0, temperature=0.2).eval()


@functools.cache
def guide() -> RationaleGuide:
    return tiny_guide("chain").eval()


def combined(parts: list[Tensor]) -> Tensor:
    """A number of each text's masks, added up for all combinations of them, `(2048,)`."""
    first, second, third = parts
    return (first[:, None, None] + second[:, None] + third).flatten()


@functools.cache
def likelihoods() -> Tensor:
    """Log p(y | x, z) of all y and of all masks, `(4, 2048)`."""
    model, batch = tiny(), three()
    with torch.no_grad():
        rows = [joint_table(model, replace(batch, positive=torch.tensor(pair))).flatten() for pair in SIMILAR]
    return torch.stack(rows)


@functools.cache
def prior() -> Tensor:
    """Log p(z) of all masks, `(2048,)`."""
    return combined([Oracle.penalty(PRIOR.alpha, PRIOR.gamma, n).log_probs for n in LENGTHS])


def index_of(z: Tensor) -> Tensor:
    """The place of masks `(*s, 3, 4)` among all combinations, `(*s,)`."""
    place = torch.zeros(z.shape[:-2], dtype=torch.long)
    for text, n in enumerate(LENGTHS):
        table = all_masks(n)
        place = place * len(table) + (z[..., text, None, :n] == table).all(-1).long().argmax(-1)
    return place


def simulated() -> tuple[Tensor, Tensor]:
    """True masks by their place, and the similar texts by theirs, `(N,)` each, as the program draws them."""
    model, batch = tiny(), replace(three(), positive=None)
    many = batch.repeated(NUMBER)
    with torch.no_grad():
        trace = poutine.trace(model).get_trace(many)
    z, similar = (cast(Tensor, trace.nodes[name]["value"]) for name in ("z", "y"))
    y = similar.reshape(NUMBER, 2) - 3 * torch.arange(NUMBER)[:, None]
    pairs = torch.tensor(SIMILAR)
    return index_of(z.reshape(NUMBER, 3, 4)), (y[:, None] == pairs).all(-1).long().argmax(-1)


def exactly(y: Tensor, kappa: float = 1.0) -> Tensor:
    posterior = (prior() + kappa * likelihoods()).softmax(-1)
    return torch.multinomial(posterior[y], DRAWS, replacement=True).T


def too_sure(y: Tensor) -> Tensor:
    return exactly(y, 6.0)


def from_prior(y: Tensor) -> Tensor:
    return torch.multinomial(prior().exp(), DRAWS * len(y), replacement=True).reshape(DRAWS, len(y))


def pools() -> tuple[Tensor, Tensor]:
    """Draws of the guide for each simulation by their place, `(POOL, N)`, and log q of all masks, `(2048,)`."""
    with torch.no_grad():
        q = guide().posterior(three())
        own = []
        for text, n in enumerate(LENGTHS):
            z = torch.zeros(2**n, 3, 4, dtype=torch.float64)
            z[:, text, :n] = all_masks(n)
            own.append(q.log_prob(z)[:, text])
        return index_of(q.sample(torch.Size([POOL, NUMBER]))), combined(own)


def weighted_guide(y: Tensor) -> Tensor:
    """Importance resampling: the model's own p(y | x, z) and p(z), over q(z | x)."""
    model, batch = tiny(), three()
    z = torch.zeros(16, 8, 16, 3, 4, dtype=torch.float64)
    z[..., 0, :], z[..., 1, :3], z[..., 2, :] = all_masks(4)[:, None, None], all_masks(3)[:, None], all_masks(4)
    z = z.flatten(0, 2)
    with torch.no_grad():
        joint = torch.stack([
            model.log_likelihood(replace(batch, positive=torch.tensor(pair)), z).sum(-1) for pair in SIMILAR
        ]) + model.mask_prior(batch, torch.float64).log_prob(z).sum(-1)  # fmt: skip
    drawn, log_q = pools()
    weights = (joint[y[None, :], drawn] - log_q[drawn]).softmax(0)
    chosen = torch.multinomial(weights.T, DRAWS, replacement=True).T
    return drawn.gather(0, chosen)


def bare_guide(y: Tensor) -> Tensor:
    return pools()[0][:DRAWS]


def verdicts(sampler: Sampler, seed: int = 7) -> dict[str, Verdict]:
    tiny(), guide()  # they set the seed as they are made
    torch.manual_seed(seed)
    truth, y = simulated()
    drawn = sampler(y)
    each = [all_masks(n) for n in LENGTHS]
    tables = {
        "words kept": combined([masks.sum(-1) for masks in each]),
        "changes": combined([changes(masks) for masks in each]),
        "a word": combined([each[0][:, 1], torch.zeros(8), torch.zeros(16)]),
        "words of the text that is found": combined([torch.zeros(16), each[1].sum(-1), torch.zeros(16)]),
    }
    ranks = {name: ranks_of(table[truth], table[drawn]) for name, table in tables.items()}
    likelihood = likelihoods()
    ranks["log likelihood"] = ranks_of(likelihood[y, truth], likelihood[y[None, :], drawn])
    return {name: judge(value, DRAWS) for name, value in ranks.items()}


@pytest.mark.parametrize("sampler", [exactly, weighted_guide])
def test_draws_of_the_posterior_pass(sampler: Sampler) -> None:
    found = verdicts(sampler)
    assert min(verdict.p for verdict in found.values()) > 0.005
    assert sum(verdict.uniform for verdict in found.values()) >= 4


@pytest.mark.parametrize(
    ("sampler", "caught"), [(too_sure, "log likelihood"), (from_prior, "log likelihood"), (bare_guide, "words kept")]
)
def test_other_draws_are_caught(sampler: Sampler, caught: str) -> None:
    found = verdicts(sampler)[caught]
    assert not found.uniform
    assert found.p < 0.005
