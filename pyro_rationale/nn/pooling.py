"""From the states of the kept words to one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LastPooling(nn.Module):
    """The state after the last kept word (the paper's choice); zeros where nothing is kept.

    Args:
        backwards: how many of a state's last numbers are of what reads backwards, and is done at the first word.
    """

    def __init__(self, backwards: int = 0) -> None:
        super().__init__()
        self.backwards = backwards

    def forward(self, states: Tensor, weights: Tensor, lengths: Tensor) -> Tensor:
        """`states` `(N, L, H)`, `weights` `(N, L)`, `lengths` `(N,)` -> `(N, H)`."""
        onward, back = states.split([states.shape[-1] - self.backwards, self.backwards], dim=-1)
        last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, onward.shape[-1])
        ends = torch.cat([onward.gather(1, last).squeeze(1), back[:, 0]], dim=-1)
        return ends * (lengths > 0).to(states.dtype)[:, None]


class MeanPooling(nn.Module):
    """The weighted mean of the states; zeros where nothing is kept."""

    def forward(self, states: Tensor, weights: Tensor, lengths: Tensor) -> Tensor:
        """`states` `(N, L, H)`, `weights` `(N, L)`, `lengths` `(N,)` -> `(N, H)`."""
        total = weights.sum(-1, keepdim=True).clamp(min=1e-6)
        return (states * weights[..., None]).sum(1) / total


class AttentionPooling(nn.Module):
    """Softmax attention over the kept words, each multiplied by its weight; zeros where nothing is kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))

    def forward(self, states: Tensor, weights: Tensor, lengths: Tensor) -> Tensor:
        """`states` `(N, L, H)`, `weights` `(N, L)`, `lengths` `(N,)` -> `(N, H)`."""
        scores = self.score(states).squeeze(-1)
        # By length, not by weight: a straight-through word of weight 0 still owes its gradient.
        absent = torch.arange(scores.shape[1], device=scores.device) >= lengths[:, None]
        scores = scores.masked_fill(absent, -torch.inf)
        peak = scores.amax(-1, keepdim=True).nan_to_num(neginf=0.0).detach()
        shares = weights * (scores - peak).exp()
        return (states * shares[..., None]).sum(1) / shares.sum(-1, keepdim=True).clamp(min=1e-6)


def make_pooling(name: str, width: int, backwards: int = 0) -> nn.Module:
    """The pooling called `name` (one of `POOLINGS`) for states of `width` numbers, `backwards` as for `LastPooling`."""
    if name == "attention":
        return AttentionPooling(width)
    return LastPooling(backwards) if name == "last" else MeanPooling()
