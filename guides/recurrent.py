"""The paper's dependent generator: q(z | x) = prod_t q(z_t | z_<t, x), by an LSTM over features and decisions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pyro_rationale.distributions import RecurrentMask
from pyro_rationale.guides.base import RationaleGuide
from pyro_rationale.guides.target import TargetContext
from pyro_rationale.nn import BiLSTM
from pyro_rationale.nn.gated import gated_lstm

State = tuple[Tensor, Tensor]


class MaskCell(nn.Module):
    """Reads (features of word t, z_{t-1}) and gives the logit of z_t (Lei et al. 2016, section 3.3).

    An LSTM and a direct path. What it needs of the features does not depend on the decisions, so `project` computes
    that once per document, and samples, draws and beams share it.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.inputs = nn.Linear(features, 4 * width)  # gates: input, forget, candidate, output
        self.decision = nn.Parameter(torch.empty(4 * width).uniform_(-1.0, 1.0) / math.sqrt(width))
        self.recurrent = nn.Parameter(torch.empty(4 * width, width).uniform_(-1.0, 1.0) / math.sqrt(width))
        self.direct = nn.Linear(features, 1)
        self.output = nn.Linear(width, 1, bias=False)

    def project(self, features: Tensor) -> Tensor:
        """Features `(*b, T, H)` -> what `step` and `unroll` read, `(*b, T, 4 * width + 1)`."""
        return torch.cat([self.inputs(features), self.direct(features)], dim=-1)

    def initial(self, projected: Tensor) -> State:
        """The state before the first word, for `(*b, T, ...)`."""
        zeros = projected.new_zeros(*projected.shape[:-2], self.width)
        return zeros, zeros

    def step(self, projected: Tensor, previous: Tensor, state: State) -> tuple[Tensor, State]:
        """One word: `(N, 4 * width + 1)`, previous decision `(N,)` -> logit `(N,)` and the next state."""
        hidden, cell = state
        gates = projected[..., :-1] + previous[..., None] * self.decision + hidden @ self.recurrent.t()
        enter, forget, candidate, out = gates.chunk(4, dim=-1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
        hidden = torch.sigmoid(out) * torch.tanh(cell)
        return projected[..., -1] + self.output(hidden).squeeze(-1), (hidden, cell)

    def unroll(self, projected: Tensor, previous: Tensor) -> Tensor:
        """All words at once, decisions given: `(N, T, 4 * width + 1)`, `(N, T)` -> logits `(N, T)`."""
        gates = projected[..., :-1] + previous[..., None] * self.decision
        hidden = gated_lstm(gates, self.recurrent, torch.ones_like(previous))
        return projected[..., -1] + self.output(hidden).squeeze(-1)


class RecurrentGuide(RationaleGuide):
    """Autoregressive masks.

    Args:
        width: hidden size of the recurrence over decisions.
    """

    def __init__(
        self,
        generator: BiLSTM,
        baseline: nn.Module | None = None,
        width: int = 30,
        target: TargetContext | None = None,
    ) -> None:
        super().__init__(generator, baseline, target)
        self.cell = MaskCell(generator.width, width)

    def start_rate(self, rate: float) -> None:
        """Set the bias to logit(rate); the recurrence starts small beside it."""
        with torch.no_grad():
            self.cell.direct.bias.fill_(math.log(rate / (1.0 - rate)))

    def distribution(self, features: Tensor, lengths: Tensor) -> RecurrentMask:
        """q(z | x), `(B,)` masks of `T` words."""
        return RecurrentMask(self.cell.project(features), self.cell, lengths)
