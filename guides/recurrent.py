"""The paper's dependent generator: q(z | x) = prod_t q(z_t | z_<t, x), an LSTM over features and past decisions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pyro_rationale.distributions import RecurrentMask
from pyro_rationale.guides.base import RationaleGuide
from pyro_rationale.nn import BiLSTM

State = tuple[Tensor, Tensor]


class MaskCell(nn.Module):
    """Reads (features of word t, z_{t-1}) and gives the logit of z_t (Lei et al. 2016, section 3.3)."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features + 1, width, batch_first=True)
        self.direct = nn.Linear(features, 1)
        self.recurrent = nn.Linear(width, 1, bias=False)

    def initial(self, features: Tensor) -> State:
        """The state before the first word, for features `(*b, T, H)`."""
        zeros = features.new_zeros(*features.shape[:-2], self.lstm.hidden_size)
        return zeros, zeros

    def step(self, features: Tensor, previous: Tensor, state: State) -> tuple[Tensor, State]:
        """One word: features `(*b, H)`, previous decision `(*b,)` -> logit `(*b,)` and the next state."""
        shape = features.shape[:-1]
        inputs = torch.cat([features, previous[..., None]], dim=-1).reshape(-1, features.shape[-1] + 1)
        flat = (state[0].reshape(-1, state[0].shape[-1]), state[1].reshape(-1, state[1].shape[-1]))
        lstm = self.lstm
        hidden, cell = torch.lstm_cell(
            inputs, flat, lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0
        )
        hidden, cell = hidden.reshape(*shape, -1), cell.reshape(*shape, -1)
        return (self.direct(features) + self.recurrent(hidden)).squeeze(-1), (hidden, cell)

    def unroll(self, features: Tensor, previous: Tensor) -> Tensor:
        """All words at once, decisions given: `(*b, T, H)`, `(*b, T)` -> logits `(*b, T)`."""
        inputs = torch.cat([features, previous[..., None]], dim=-1)
        hidden = self.lstm(inputs.reshape(-1, *inputs.shape[-2:]))[0].reshape(*inputs.shape[:-1], -1)
        return (self.direct(features) + self.recurrent(hidden)).squeeze(-1)


class RecurrentGuide(RationaleGuide):
    """Autoregressive masks.

    Args:
        width: hidden size of the recurrence over decisions.
    """

    def __init__(self, generator: BiLSTM, baseline: nn.Module | None = None, width: int = 30) -> None:
        super().__init__(generator, baseline)
        self.cell = MaskCell(generator.width, width)

    def start_rate(self, rate: float) -> None:
        """Set the bias to logit(rate); the recurrence starts small beside it."""
        with torch.no_grad():
            self.cell.direct.bias.fill_(math.log(rate / (1.0 - rate)))

    def distribution(self, features: Tensor, lengths: Tensor) -> RecurrentMask:
        """q(z | x), `(B,)` masks of `T` words."""
        return RecurrentMask(features, self.cell, lengths)
