"""Independent words with HardKuma weights (Bastings, Aziz and Titov 2019), a baseline in the networks of the others.

The encoder reads weights in [0, 1] while it trains. A word is selected if its weight is not 0, and all that is
reported is about that 0/1 mask, as for every other guide; predictions included, which read the selected words whole.
At test time the authors give a word its likeliest kind (0, 1, or the mean of its weight); here it is selected when
that is likelier than not, which differs only where 0 is the likeliest of three but below 1/2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.distributions import HardKumaMask, HardKumaraswamy
from pyro_rationale.distributions.bisection import bisect
from pyro_rationale.guides._aspects import AspectRows
from pyro_rationale.guides._base import RationaleGuide

SHAPES = (1e-6, 100.0)  # theirs: beyond these nothing changes any more
MIDDLE = math.log(2.0)  # softplus(0): both shapes of their untrained guide


class HardKumaGuide(RationaleGuide):
    """Two shapes per word, a = softplus(w . h + c) and b likewise (their KumaGate)."""

    family = HardKumaMask
    default_estimator = "relaxed"
    default_tau = 0.0
    default_entropy = 0.0
    default_control = "lagrangian"
    penalties = ("exact", "constant")
    is_baseline = True
    head_width = 2
    has_aspects = True

    def shapes(self, features: Tensor, rows: AspectRows | None = None) -> tuple[Tensor, Tensor]:
        """Features `(B, T, H)` -> a and b, `(B, T)` each, or those of rows `(*b, T)`."""
        gate = self.head(features)
        a, b = F.softplus(gate if rows is None else rows.of(gate)).clamp(*SHAPES).unbind(-1)
        return a, b

    def start_rate(self, rate: float) -> None:
        """Set both biases so that P(weight != 0) = rate: a = MIDDLE * s and b = MIDDLE / s, s by bisection."""

        def tilted(log_s: float) -> tuple[float, float]:
            return MIDDLE * math.exp(log_s), MIDDLE * math.exp(-log_s)

        def selected(log_s: float) -> float:
            a, b = (torch.tensor(shape, dtype=torch.float64) for shape in tilted(log_s))
            return float(HardKumaraswamy(a, b).log_selected.exp())

        low, _ = bisect(lambda log_s: selected(log_s) < rate, -4.0, 4.0)  # from hardly any word to nearly all
        with torch.no_grad():
            shapes = torch.tensor([math.log(math.expm1(shape)) for shape in tilted(low)])
            self.head.bias.copy_(shapes.repeat(self.aspects))

    def distribution(self, features: Tensor, lengths: Tensor, rows: AspectRows | None = None) -> HardKumaMask:
        """q(z | x), `(B,)` masks of `T` words; its draws carry gradients."""
        a, b = self.shapes(features, rows)
        return HardKumaMask(a, b, lengths)


REGISTERED = HardKumaGuide
