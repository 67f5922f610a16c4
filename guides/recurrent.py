"""The paper's dependent generator: q(z | x) = prod_t q(z_t | z_<t, x), by an LSTM over features and decisions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_rationale.distributions import RecurrentMask
from pyro_rationale.guides._aspects import AspectRows
from pyro_rationale.guides._base import RationaleGuide
from pyro_rationale.guides._target import TargetContext
from pyro_rationale.nn import BiLSTM
from pyro_rationale.nn.kernels.cuda_graph import replayed
from pyro_rationale.nn.kernels.gated_lstm import STRIDE, gated_lstm

State = tuple[Tensor, Tensor]


class MaskCell(nn.Module):
    """A recurrent cell from features of word t and z_{t-1} to the logit of z_t (Lei et al. 2016, section 3.3).

    An LSTM and a direct path. Its part of the features does not depend on the decisions, so `project` computes that
    once per document, and samples, draws and beams share it. Where several targets have masks of their own, that part
    is each target's own too, and the recurrence is common to all.
    """

    def __init__(self, features: int, width: int, aspects: int = 1) -> None:
        super().__init__()
        self.width, self.aspects = width, aspects
        self.inputs = nn.Linear(features, 4 * width * aspects)  # gates: input, forget, candidate, output
        self.decision = nn.Parameter(torch.empty(4 * width).uniform_(-1.0, 1.0) / math.sqrt(width))
        self.recurrent = nn.Parameter(torch.empty(4 * width, width).uniform_(-1.0, 1.0) / math.sqrt(width))
        self.direct = nn.Linear(features, aspects)
        self.output = nn.Linear(width, 1, bias=False)

    def project(self, features: Tensor) -> Tensor:
        """Features `(*b, T, H)` -> arguments of `step` and `unroll`, `(*b, T, 4 * width + 1)`, target after target."""
        parts = self.inputs(features), self.direct(features)
        if self.aspects == 1:
            return torch.cat(parts, dim=-1)
        return torch.cat([part.unflatten(-1, (self.aspects, -1)) for part in parts], dim=-1).flatten(-2)

    def shift(self, projected: Tensor, amount: Tensor) -> Tensor:
        """Arguments of `step` and `unroll` with which each logit is higher by `amount` `(*b, T)`."""
        return torch.cat([projected[..., :-1], projected[..., -1:] + amount[..., None]], dim=-1)

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

    def draw(self, words: Tensor, uniform: Tensor, alive: Tensor) -> tuple[Tensor, Tensor]:
        """Masks and their logits, word after word: `(T, B, 4 * width + 1)`, `(T, S * B)`, `(T, B)` -> `(T, S * B)`."""
        length = len(words)
        if words.is_cuda and length % STRIDE:  # few lengths, few graphs
            more = STRIDE - length % STRIDE
            words, uniform, alive = (F.pad(x, (0, 0) * (x.dim() - 1) + (0, more)) for x in (words, uniform, alive))
        # The decision before is one more component of the state.
        matrix = torch.cat([self.recurrent, self.decision[:, None]], dim=1).t()
        masks, logits = replayed(_draw, words, uniform, alive, matrix, self.output.weight[0])
        return masks[:length], logits[:length]


def _draw(words: Tensor, uniform: Tensor, alive: Tensor, matrix: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
    """The loop of `MaskCell.draw`; `matrix` `(width + 1, 4 * width)`, `output` `(width,)`."""
    length, documents, _ = words.shape
    samples, width = uniform.shape[1] // documents, len(output)
    gates = words.new_empty(samples, documents, 4 * width)
    now = gates.view(-1, 4 * width)
    enter, forget, candidate, out = now.split(width, dim=-1)
    logits = words[..., -1].repeat(1, samples)
    alive = alive.repeat(1, samples)
    masks = torch.empty_like(uniform, dtype=words.dtype)
    state = words.new_zeros(uniform.shape[1], width + 1)
    hidden, before = state[:, :width], state[:, width]
    cell = torch.zeros_like(hidden)
    for t in range(length):
        torch.mm(state, matrix, out=now)
        gates.add_(words[t, :, :-1])
        now[:, : 2 * width].sigmoid_()
        now[:, 2 * width : 3 * width].tanh_()
        now[:, 3 * width :].sigmoid_()
        cell.mul_(forget).addcmul_(enter, candidate)
        torch.mul(out, cell.tanh(), out=hidden)
        logits[t].addmv_(hidden, output)
        torch.mul(uniform[t] < logits[t].to(uniform.dtype).sigmoid(), alive[t], out=masks[t])
        before.copy_(masks[t])
    return masks, logits


class RecurrentGuide(RationaleGuide):
    """Autoregressive masks.

    Args:
        width: hidden size of the recurrence over decisions.
    """

    family = RecurrentMask
    has_aspects = True
    default_estimator = "muprop"  # others draw masks that are not read, at the cost of a step per word

    def __init__(
        self,
        generator: BiLSTM,
        baseline: nn.Module | None = None,
        width: int = 30,
        target: TargetContext | None = None,
        aspects: int = 1,
    ) -> None:
        super().__init__(generator, baseline, target, aspects)
        self.cell = MaskCell(generator.width, width, aspects)

    def start_rate(self, rate: float) -> None:
        """Set the bias to logit(rate); the recurrence starts small beside it."""
        with torch.no_grad():
            self.cell.direct.bias.fill_(math.log(rate / (1.0 - rate)))

    def distribution(self, features: Tensor, lengths: Tensor, rows: AspectRows | None = None) -> RecurrentMask:
        """q(z | x), `(B,)` masks of `T` words."""
        projected = self.cell.project(features)
        return RecurrentMask(projected if rows is None else rows.of(projected), self.cell, lengths)


REGISTERED = RecurrentGuide
