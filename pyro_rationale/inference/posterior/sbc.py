"""Simulation-based calibration: on data that the model made itself, do the posterior's draws look like the truth?

For a text of the corpus, z ~ p(z) and y ~ p(y | x, z) are drawn, then L masks of p(z | x, y) by the method on trial.
If that is right, the rank of the true mask among the drawn ones is uniform on 0 ... L, whatever one ranks by (Talts,
Betancourt, Simpson, Vehtari, Gelman 2018). What one ranks by matters: by |z| or single words, a method that never
looks at y and returns the prior passes; by log p(y | x, z), which depends on the data, it does not (Modrak et al.
2023). Ranks of equal values are drawn at random among those that they could be, which keeps them uniform.

kappa is part of the model that makes the data. A Normal likelihood to the power kappa is a Normal of standard
deviation sigma / sqrt(kappa), up to a factor that no mask changes, so ratings are drawn from that one; powers of
probabilities of classes do not add to 1, so for classes kappa must be 1.

Uniformity is judged by the simultaneous band around the ranks' distribution function of Säilynoja, Bürkner and
Vehtari (2022): in 95 % of all correct cases the whole curve lies within.

A test that is passed says little unless it could have been failed. Draws of a posterior whose kappa is c times too
large are those at hand, weighted by p(y | x, z)^((c - 1) kappa): so the ranks under any error in kappa are known from
the ranks under none, and so is the chance that the band catches it (`kappa_power`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions.masks import changes_of
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint
from pyro_rationale.models import RationaleModel

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Sampler = Callable[[CachedLogJoint], Tensor]
"""From a scorer of a batch, which holds texts and targets, to masks `(L, B, T)`."""

COVERAGE = 0.95
SIMULATIONS = 4000
SEED = 20160612  # of simulated ranks
STATISTIC = "log likelihood"  # the one that notices a wrong kappa
FACTORS = tuple(2.0 ** (i / 8) for i in range(-16, 17))  # errors in kappa that the power is computed for, 1/4 to 4
POWER = 0.9  # chance of being caught that counts as being seen


def check_kappa(model: RationaleModel, kappa: float) -> None:
    """Refuse a power posterior that belongs to no model.

    Raises:
        ConfigError: classes with kappa other than 1.
    """
    if not model.likelihood.has_powers and kappa != 1.0:
        raise ConfigError(f"--kappa: no data can be simulated from probabilities to the power {kappa:g}; use --kappa 1")


@torch.no_grad()
def simulate(model: RationaleModel, batch: Batch, kappa: float | None = None) -> tuple[Tensor, Batch]:
    """Draw z ~ p(z) and y ~ p(y | x, z) for the texts of a batch.

    Args:
        model: the generative program.
        batch: texts; a target that is missing there (NaN) is missing in the simulated data too.
        kappa: weight of the log likelihood; the model's own by default.

    Returns:
        The true masks `(B, T)`, and the batch with simulated targets.

    Raises:
        ConfigError: classes with kappa other than 1.
    """
    kappa = float(model.kappa) if kappa is None else kappa
    check_kappa(model, kappa)
    z = model.mask_prior(batch, model.encoder.dtype).precise_sample()
    outputs = model.encoder(batch.tokens, z, batch.lengths)
    y = model.likelihood.powered(outputs, kappa).sample()
    if batch.targets is not None and y.is_floating_point():
        y = torch.where(batch.targets.isnan(), torch.nan, y)
    return z, replace(batch, targets=y)


def statistics(scorer: CachedLogJoint, z: Tensor, positions: Tensor) -> dict[str, Tensor]:
    """Statistics that masks `(*s, B, T)` are ranked by, `(*s, B)` each.

    Args:
        scorer: of the simulated batch.
        z: masks.
        positions: a word of each document, long `(B,)`.
    """
    lengths = scorer.batch.lengths
    last = (lengths - 1).expand(z.shape[:-1])[..., None]
    return {
        "words kept": z.sum(-1),
        "changes": changes_of(z, scorer.batch.mask),
        "first word": z[..., 0],
        "last word": z.gather(-1, last)[..., 0],
        "some word": z.gather(-1, positions.expand(z.shape[:-1])[..., None])[..., 0],
        STATISTIC: scorer.log_likelihood(z),
    }


def ranks_of(truth: Tensor, drawn: Tensor) -> Tensor:
    """Ranks 0 ... L of `truth` `(B,)` among `drawn` `(L, B)`, long `(B,)`; ties broken at random."""
    below = (drawn < truth).sum(0)
    ties = (drawn == truth).sum(0)
    return below + (torch.rand(truth.shape, device=truth.device) * (ties + 1)).long()


def tilted_positions(truth: Tensor, drawn: Tensor, kappa: float) -> Tensor:
    """Where the truth would stand among draws of posteriors with a wrong kappa, in [0, 1), float64 `(F, B)`.

    Args:
        truth: log likelihood of the true mask, without kappa, `(B,)`.
        drawn: those of draws of the posterior with the right kappa, `(L, B)`.
        kappa: the right one; the wrong ones are `FACTORS` times as large.

    Returns:
        Probability of a lower log likelihood under the wrong posterior; ties are broken at random, in the same way
        for every factor. In the row of factor 1 its multiples of 1 / (L + 1), rounded down, are uniform ranks. Far
        from 1 few draws carry the weight, and positions move less than they should.
    """
    truth, drawn = truth.double(), drawn.double()
    extra = kappa * (torch.tensor(FACTORS, dtype=torch.float64, device=drawn.device) - 1.0)
    weights = (extra[:, None, None] * (drawn - drawn.max(0).values)).softmax(1)
    below, ties = (torch.where(chosen, weights, 0.0).sum(1) for chosen in (drawn < truth, drawn == truth))
    own = 1.0 / len(drawn)  # weight of the truth itself: that of a draw, on average
    within = torch.rand(truth.shape, dtype=torch.float64, device=truth.device)
    return (below + within * (ties + own)) / (1.0 + own)


class Ranks(NamedTuple):
    """Figures of one simulation per document.

    Attributes:
        ranks: of the true masks among the draws, long `(B,)`, by statistic.
        tilted: see `tilted_positions`, `(F, B)`.
    """

    ranks: dict[str, Tensor]
    tilted: Tensor


@torch.no_grad()
def sbc_ranks(model: RationaleModel, batch: Batch, sampler: Sampler, kappa: float | None = None) -> Ranks:
    """Ranks of one simulation per document of a batch."""
    truth, simulated = simulate(model, batch, kappa)
    scorer = CachedLogJoint(model, simulated, kappa)
    drawn = sampler(scorer).to(truth.dtype)
    positions = (torch.rand(len(batch), device=truth.device) * batch.lengths).long()
    of_truth, of_drawn = (statistics(scorer, z, positions) for z in (truth, drawn))
    ranks = {name: ranks_of(value, of_drawn[name]) for name, value in of_truth.items()}
    return Ranks(ranks, tilted_positions(of_truth[STATISTIC], of_drawn[STATISTIC], scorer.kappa))


@dataclass(frozen=True)
class Verdict:
    """Whether ranks are uniform.

    Attributes:
        difference: of the ranks' distribution function from the uniform one, `(L,)`, at (1 ... L) / (L + 1).
        low: lower edge of the 95 % band of `difference`, `(L,)`.
        high: upper edge.
        p: share of correct cases in which some point lies as far out, by simulation.
        uniform: the whole curve is within the band.
    """

    difference: Floats
    low: Floats
    high: Floats
    p: float
    uniform: bool


@dataclass(frozen=True)
class Band:
    """How the distribution functions of `N` uniform ranks on 0 ... L vary.

    Attributes:
        below: P(Binomial(N, i / (L + 1)) <= k), `(L, N + 1)`: i down, k across.
        extremes: of simulated sets of ranks, the smallest two-sided pointwise probability of any point, sorted.
    """

    below: Floats
    extremes: Floats

    def extreme(self, counts: Counts) -> Floats:
        """Smallest two-sided pointwise probability of counts of ranks below each point, `(*, L)` -> `(*)`."""
        points = np.arange(self.below.shape[0])
        at_most = self.below[points, counts]
        at_least = 1.0 - np.where(counts > 0, self.below[points, np.maximum(counts - 1, 0)], 0.0)
        result: Floats = 2.0 * np.minimum(at_most, at_least).min(-1)
        return result

    @property
    def level(self) -> float:
        """Pointwise probability outside of the band that leaves 95 % of the curves inside at every point."""
        return float(np.quantile(self.extremes, 1.0 - COVERAGE, method="lower"))

    def edges(self) -> tuple[Counts, Counts]:
        """Smallest and largest count within the band, at each point: those whose `extreme` is `level` or more."""
        half = self.level / 2.0
        at_least = 1.0 - np.pad(self.below, ((0, 0), (1, 0)))[:, :-1]
        allowed = (self.below >= half) & (at_least >= half)
        return allowed.argmax(1), allowed.shape[1] - 1 - allowed[:, ::-1].argmax(1)


@lru_cache(maxsize=16)
def uniform_band(number: int, draws: int) -> Band:
    """The band for N = `number` ranks on 0 ... `draws` (Säilynoja et al. 2022, algorithm 1, by simulation)."""
    points = np.arange(1, draws + 1) / (draws + 1)
    k = np.arange(number + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, number + 1)))])
    choose = log_factorials[-1] - log_factorials - log_factorials[::-1]
    pmf = np.exp(choose + k * np.log(points)[:, None] + (number - k) * np.log1p(-points)[:, None])
    below = np.minimum(np.cumsum(pmf, axis=1), 1.0)
    random = np.random.default_rng(SEED)
    sets = random.multinomial(number, np.full(draws + 1, 1 / (draws + 1)), size=SIMULATIONS)
    band = Band(below, np.empty(0))
    return Band(below, np.sort(band.extreme(sets.cumsum(1)[:, :-1])))


def judge(ranks: Tensor, draws: int) -> Verdict:
    """Are these ranks, `(N,)` on 0 ... `draws`, uniform?"""
    number = len(ranks)
    band = uniform_band(number, draws)
    counts = np.bincount(ranks.cpu().numpy(), minlength=draws + 1).cumsum()[:-1]
    extreme = float(band.extreme(counts))
    uniform = np.arange(1, draws + 1) / (draws + 1)
    low, high = band.edges()
    return Verdict(
        difference=counts / number - uniform,
        low=low / number - uniform,
        high=high / number - uniform,
        p=float(np.searchsorted(band.extremes, extreme * (1 + 1e-9), side="right") / len(band.extremes)),
        uniform=bool(extreme >= band.level * (1 - 1e-9)),
    )


@dataclass(frozen=True)
class KappaPower:
    """How large an error in kappa has to be for so many simulations to show it.

    Attributes:
        chance: that the band catches kappa off by each of `FACTORS`, `(F,)`.
    """

    chance: Floats

    @property
    def above(self) -> float | None:
        """Smallest factor above 1 that is caught with probability `POWER`; `None` if that of 4 is not."""
        return self._first(np.arange(len(FACTORS) // 2, len(FACTORS)))

    @property
    def below(self) -> float | None:
        """Largest factor below 1 that is caught with probability `POWER`; `None` if that of 1/4 is not."""
        return self._first(np.arange(len(FACTORS) // 2, -1, -1))

    def _first(self, places: Counts) -> float | None:
        """Where the chance first exceeds `POWER`, on the line between two factors' logarithms."""
        chance, factors = self.chance[places], np.log(FACTORS)[places]
        caught = chance >= POWER
        if not caught.any():
            return None
        i = int(caught.argmax())
        if i == 0:
            return 1.0
        share = (POWER - chance[i - 1]) / (chance[i] - chance[i - 1])
        return float(np.exp(factors[i - 1] + share * (factors[i] - factors[i - 1])))


def kappa_power(tilted: Tensor, draws: int, simulations: int = 400) -> KappaPower:
    """The chances that an error in kappa of a sampler that is right otherwise is seen in as many documents.

    The ranks' distribution under each error is the uniform one, moved by as much as these documents' positions move;
    from it `simulations` sets of ranks are drawn and judged.

    Args:
        tilted: `Ranks.tilted` of all documents, `(F, N)`.
        draws: L.
        simulations: sets of ranks for each factor.
    """
    number = tilted.shape[1]
    band = uniform_band(number, draws)
    random = np.random.default_rng(SEED)
    edges = np.arange(1, draws + 1) / (draws + 1)
    below = np.stack([np.searchsorted(np.sort(row), edges - 1e-12) for row in tilted.cpu().numpy()]) / number
    chance = []
    for moved in below - below[len(FACTORS) // 2]:
        curve = np.maximum.accumulate((edges + moved).clip(0.0, 1.0))
        shares = np.diff(curve, prepend=0.0, append=1.0)
        sets = random.multinomial(number, shares / shares.sum(), size=simulations)
        chance.append(float(np.mean(band.extreme(sets.cumsum(1)[:, :-1]) < band.level * (1 - 1e-9))))
    return KappaPower(np.array(chance))
