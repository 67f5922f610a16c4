"""Pareto-smoothed importance sampling, document by document: a check of the guide as a proposal.

Vehtari, Simpson, Gelman, Yao and Gabry (2024), "Pareto smoothed importance sampling", JMLR 25(72): a generalised
Pareto distribution is fitted to the largest weights, by Zhang and Stephens (2009). Its shape k-hat says how heavy
their tail is (above 0.7 nothing computed from the weights can be trusted), its quantiles replace them.

ArviZ has it too (`arviz.psislw` up to 0.23, the package `arviz_stats` since 1.0) and is not used here: it is an extra,
its import takes seconds, and masks are discrete. A mask that is drawn again has the same weight again; where such ties
fill the cutoff, ArviZ 0.23 answers k-hat = inf and 1.x raises. On weights without ties we agree with it
(tests/inference/test_psis.py).

A finite set of masks bounds the weights: no tail is heavy for ever. k-hat then tells how heavy the tail is at the scale
that so many draws can see, which is what decides how good the estimates are. And no diagnostic that looks at draws
alone knows of masks that the guide never draws.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_rationale.inference.limits import FEWEST_DRAWS
from pyro_rationale.inference.limits import TRUSTED as TRUSTED

SMALLEST = 5  # weights that a tail is fitted to, at least
TIE = 1e-9  # nats between the weights of one mask that was drawn twice, which differ by rounding

_LEAST = math.log(torch.finfo(torch.float64).tiny)
NEGLIGIBLE = 0.1  # relative standard error of the mean weight that ties with a few larger ones may bring in

CONSTANT = "the largest weights are equal"
TIES = "fewer than five draws lie above the ties, and outweigh them"
FEW = "too few draws to see a tail"
INFINITE = "an infinite weight"
NOTHING = "no draw has any weight"


class Psis(NamedTuple):
    """Smoothed weights of `B` documents and their diagnostics.

    Attributes:
        k: `(B,)`, float64, the shape; -inf < k <= inf, and 0 for tails that are constant.
        log_weights: `(S, B)`, float64, smoothed, in the order and on the scale of those given; weights of one value
            may get several, whose sum is what counts.
        reasons: where no distribution could be fitted, why; else `None`.
    """

    k: Tensor
    log_weights: Tensor
    reasons: tuple[str | None, ...]


class Pareto(NamedTuple):
    """A generalised Pareto distribution on [0, inf): its shape, and its scale > 0."""

    k: float
    sigma: float

    def quantile(self, probability: Tensor) -> Tensor:
        """The inverse of its distribution function."""
        if abs(self.k) < 1e-12:
            return -self.sigma * torch.log1p(-probability)
        return self.sigma / self.k * torch.expm1(-self.k * torch.log1p(-probability))


def psis(log_weights: Tensor) -> Psis:
    """Smooth the weights of independent draws.

    Args:
        log_weights: `(S, B)`, in nats, unnormalised; from networks in float64, or the weights of one mask that was
            drawn twice differ. -inf is a weight of 0.

    Raises:
        ValueError: another shape, or NaN.
    """
    if log_weights.dim() != 2 or not log_weights.shape[0]:
        raise ValueError(f"expected log weights of draws and documents (S, B), got shape {tuple(log_weights.shape)}")
    if bool(log_weights.isnan().any()):
        raise ValueError("expected log weights, got NaN")
    columns = [_smooth(column) for column in log_weights.detach().double().cpu().unbind(-1)]
    smoothed = torch.stack([column for _, column, _ in columns], -1) if columns else log_weights.double()
    k = torch.tensor([k for k, _, _ in columns], dtype=torch.float64)
    device = log_weights.device
    return Psis(k.to(device), smoothed.to(device), tuple(reason for _, _, reason in columns))


def tail_size(draws: int) -> int:
    """How many of the largest weights are the tail: min(S / 5, 3 sqrt S), rounded up (Vehtari et al., section 6)."""
    return math.ceil(min(draws / 5, 3 * math.sqrt(draws)))


def fit_pareto(excesses: Tensor) -> Pareto:
    """A generalised Pareto distribution for `(M,)` numbers > 0 in ascending order, float64.

    Zhang and Stephens (2009), section 4: the posterior mean of b = -k / sigma under their empirical prior, on a grid.
    The shape is then drawn towards 1/2 as if ten more excesses had said so (Vehtari et al., appendix G).
    """
    count, largest = len(excesses), excesses[-1]
    points = 30 + math.isqrt(count)
    steps = torch.arange(1, points + 1, dtype=torch.float64) - 0.5
    quartile = excesses[int(count / 4 + 0.5) - 1].clamp_min(1e-200 * float(largest))  # lest b overflows
    b = 1 / largest + (1 - (points / steps).sqrt()) / (3 * quartile)
    b = _not_zero(b, largest)
    k = torch.log1p(-b[:, None] * excesses).mean(-1)
    weights = (count * (torch.log(-b / k) - k - 1)).softmax(0)
    weights = torch.where(weights < 10 * torch.finfo(torch.float64).eps, 0.0, weights)
    mean = _not_zero((b * weights).sum() / weights.sum(), largest)
    shape = torch.log1p(-mean * excesses).mean()
    return Pareto(float((count * shape + 5) / (count + 10)), float(-shape / mean))


def _not_zero(b: Tensor, scale: Tensor) -> Tensor:
    """At b = 0 the distribution is exponential and k / b is 0 / 0; a hair beside it, it is not."""
    return torch.where(b.abs() * scale < 1e-10, 1e-10 / scale, b)


def _smooth(log_weights: Tensor) -> tuple[float, Tensor, str | None]:
    """k-hat, smoothed log weights and reason for one document, `(S,)`."""
    top = log_weights.max()
    if top == -math.inf:
        return math.inf, log_weights, NOTHING
    if top == math.inf:
        return math.inf, log_weights, INFINITE
    if len(log_weights) < FEWEST_DRAWS:
        return math.inf, log_weights, FEW
    size = tail_size(len(log_weights))
    ordered, order = (log_weights - top).sort()
    ordered = _tied(ordered)
    if ordered[-size - 1] == ordered[-1]:
        return 0.0, log_weights, CONSTANT
    # Ties at the cutoff are not in the tail (nor are they in ArviZ). If nearly nothing is, there is no fit, but it is
    # plain whether those few draws decide the mean.
    cutoff = ordered[-size - 1].clamp_min(_LEAST)
    start = int((ordered <= cutoff).sum())
    if len(ordered) - start < SMALLEST:
        weights = ordered.exp()
        matters = weights[start:].square().sum().sqrt() / weights.sum() > NEGLIGIBLE
        return (math.inf, log_weights, TIES) if matters else (0.0, log_weights, CONSTANT)
    floor = cutoff.exp()
    pareto = fit_pareto(ordered[start:].exp() - floor)
    ranks = (torch.arange(len(ordered) - start, dtype=torch.float64) + 0.5) / (len(ordered) - start)
    smoothed = log_weights - top
    smoothed[order[start:]] = torch.log(floor + pareto.quantile(ranks)).clamp_max(0.0)
    return pareto.k, smoothed + top, None


def _tied(ordered: Tensor) -> Tensor:
    """Ascending numbers; those that follow the one before within `TIE` become equal to it."""
    positions = torch.arange(len(ordered))
    new = ordered[1:] - ordered[:-1] > TIE  # -inf less -inf is NaN, which is no step either
    starts = torch.cat([positions[:1], torch.where(new, positions[1:], 0)]).cummax(0).values
    return ordered[starts]
