"""An encoder without order: a bag of the kept words."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn


class BagEncoder(nn.Module):
    """Outputs from the mean vector of the kept words."""

    def __init__(self, embedding: nn.Embedding, outputs: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.output = nn.Linear(embedding.embedding_dim, outputs)
        self.width = outputs
        self.rows_read = 0

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, outputs: int) -> Self:
        """An untrained encoder; the options of the networks say nothing about it."""
        return cls(embedding, outputs)

    @property
    def dtype(self) -> torch.dtype:
        """Type of its masks and outputs."""
        return self.output.weight.dtype

    def initialise_output(self, values: Tensor) -> None:
        """Let untrained outputs start around `values`."""
        with torch.no_grad():
            self.output.bias.copy_(values)

    def forward(self, tokens: Tensor, z: Tensor, lengths: Tensor) -> Tensor:
        """Tokens `(B, T)` and masks `(*s, B, T)` to outputs `(*s, B, outputs)`."""
        inside = torch.arange(tokens.shape[-1], device=tokens.device) < lengths[:, None]
        weights = (z * inside).unsqueeze(-1).to(self.dtype)
        mean = (weights * self.embedding(tokens)).sum(-2) / weights.sum(-2).clamp_min(1.0)
        return self.output(mean)
