"""What a text says of one target when the others are known: p(y_a | x, z_a, y_-a), for masks of single targets.

Ratings of one review go together: whoever praises the food praises the staff. Words of general praise then predict each
of them, and masks of all targets keep the same words. Given the others' ratings such words say little more, and what is
left to be said is about the target itself. The products over targets of these conditionals are the pseudo-likelihood of
Besag (1975), "Statistical Analysis of Non-Lattice Data", equation 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEAST_LEFT = 0.2  # share of a target's variance that the others must leave, or the target is a summary of them
SPEED = 20.0  # of the others' weights, against that of other parameters: a rating is worth several logits


class GivenOthers(nn.Module):
    """Outputs about each target from a pooled state of the encoder and from the other targets.

    Args:
        output: the encoder's own output layer, of a number for each target; it is where the layer starts.

    Attributes:
        gain: `(D,)`; how many times less varied each target is once the others are known. Nats are asked for against
            the variance of a target, and this is what a guide is paid more for the part that is left.
        summary: bool `(D,)`; targets that the others say nearly all of, such as an overall rating. What is left of them
            is noise, so these are read as if the others were unknown.
    """

    gain: Tensor
    summary: Tensor

    def __init__(self, output: nn.Linear) -> None:
        super().__init__()
        width = output.out_features
        self.output = nn.Linear(output.in_features, width, device="meta")
        self.output.to_empty(device=output.weight.device)
        self.output.load_state_dict(output.state_dict())
        self.weights = nn.Parameter(torch.zeros(width, width))
        self.register_buffer("gain", torch.ones(width))
        self.register_buffer("summary", torch.zeros(width, dtype=torch.bool))

    @torch.no_grad()
    def measure(self, targets: Tensor) -> None:
        """Set gains and summaries by the variance that linear regression on the others leaves of each target, `(N, D)`.

        Rows with unknown targets are left out; where there are fewer than ten for each target, all stays as it is.
        """
        known = targets[~targets.isnan().any(1)].double()
        width = targets.shape[1]
        if len(known) < 10 * width:
            return
        known = known - known.mean(0)
        for target in range(width):
            own, others = known[:, target], known[:, [i for i in range(width) if i != target]]
            fitted = others @ torch.linalg.lstsq(others, own[:, None], driver="gelsd").solution[:, 0]
            left = float((own - fitted).square().sum() / own.square().sum().clamp_min(1e-12))
            self.summary[target] = left < LEAST_LEFT
            self.gain[target] = 1.0 if left < LEAST_LEFT else 1.0 / left

    def beside(self, output: nn.Linear, pooled: Tensor) -> Tensor:
        """Outputs without and with a view to other targets, before these are added, `(N, P)` -> `(N, 2 D)`."""
        return torch.cat([output(pooled), self.output(pooled)], dim=-1)

    def forward(self, both: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs `(*s, B, D)` without the others, and with them.

        Args:
            both: as :meth:`beside` makes them, `(*s, B, 2 D)`.
            others: `(B, D)` in [0, 1], NaN for a row's own target; an unknown one counts as the middle.
        """
        plain, own = both.chunk(2, dim=-1)
        shift = SPEED * ((others - 0.5).nan_to_num(0.0).to(self.weights.dtype) @ self.weights)
        return plain, torch.where(self.summary, plain, own + shift)
