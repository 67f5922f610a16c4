"""Two LSTMs over the kept words, one in each direction."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rationale.nn.encoders._base import SequenceEncoder
from pyro_rationale.nn.encoders.lstm import LSTMEncoder


class BiLSTMEncoder(SequenceEncoder):
    """Two LSTMs, one of which reads the kept words from the last to the first.

    Args:
        inputs: size of a word vector.
        width: hidden size of each direction; states have twice as many numbers.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width, self.backwards = 2 * width, width
        self.onward, self.back = LSTMEncoder(inputs, width), LSTMEncoder(inputs, width)

    def forward(self, inputs: Tensor, weights: Tensor, hard: bool) -> Tensor:
        """States from the first word to each, and from the last word to each, `(N, L, 2 width)`."""
        if not hard:  # words of weight 0 leave the state as it is, wherever they stand
            back = self.back(inputs.flip(1), weights.flip(1), hard).flip(1)
        else:
            order = _reversed(weights)[..., None]
            back = self.back(inputs.gather(1, order.expand_as(inputs)), weights, hard)
            back = back.gather(1, order.expand_as(back))
        return torch.cat([self.onward(inputs, weights, hard), back], dim=-1)


def _reversed(weights: Tensor) -> Tensor:
    """Places `(N, L)` of the words of positive weight, last to first, then those of the rest; its own inverse."""
    positions = torch.arange(weights.shape[1], device=weights.device)
    words = (weights > 0).sum(-1, keepdim=True)
    return torch.where(positions < words, words - 1 - positions, positions)


REGISTERED = BiLSTMEncoder
