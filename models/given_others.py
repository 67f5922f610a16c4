"""Likelihoods of one target when the others are known: p(y_a | x, z_a, y_-a), for masks of single targets.

Ratings of one review go together: whoever praises the food praises the staff. Words of general praise then predict each
of them, and masks of all targets keep the same words. Given the others' ratings such words say little more, and what is
left to be said is about the target itself. The products over targets of these conditionals are the pseudo-likelihood of
Besag (1975), "Statistical Analysis of Non-Lattice Data", equation 2.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

LEAST_LEFT = 0.2  # share of a target's variance that the others leave, at least, as far as gains go
STANDS_OUT = 2.0  # without a summary of them, the others leave so many times more of each other
SPEED = 20.0  # of the others' weights, against that of other parameters: a rating is worth several logits


class GivenOthers(nn.Module):
    """Outputs about each target from a pooled state of the encoder and from the other targets.

    Args:
        output: the encoder's own output layer, of a number for each target; it is where the layer starts.

    Attributes:
        gain: `(D,)`; how many times less varied each target is once the others are known. Nats are asked for against
            the variance of a target, and this is what a guide is paid more for the part that is left.
        summary: bool `(D,)`; targets that the others make up, such as an overall rating. What these leave of it is
            noise, so it is read as if they were unknown, and they are read without it.
        centre: `(D,)`; means of the targets in [0, 1], by which unknown ones are replaced.
    """

    gain: Tensor
    summary: Tensor
    centre: Tensor

    def __init__(self, output: nn.Linear) -> None:
        super().__init__()
        width = output.out_features
        self.output = deepcopy(output)
        self.weights = nn.Parameter(torch.zeros(width, width))
        self.register_buffer("gain", torch.ones(width))
        self.register_buffer("summary", torch.zeros(width, dtype=torch.bool))
        self.register_buffer("centre", torch.full((width,), 0.5))

    @torch.no_grad()
    def measure(self, targets: Tensor) -> None:
        """Set means, summaries and gains by the training targets, `(N, D)` in [0, 1], NaN where unknown.

        Gains are by the variance that linear regression on the others leaves. The target of which least is left is a
        summary if that is less than `LEAST_LEFT` and the others leave much more of each other without it; then the next
        one is looked for among the rest. Where few rows, less than ten for each target, know all, gains stay 1.
        """
        centre = targets.nanmean(0)
        self.centre.copy_(torch.where(centre.isnan(), self.centre.to(centre.dtype), centre))
        known = targets[~targets.isnan().any(1)].double()
        rest = list(range(targets.shape[1]))
        if len(known) < 10 * len(rest):
            return
        left = _left(known, rest)
        while len(rest) > 2:
            least = min(rest, key=lambda target: left[target])
            others = [target for target in rest if target != least]
            without = _left(known, others)
            if left[least] >= LEAST_LEFT or sum(without.values()) < STANDS_OUT * sum(left[i] for i in others):
                break
            self.summary[least] = True
            rest, left = others, without
        for target in rest:
            self.gain[target] = 1.0 / max(left[target], LEAST_LEFT)

    def told(self, others: Tensor) -> Tensor:
        """Whether any of a row's other targets `(B, D)` is known that is no summary, bool `(B,)`."""
        return (~others.isnan() & ~self.summary).any(-1)

    def beside(self, output: nn.Linear, pooled: Tensor) -> Tensor:
        """Outputs without and with a view to other targets, before these are added, `(N, P)` -> `(N, 2 D)`."""
        return torch.cat([output(pooled), self.output(pooled)], dim=-1)

    def forward(self, both: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs `(*s, B, D)` without the others, and with them.

        Args:
            both: as :meth:`beside` makes them, `(*s, B, 2 D)`.
            others: `(B, D)` in [0, 1], NaN for a row's own target and for unknown ones, which count as average.
        """
        plain, own = both.chunk(2, dim=-1)
        known = torch.where(others.isnan(), self.centre.to(others.dtype), others) - 0.5
        # A row's own target has no part in its own output.
        weights = self.weights * (~torch.eye(len(self.weights), dtype=torch.bool, device=known.device))
        shift = SPEED * (known.masked_fill(self.summary, 0.0).to(weights.dtype) @ weights)
        return plain, torch.where(self.summary, plain, own + shift)


def _left(known: Tensor, targets: list[int]) -> dict[int, float]:
    """Share of each target's variance that linear regression on the others of `targets` leaves.

    Args:
        known: float64 `(N, D)`, without NaN.
        targets: columns.
    """
    known = known - known.mean(0)
    left = {}
    for target in targets:
        own, others = known[:, target], known[:, [i for i in targets if i != target]]
        fitted = others @ torch.linalg.lstsq(others, own[:, None], driver="gelsd").solution[:, 0]
        left[target] = float((own - fitted).square().sum() / own.square().sum().clamp_min(1e-12))
    return left
