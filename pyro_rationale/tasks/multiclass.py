"""One of several classes, with a Categorical likelihood."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.tasks._base import Numbers, to_numbers
from pyro_rationale.tasks._cells import Cell, are_numbers, labels_of
from pyro_rationale.tasks._classes import ClassTask
from pyro_rationale.tasks._likelihood import Likelihood, OneOfSeveral, shrunk


class CategoricalLikelihood(OneOfSeveral):
    """One of `C` classes: Categorical(logits = outputs)."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__(len(classes))

    def marginal(self, outputs: Tensor, variances: Tensor) -> dist.TorchDistribution:
        """Categorical with about the mean probabilities: each logit shrunk by its own variance (Lu et al. 2020)."""
        return self(shrunk(outputs, variances))


class MulticlassTask(ClassTask):
    """One of several classes, known for every document of a batch or for none."""

    family = "multiclass"
    value_name = "P(y = class | x, z)"
    per_class = True

    @classmethod
    def suits(cls, columns: Sequence[Sequence[Cell]], scale: tuple[float, float] | None) -> bool:
        """More than two labels."""
        return not are_numbers(columns) and len(labels_of(columns)) > 2

    @classmethod
    def check_names(cls, names: Sequence[str]) -> None:
        """Raise ConfigError if there are several targets."""
        if len(names) > 1:
            raise ConfigError(
                f"--target-column: {len(names)} columns of classes ({', '.join(names)}); name one of them"
            )

    def batch(self, rows: Tensor) -> Tensor:
        """Class indices, int64 `(B,)`."""
        if rows.isnan().any():
            raise DataError(
                "expected a class for every document of a batch, or for none; leave out the unlabelled ones"
            )
        return rows[:, 0].long()

    def baseline_loss(self, targets: Tensor) -> Tensor:
        """Entropy of the class in nats."""
        counts = torch.bincount(targets[:, 0].long(), minlength=self.width).double()
        shares = counts / counts.sum()
        return -torch.xlogy(shares, shares).sum(0, keepdim=True)

    def make_likelihood(self, baseline_loss: float = 1.0) -> Likelihood:
        """A categorical likelihood of the class."""
        return CategoricalLikelihood(self.spec.classes)

    @property
    def context_width(self) -> int:
        """Number of classes."""
        return self.width

    def context(self, targets: Tensor) -> Tensor:
        """The class as a one-hot row, `(B, C)`."""
        return torch.nn.functional.one_hot(targets, self.width).to(torch.get_default_dtype())

    def values(self, distribution: dist.TorchDistribution) -> Numbers:
        """Probabilities of all classes."""
        return to_numbers(distribution.probs)

    def sample(self, distribution: dist.TorchDistribution) -> Numbers:
        """Class indices."""
        return to_numbers(distribution.sample())[..., None]

    def from_linear(self, outputs: Numbers) -> Numbers:
        """Softmax of the logits."""
        shifted = np.exp(outputs - outputs.max(1, keepdims=True))
        shares: Numbers = shifted / shifted.sum(1, keepdims=True)
        return shares

    def probabilities(self, values: Numbers) -> Numbers:
        """Probabilities of the one target's classes, `(N, 1, C)`."""
        return values[:, None]

    def drop(self, full: Numbers, other: Numbers) -> Numbers:
        """Change of the probability of the class predicted from all words."""
        chosen = self.decisions(full)
        return (np.take_along_axis(full, chosen, 1) - np.take_along_axis(other, chosen, 1))[:, 0]

    def support(self, values: Numbers) -> Numbers:
        """Probabilities of the classes."""
        return values


REGISTERED = MulticlassTask
