"""A guide of independent words with a hidden layer in its head."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rationale.distributions import IndependentMask
from pyro_rationale.guides import RationaleGuide


class TwoLayerGuide(RationaleGuide):
    """Independent Bernoulli words; the logit of each is a small network over its features."""

    family = IndependentMask
    default_estimator = "median-baseline"

    def __init__(self, generator: Any, baseline: nn.Module | None = None, target: Any = None) -> None:
        super().__init__(generator, baseline, target)
        self.hidden = nn.Linear(generator.width, 4)
        self.head = nn.Linear(4, 1)

    def start_rate(self, rate: float) -> None:
        """Set the bias to logit(rate)."""
        with torch.no_grad():
            self.head.bias.fill_(math.log(rate / (1.0 - rate)))

    def distribution(self, features: Tensor, lengths: Tensor, rows: Any = None) -> IndependentMask:
        """q(z | x), `(B,)` masks of `T` words."""
        return IndependentMask(self.head(self.hidden(features).tanh()).squeeze(-1), lengths)
