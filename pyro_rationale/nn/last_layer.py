"""`LastLayer`: a Normal distribution over the weights of an output layer, around those that were trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LastLayer(nn.Module):
    """Outputs of a linear layer, and the variance that unsure weights give each of them.

    Args:
        factor: `(W, P + 1, P + 1)`; for each output the root R of the covariance R R' of its weights and its bias.
    """

    factor: Tensor

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor)

    def forward(self, output: nn.Linear, features: Tensor) -> Tensor:
        """Outputs and their variances, `(N, 2 W)`, from what the output layer reads, `(N, P)`."""
        outputs: Tensor = output(features)
        rows = with_one(features.to(self.factor.dtype))
        variances = torch.einsum("np,wpr->nwr", rows, self.factor).square().sum(-1)
        return torch.cat([outputs, variances.to(outputs.dtype)], dim=-1)


def with_one(features: Tensor) -> Tensor:
    """Features `(N, P)` and the 1 that a bias goes with, `(N, P + 1)`."""
    return torch.cat([features, features.new_ones(len(features), 1)], dim=-1)
