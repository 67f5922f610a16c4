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
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

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
SEED = 20160612  # of the band


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
    z = model.mask_prior(batch, model.encoder.dtype).sample()
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
        "log likelihood": scorer.log_likelihood(z),
    }


def ranks_of(truth: Tensor, drawn: Tensor) -> Tensor:
    """Ranks 0 ... L of `truth` `(B,)` among `drawn` `(L, B)`, long `(B,)`; ties broken at random."""
    below = (drawn < truth).sum(0)
    ties = (drawn == truth).sum(0)
    return below + (torch.rand(truth.shape, device=truth.device) * (ties + 1)).long()


@torch.no_grad()
def sbc_ranks(
    model: RationaleModel, batch: Batch, sampler: Sampler, kappa: float | None = None
) -> dict[str, Tensor]:
    """Ranks of one simulation per document of a batch, long `(B,)` per statistic."""
    truth, simulated = simulate(model, batch, kappa)
    scorer = CachedLogJoint(model, simulated, kappa)
    drawn = sampler(scorer).to(truth.dtype)
    positions = (torch.rand(len(batch), device=truth.device) * batch.lengths).long()
    of_truth, of_drawn = (statistics(scorer, z, positions) for z in (truth, drawn))
    return {name: ranks_of(value, of_drawn[name]) for name, value in of_truth.items()}


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
def uniform_band(number: int, draws: int, simulations: int = SIMULATIONS, seed: int = SEED) -> Band:
    """The band for N = `number` ranks on 0 ... `draws` (Säilynoja et al. 2022, algorithm 1, by simulation)."""
    points = np.arange(1, draws + 1) / (draws + 1)
    k = np.arange(number + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, number + 1)))])
    choose = log_factorials[-1] - log_factorials - log_factorials[::-1]
    pmf = np.exp(choose + k * np.log(points)[:, None] + (number - k) * np.log1p(-points)[:, None])
    below = np.minimum(np.cumsum(pmf, axis=1), 1.0)
    random = np.random.default_rng(seed)
    sets = random.multinomial(number, np.full(draws + 1, 1 / (draws + 1)), size=simulations)
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
