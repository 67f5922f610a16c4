"""Ratings of few levels, such as one to five stars: cumulative logits.

P(y <= level l | x, z) = sigmoid(c_l - f(x, z)), with rising cutpoints c_l that are learnt with the encoder (McCullagh,
1980, "Regression models for ordinal data"). Unlike Normal noise this knows that ratings end where the scale does, and
how many people give the highest and the lowest. The prediction is the expected rating, and errors are those of ratings:
tables compare the two directly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints, register_kl

from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.tasks._base import Numbers, to_numbers
from pyro_rationale.tasks._cells import Cell, are_numbers, number_of
from pyro_rationale.tasks._level_mixture import LevelMixture
from pyro_rationale.tasks._levels import count_levels, evenly_spaced, has_few_levels, is_level, levels_of
from pyro_rationale.tasks._likelihood import Likelihood
from pyro_rationale.tasks._mixed import MixedDistribution
from pyro_rationale.tasks._mixture import Mixture
from pyro_rationale.tasks._spec import TargetSpec
from pyro_rationale.tasks.regression import RegressionTask

MOST_ASKED_FOR = 50  # levels of a target with `--task ordinal`
SPEED = 5.0  # cutpoints lie several units apart, where other weights are of order one: Adam must take larger steps
SMALLEST_GAP = 1e-3  # between cutpoints
SMALLEST_NOISE = 1e-6  # of the scale: rounding leaves none at all to an output far beyond the last cutpoint
LARGEST_SCALE, SCALES = 8.0, 121  # that held-out ratings may ask for, or its inverse; how many are tried


class CumulativeLogit(dist.TorchDistribution):
    """Levels 0, 1/L, ..., 1 with P(y <= l / L) = sigmoid(cutpoint l - location); batch shape is that of `location`.

    Args:
        location: `(*s, D)`.
        cutpoints: `(D, L)`, rising; infinite behind the last one of a target of fewer levels.
    """

    arg_constraints = {"location": constraints.real, "cutpoints": constraints.independent(constraints.real, 1)}  # noqa: RUF012
    support = constraints.unit_interval

    def __init__(self, location: Tensor, cutpoints: Tensor, validate_args: bool | None = None) -> None:
        self.location, self.cutpoints = location, cutpoints
        super().__init__(location.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> CumulativeLogit:
        """The distribution with its location expanded."""
        return CumulativeLogit(self.location.expand(batch_shape), self.cutpoints, validate_args=False)

    @property
    def tops(self) -> Tensor:
        """Number of the highest level of each target, from 0, `(D,)`."""
        return self.cutpoints.isfinite().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of the level nearest to a value."""
        index = _levels_of(value, self.tops)
        shape = torch.broadcast_shapes(index.shape, self.batch_shape)
        low, high = (_at(edges, index, shape) for edges in self._edges)
        return _log_between(low, high, self.location)

    @property
    def log_probs(self) -> Tensor:
        """Log probabilities of the levels, `(*s, D, L + 1)`; -inf behind the last one of a target."""
        low, high = self._edges
        absent = low == torch.inf
        logs = _log_between(low.masked_fill(absent, 0.0), high, self.location[..., None])
        return logs.masked_fill(absent, -torch.inf)

    @property
    def probs(self) -> Tensor:
        """Probabilities of the levels, float64 `(*s, D, L + 1)`; 0 behind the last one of a target."""
        low, high = (edges.double() for edges in self._edges)
        location = self.location.double()[..., None]
        return torch.sigmoid(location - low) - torch.sigmoid(location - high)

    @property
    def mean(self) -> Tensor:
        """Expected value: the sum of the probabilities to lie above each cutpoint."""
        return self._above.sum(-1) / self.tops

    @property
    def variance(self) -> Tensor:
        """Variance."""
        above = self._above
        odd = 2.0 * torch.arange(above.shape[-1], dtype=above.dtype, device=above.device) + 1.0
        return (odd * above).sum(-1) / self.tops**2 - self.mean**2

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of a logistic variable around the location, by the cutpoints below."""
        with torch.no_grad():
            uniform = torch.rand(torch.Size(sample_shape) + self.batch_shape, dtype=torch.float64)
            latent = self.location.double() + torch.logit(uniform, 1e-15).to(self.location.device)
            levels = (latent[..., None] > self.cutpoints).sum(-1)
            return (levels / self.tops).to(self.location.dtype)

    @property
    def _above(self) -> Tensor:
        """P(y > each cutpoint)."""
        return torch.sigmoid(self.location[..., None] - self.cutpoints)

    @property
    def _edges(self) -> tuple[Tensor, Tensor]:
        """Cutpoints below and above each level, `(D, L + 1)` each."""
        end = self.cutpoints.new_full((len(self.cutpoints), 1), torch.inf)
        return torch.cat([-end, self.cutpoints], 1), torch.cat([self.cutpoints, end], 1)


def _levels_of(values: Tensor, tops: Tensor) -> Tensor:
    """Number of the level nearest to each value in [0, 1]."""
    return (values * tops).round().long().clamp_min(0).minimum(tops)


def _at(edges: Tensor, index: Tensor, shape: torch.Size) -> Tensor:
    """Entries of `edges (D, L)` at `index (*s, D)`, `shape`."""
    return edges.expand(*shape, edges.shape[-1]).gather(-1, index.expand(shape)[..., None])[..., 0]


def _log_between(low: Tensor, high: Tensor, location: Tensor) -> Tensor:
    """Log of sigmoid(high - f) - sigmoid(low - f), f the location, without a difference that could cancel.

    It is log sigmoid(high - f) + log sigmoid(f - low) + log(1 - e^(low - high)), exactly.
    """
    return F.logsigmoid(high - location) + F.logsigmoid(location - low) + torch.log(-torch.expm1(low - high))


@register_kl(CumulativeLogit, CumulativeLogit)
def _kl(p: CumulativeLogit, q: CumulativeLogit) -> Tensor:
    known = p.log_probs > -torch.inf
    logs = (r.log_probs.masked_fill(~known, 0.0) for r in (p, q))
    own, other = logs
    return (p.probs.to(own.dtype) * (own - other)).sum(-1)


class OrdinalLikelihood(Likelihood):
    """Ratings of few levels, scaled to [0, 1]: cumulative logits around the outputs, independent over the `D` aspects.

    The loss is -log p(y | x, z), in nats. Cutpoints rise by construction: a first one, and gaps that are exponentials.

    A short training leaves probabilities underconfident, an overfitted encoder leaves them overconfident.
    So outputs and cutpoints are multiplied by a factor that held-out ratings choose when training has ended: it is to
    this likelihood what the standard deviation of the noise is to the Normal one.

    Args:
        levels: number of levels of each aspect.
    """

    settles = True
    used: Tensor
    scale: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__(len(levels))
        self.levels = tuple(levels)
        most = max(levels)
        self.first = nn.Parameter(torch.zeros(len(levels)))
        self.log_gaps = nn.Parameter(torch.zeros(len(levels), most - 2))
        used = torch.arange(most - 1) < torch.tensor(levels)[:, None] - 1
        self.register_buffer("used", used, persistent=False)
        self.register_buffer("scale", torch.ones(len(levels)))

    @property
    def cutpoints(self) -> Tensor:
        """`(D, L - 1)`, rising, before they are scaled; infinite behind the last one of an aspect of fewer levels."""
        gaps = SMALLEST_GAP + torch.exp(SPEED * self.log_gaps)
        points = torch.cat([SPEED * self.first[:, None], gaps], dim=1).cumsum(1)
        return points.masked_fill(~self.used, torch.inf)

    @torch.no_grad()
    def settle(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> None:
        """Set the scale of each aspect to the one under which the mixture over masks finds the ratings most probable.

        A standard Normal prior on its logarithm keeps it near 1 where there are few ratings.
        """
        scales = torch.logspace(-1, 1, SCALES, LARGEST_SCALE, dtype=torch.float64)
        own, points, known = outputs.double(), self.cutpoints.double().cpu(), ~targets.isnan()
        scores = []
        for scale in scales:
            each = CumulativeLogit(scale * own, scale * points).log_prob(targets.nan_to_num(0.0).double())
            averaged = each.logsumexp(0) - math.log(len(own))
            averaged = averaged if weights is None else averaged * weights.double()[:, None]
            scores.append(torch.where(known, averaged, 0.0).sum(0) - 0.5 * scale.log() ** 2)
        self.scale.copy_(scales[torch.stack(scores).argmax(0)])

    def _scaled(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Location and cutpoints of the distribution."""
        return outputs * self.scale.to(outputs.dtype), (self.cutpoints * self.scale[:, None]).to(outputs.dtype)

    @torch.no_grad()
    def start_from(self, values: Tensor) -> Tensor:
        """Set the cutpoints, of all aspects in one row, and let outputs start at 0."""
        points = torch.split(values.double(), [count - 1 for count in self.levels])
        for i, own in enumerate(points):
            self.first[i] = own[0] / SPEED
            gaps = (own.diff() - SMALLEST_GAP).clamp_min(SMALLEST_GAP)
            self.log_gaps[i, : len(gaps)] = gaps.log() / SPEED
        return torch.zeros(self.width)

    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """Outputs `(*s, B, D)` -> a distribution of batch shape `(*s, B)` and event shape `(D,)`."""
        return CumulativeLogit(*self._scaled(outputs)).to_event(1)

    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """The distribution with unrated aspects (NaN targets) masked out, and targets without NaN."""
        levels = CumulativeLogit(*self._scaled(outputs))
        return levels.mask(~targets.isnan()).to_event(1), targets.nan_to_num(0.0)

    def marginal(self, outputs: Tensor, variances: Tensor) -> dist.TorchDistribution:
        """The mean over two outputs, a standard deviation above and below (Gauss-Hermite quadrature of two points)."""
        reach = variances.sqrt()
        return MixedDistribution([self(outputs + reach), self(outputs - reach)])

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log p of each aspect in nats, `(*s, B, D)`: from differences of probabilities, taken in the nearer tail."""
        location, points = self._scaled(outputs.double())
        end = points.new_full((len(points), 1), torch.inf)
        index = _levels_of(targets.nan_to_num(0.0), self.used.sum(-1))
        low = _at(torch.cat([-end, points], 1), index, outputs.shape)
        high = _at(torch.cat([points, end], 1), index, outputs.shape)
        left = torch.sigmoid(high - location) - torch.sigmoid(low - location)
        right = torch.sigmoid(location - low) - torch.sigmoid(location - high)
        chances = torch.where(location > low, left, right)
        return torch.where(targets.isnan(), 0.0, -chances.log()).to(outputs.dtype)


class OrdinalTask(RegressionTask):
    """Ratings of one or several aspects, each of a few evenly spaced levels; unrated aspects are NaN."""

    error_name = "cross entropy in nats"
    constant_name = "always guessing the shares of the ratings"
    loss_unit = "nats of cross entropy"

    @classmethod
    def suits(cls, columns: Sequence[Sequence[Cell]], scale: tuple[float, float] | None) -> bool:
        """Ratings that stand on at most 11 evenly spaced levels, and on most of these."""
        return are_numbers(columns) and has_few_levels(columns, scale)

    @classmethod
    def make_spec(
        cls,
        kind: str,
        where: str,
        names: Sequence[str],
        columns: Sequence[Sequence[Cell]],
        scale: tuple[float, float] | None,
    ) -> TargetSpec:
        """Ratings from the lowest to the highest level, and how many levels there are."""
        spec = super().make_spec(kind, where, names, columns, scale)
        values = [np.array([number_of(cell) for cell in column], dtype=np.float64) for column in columns]
        return cls.with_levels(spec, where, values)

    @classmethod
    def of_family(cls, spec: TargetSpec, kind: str, where: str, targets: Numbers) -> TargetSpec:
        """The levels that a ready-made corpus rates by, unless they are known."""
        spec = replace(spec, kind=kind)
        return spec if spec.levels else cls.with_levels(spec, where, list(targets.T))

    @classmethod
    def with_levels(cls, spec: TargetSpec, where: str, values: Sequence[Numbers]) -> TargetSpec:
        """The description with the number of levels that the values of each target stand on.

        Raises:
            DataError: they stand on none, or on too many.
        """
        counts = []
        for name, ends, column in zip(spec.names, spec.ranges, values, strict=True):
            inside = column[(column >= ends[0]) & (column <= ends[1])]
            count = count_levels(inside, *ends, MOST_ASKED_FOR)
            if count is None:
                raise DataError(
                    f"{where}: {name!r} has {len(np.unique(inside))} different ratings, not on at most "
                    f"{MOST_ASKED_FOR} evenly spaced levels from {ends[0]:g} to {ends[1]:g}; --task regression"
                )
            counts.append(count)
        return replace(spec, levels=tuple(counts))

    @classmethod
    def check_spec(cls, spec: TargetSpec) -> None:
        """Raise ConfigError where the numbers of levels are missing or too small."""
        if len(spec.levels) != len(spec.names) or min(spec.levels) < 2:
            raise ConfigError(f"target.levels: expected a number of 2 or more for each target, got {spec.levels}")

    def answer(self, cell: Cell, i: int) -> float:
        """One of the levels."""
        number, levels = self.parse(cell, i), levels_of(self.spec, i)
        if not is_level(number, levels):
            raise ValueError(f"is {number:g}, none of the ratings {', '.join(f'{level:g}' for level in levels)}")
        return number

    def describe(self) -> str:
        """Names, scales and numbers of levels."""
        named = zip(self.spec.names, self.spec.ranges, self.spec.levels, strict=True)
        parts = (f"{name} {low:g} to {high:g}, {count} levels" for name, (low, high), count in named)
        return f"ratings ({', '.join(parts)})"

    def baseline_loss(self, targets: Tensor) -> Tensor:
        """Entropy of the levels of each target in nats."""
        shares = [counts / counts.sum() for counts in self._counts(targets)]
        return torch.stack([-torch.xlogy(share, share).sum() for share in shares])

    def make_likelihood(self, baseline_loss: float = 1.0) -> Likelihood:
        """Cumulative logits whose cutpoints are one apart."""
        return OrdinalLikelihood(self.spec.levels)

    def initial_outputs(self, targets: Tensor) -> list[float]:
        """The cutpoints under which an output of 0 predicts the share of each level, all targets in one row."""
        points: list[float] = []
        for counts in self._counts(targets):
            below = (counts + 0.5).cumsum(0)
            points += torch.logit(below[:-1] / below[-1]).tolist()
        return points

    def noise(self, distribution: dist.TorchDistribution) -> Numbers:
        """Probabilities of the levels, `(*s, B, D, L)`: what :meth:`mixture` needs of each mask."""
        return to_numbers(_probabilities(distribution))

    def mixture(self, values: Numbers, noise: Numbers, weights: Numbers) -> LevelMixture:
        """Predictive distribution of the levels over several masks."""
        levels = self.levels
        means = np.sum(noise * levels, axis=-1)
        variances = np.sum(noise * (levels - means[..., None]) ** 2, axis=-1)
        sds = np.maximum(np.sqrt(variances), SMALLEST_NOISE * self._sizes)
        return LevelMixture(means=values, sds=sds, weights=weights, probabilities=noise, levels=levels)

    def level_shares(self, predictive: Mixture | None) -> dict[str, dict[str, float]]:
        """Probability of each level by target."""
        if not isinstance(predictive, LevelMixture):
            return {}
        rows = zip(self.spec.names, self.levels, predictive.shares, self.spec.levels, strict=True)
        return {
            name: {f"{level:g}": share for level, share in zip(levels[:count], shares[:count].tolist(), strict=True)}
            for name, levels, shares, count in rows
        }

    @property
    def levels(self) -> Numbers:
        """The ratings `(D, L)`, as people write them; behind a target's last level, that level again."""
        most = max(self.spec.levels)
        rows = [
            np.append(evenly_spaced(low, high, count), np.full(most - count, high))
            for (low, high), count in zip(self.spec.ranges, self.spec.levels, strict=True)
        ]
        return np.array(rows)

    def _counts(self, targets: Tensor) -> list[Tensor]:
        """How often each level of each target occurs, float64."""
        columns = self.scaled(targets).unbind(-1)
        counts = []
        for column, count in zip(columns, self.spec.levels, strict=True):
            known = column[~column.isnan()]
            levels = (known * (count - 1)).round().long().clamp(0, count - 1)
            counts.append(torch.bincount(levels, minlength=count).double())
        return counts


def _probabilities(distribution: Any) -> Tensor:
    """Probabilities of the levels of each target, under wrappers and averaged over the members of an ensemble."""
    if isinstance(distribution, MixedDistribution):
        return distribution.averaged(torch.stack([_probabilities(part) for part in distribution.parts]))
    return distribution.probs if isinstance(distribution, CumulativeLogit) else _probabilities(distribution.base_dist)


REGISTERED = OrdinalTask
