"""An LSTM over the kept words."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pyro_rationale.nn.autocast import plain
from pyro_rationale.nn.encoders._base import SequenceEncoder
from pyro_rationale.nn.kernels.cudnn_graph import run_lstm
from pyro_rationale.nn.kernels.gated_lstm import gated_lstm


class LSTMEncoder(SequenceEncoder):
    """A one-directional LSTM whose state is copied where a word has no weight."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.lstm = nn.LSTM(inputs, width, batch_first=True)

    def forward(self, inputs: Tensor, weights: Tensor, hard: bool) -> Tensor:
        """States after each word, `(N, L, width)`."""
        if hard:
            return run_lstm(self.lstm, inputs)
        from_word, from_state, word_bias, state_bias = self.lstm.all_weights[0]
        projected = F.linear(inputs, from_word, word_bias + state_bias)
        with plain(inputs):
            return gated_lstm(projected.to(from_state.dtype), from_state, weights)


REGISTERED = LSTMEncoder
