"""Independent words: q(z | x) = prod_t Bernoulli(z_t; sigmoid(w . h_t + b)) (the paper's first generator)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from pyro_rationale.distributions import IndependentMask, MaskDistribution
from pyro_rationale.guides._aspects import AspectRows
from pyro_rationale.guides._base import RationaleGuide


class IndependentGuide(RationaleGuide):
    """Independent Bernoulli words given the text."""

    family: ClassVar[type[MaskDistribution]] = IndependentMask
    default_estimator = "sum-and-sample"
    head_width = 1
    has_aspects = True

    def logits(self, features: Tensor, rows: AspectRows | None = None) -> Tensor:
        """Features `(B, T, H)` -> logits `(B, T)`, or those of rows `(*b, T)`."""
        logits = self.head(features)
        return (logits if rows is None else rows.of(logits)).squeeze(-1)

    def start_rate(self, rate: float) -> None:
        """Set the bias to logit(rate)."""
        with torch.no_grad():
            self.head.bias.fill_(math.log(rate / (1.0 - rate)))

    def distribution(self, features: Tensor, lengths: Tensor, rows: AspectRows | None = None) -> IndependentMask:
        """q(z | x), `(B,)` masks of `T` words."""
        return IndependentMask(self.logits(features, rows), lengths)


REGISTERED = IndependentGuide
