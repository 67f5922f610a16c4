"""Yes/no labels, with a Bernoulli likelihood."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.errors import DataError, shown
from pyro_rationale.tasks._base import Numbers
from pyro_rationale.tasks._cells import Cell, are_numbers, are_zero_or_one, labels_of, number_of
from pyro_rationale.tasks._classes import ClassTask
from pyro_rationale.tasks._likelihood import Likelihood, shrunk


class BernoulliLikelihood(Likelihood):
    """Yes/no labels: Bernoulli(logits = outputs), independent over the `D` labels given the mask."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(len(names))

    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """Logits `(*s, B, D)` -> a distribution of batch shape `(*s, B)` and event shape `(D,)`."""
        return dist.Bernoulli(logits=outputs).to_event(1)

    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """The distribution with missing labels (NaN) masked out, and labels without NaN."""
        known = ~targets.isnan()
        return dist.Bernoulli(logits=outputs).mask(known).to_event(1), targets.nan_to_num(0.0)

    def marginal(self, outputs: Tensor, variances: Tensor) -> dist.TorchDistribution:
        """Bernoulli with about the mean probability."""
        return self(shrunk(outputs, variances))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of each label in nats, `(*s, B, D)`."""
        return torch.where(targets.isnan(), 0.0, F.softplus(outputs, threshold=40.0) - targets * outputs)

    def reported_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy by the distribution's own formula, which rounds differently, `(*s, B, 1)`."""
        distribution, labels = self.observe(outputs, targets)
        return -distribution.log_prob(labels)[..., None]


class BinaryTask(ClassTask):
    """One or several yes/no labels; unknown ones are NaN."""

    family = "binary"
    value_name = "P(y = second class | x, z)"
    may_be_missing = True

    @classmethod
    def suits(cls, columns: Sequence[Sequence[Cell]], scale: tuple[float, float] | None) -> bool:
        """Numbers that are all 0 or 1, or at most two labels."""
        if are_numbers(columns):
            return scale is None and are_zero_or_one(columns)
        return len(labels_of(columns)) <= 2

    @classmethod
    def check_labels(cls, where: str, labels: Sequence[str]) -> None:
        """Raise DataError if there are more than two labels."""
        if len(labels) > 2:
            some = ", ".join(map(shown, labels[:4]))
            raise DataError(f"{where} holds {len(labels)} classes ({some}...); binary has two: --task multiclass")

    def aliases(self, cells: Collection[str]) -> dict[str, str]:
        """Labels that are the same number as a class; where classes have names, 0 is the first and 1 the second."""
        classes, same = self.spec.classes, super().aliases(cells)
        if any(number_of(name) is not None for name in classes):
            return same
        return same | {cell: classes[int(n)] for cell in cells if (n := number_of(cell)) in (0, 1)}

    def baseline_loss(self, targets: Tensor) -> Tensor:
        """Entropy of each label in nats."""
        share = targets.nanmean(0)
        return -(torch.xlogy(share, share) + torch.xlogy(1 - share, 1 - share))

    def make_likelihood(self, baseline_loss: float = 1.0) -> Likelihood:
        """A Bernoulli likelihood of the labels."""
        return BernoulliLikelihood(self.spec.names)

    def from_linear(self, outputs: Numbers) -> Numbers:
        """Logistic function of the logits."""
        chances: Numbers = 1.0 / (1.0 + np.exp(-np.clip(outputs, -500.0, 500.0)))
        return chances

    def probabilities(self, values: Numbers) -> Numbers:
        """Probabilities of no and yes, `(N, D, 2)`."""
        return np.stack([1 - values, values], axis=-1)

    def drop(self, full: Numbers, other: Numbers) -> Numbers:
        """Change of the probability of the label predicted from all words, averaged over the targets."""
        changes: Numbers = np.mean(np.where(self.decisions(full) == 1, full - other, other - full), axis=1)
        return changes


REGISTERED = BinaryTask
