"""Recurrences along a binary chain, with their gradients: the ground of every mask distribution.

A chain over {0, 1} needs one number per word and direction, not a 2 x 2 matrix: the log-odds of its backward
message. Given those, marginals, adjoints and samples all obey *linear* recurrences whose gains lie in [-1, 1], so
a log-depth scan in plain arithmetic is exact and safe. `reference` and `triton_scan` have the algorithms,
`dispatch` the choice between them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.distributions.scan.dispatch import linear, messages
from pyro_rationale.distributions.scan.reference import softplus


class _LinearRecurrence(torch.autograd.Function):
    """The scan with its adjoint, which is a scan in the other direction (so it can be differentiated again)."""

    @staticmethod
    def forward(ctx: Any, gain: Tensor, offset: Tensor, reverse: bool) -> Tensor:
        result = linear(gain, offset, reverse)
        ctx.save_for_backward(gain, result)
        ctx.reverse = reverse
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gain, result = ctx.saved_tensors
        if ctx.reverse:
            adjoint = linear_recurrence(F.pad(gain[..., :-1], (1, 0)), grads[0])
            neighbour = F.pad(result[..., 1:], (0, 1))
        else:
            adjoint = linear_recurrence(F.pad(gain[..., 1:], (0, 1)), grads[0], reverse=True)
            neighbour = F.pad(result[..., :-1], (1, 0))
        return adjoint * neighbour if ctx.needs_input_grad[0] else None, adjoint, None


def linear_recurrence(gain: Tensor, offset: Tensor, reverse: bool = False) -> Tensor:
    """x_t = gain_t * x_{t-1} + offset_t with x_{-1} = 0, or with x_{t+1} and from the end if `reverse`.

    Args:
        gain: `(*, T)`, within [-1, 1]; its first (last, if `reverse`) entry is not used.
        offset: `(*, T)`.
        reverse: from the end.

    Returns:
        `(*, T)`.
    """
    gain, offset = torch.broadcast_tensors(gain, offset)
    return _LinearRecurrence.apply(gain, offset, reverse)


class _BackwardLogits(torch.autograd.Function):
    """`backward_logits` with its adjoint, which is a linear recurrence and not the loop played backwards."""

    @staticmethod
    def forward(ctx: Any, fields: Tensor, coupling: Tensor) -> Tensor:
        logits = messages(fields, coupling)
        ctx.save_for_backward(logits, coupling)
        return logits

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits, coupling = ctx.saved_tensors
        on = torch.sigmoid(logits[..., 1:] + coupling)
        off = torch.sigmoid(logits[..., 1:] - coupling)
        adjoint = linear_recurrence(F.pad(on - off, (1, 0)), grads[0])
        return adjoint, adjoint[..., :-1] * (on + off - 1)


def backward_logits(fields: Tensor, coupling: Tensor) -> Tensor:
    """Log-odds of each word against everything behind it, u_t = a_t + log beta_t(1) / beta_t(0).

    For log p~(z) = sum a_t z_t - sum J_t |z_t - z_{t+1}| the backward messages obey u_t = a_t + log(e^{-J_t} +
    e^{u_{t+1}}) - log(1 + e^{u_{t+1} - J_t}), and the chain is then a directed one: logit p(z_{t+1} = 1 given z_t)
    = u_{t+1} + J_t if z_t = 1, u_{t+1} - J_t if z_t = 0, and u_0 for the first word.

    Args:
        fields: `(*b, T)`.
        coupling: `(*b, T - 1)`.

    Returns:
        `(*b, T)`.
    """
    return _BackwardLogits.apply(fields, coupling)


@torch.no_grad()
def best_logits(fields: Tensor, coupling: Tensor) -> Tensor:
    """Backward logits with maxima in place of sums: by how much z_t = 1 beats z_t = 0, `(*b, T)`."""
    return messages(fields, coupling, hard=True)


def follow(after_off: Tensor, after_on: Tensor) -> Tensor:
    """Run a deterministic binary automaton: z_t = after_on_t if z_{t-1} = 1 else after_off_t, from z_{-1} = 0.

    Args:
        after_off: bool, `(*, T)`.
        after_on: bool, `(*, T)`; its first entry is not used.

    Returns:
        bool, `(*, T)`. The values -1, 0, 1 of the gains make the scan exact.
    """
    off, on = after_off.to(torch.int8), after_on.to(torch.int8)
    return linear(on - off, off).bool()


def bernoulli_entropy(logits: Tensor) -> Tensor:
    """Entropy of Bernoulli(sigmoid(logits)), exact in the tails where the textbook form cancels."""
    size = logits.abs()
    return softplus(-size) + size * torch.sigmoid(-size)


def bernoulli_kl(logits: Tensor, other: Tensor) -> Tensor:
    """KL(Bernoulli(sigmoid(logits)) || Bernoulli(sigmoid(other)))."""
    return torch.sigmoid(logits) * (logits - other) + softplus(other) - softplus(logits)
