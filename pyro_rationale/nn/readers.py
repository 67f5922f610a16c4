"""What reads the kept words, one state per word: LSTM, the paper's RCNN, or a CNN.

Each reader takes `inputs (N, L, E)`, `weights (N, L)` and `hard`. A hard mask has weights 0 and 1 only and no gradient,
so the fused kernels apply. Otherwise a word of weight w moves the state the fraction w of the way,
`state + w * (step(state, word) - state)`: at w = 1 that is reading the word, at w = 0 it is the paper's "copy the state",
and in between it is differentiable in w. A hard mask gives the same states either way; a test holds the two together.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from pyro_rationale.nn.gated import GatedLSTM


class Reader(Protocol):
    """Anything that turns weighted words into states of `width` numbers."""

    width: int

    def __call__(self, inputs: Tensor, weights: Tensor, hard: bool) -> Tensor:
        """`(N, L, E)`, `(N, L)` -> `(N, L, width)`."""
        ...


class LSTMReader(nn.Module):
    """A one-directional LSTM whose state is copied where a word has no weight."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.lstm = nn.LSTM(inputs, width, batch_first=True)

    def forward(self, inputs: Tensor, weights: Tensor, hard: bool) -> Tensor:
        """States after each word, `(N, L, width)`."""
        if hard:
            return self.lstm(inputs)[0]
        lstm = self.lstm
        projected = nn.functional.linear(inputs, lstm.weight_ih_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0)
        states: Tensor = GatedLSTM.apply(projected, lstm.weight_hh_l0, weights)
        return states


class RCNNReader(nn.Module):
    """The paper's recurrent convolution over bigrams, with adaptive decay (Lei et al. 2016, section 3.2).

    lambda_t = sigmoid(W x_t + U h_{t-1} + b); c1_t = lambda c1_{t-1} + (1 - lambda) W1 x_t;
    c2_t = lambda c2_{t-1} + (1 - lambda) (c1_{t-1} + W2 x_t); h_t = tanh(c2_t + b).
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Linear(inputs, 3 * width)
        self.recurrent = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(width))
        # A forgetful start cannot carry an early word to the end of a review.
        with torch.no_grad():
            self.project.bias[:width].fill_(1.0)

    def forward(self, inputs: Tensor, weights: Tensor, hard: bool) -> Tensor:
        """States after each word, `(N, L, width)`."""
        hidden = inputs.new_zeros(inputs.shape[0], self.width)
        unigram, bigram = hidden, hidden
        states = []
        for step, weight in zip(self.project(inputs).unbind(1), weights.unsqueeze(-1).unbind(1), strict=True):
            decay, first, second = step.chunk(3, dim=-1)
            forget = torch.sigmoid(decay + self.recurrent(hidden))
            fresh_bigram = torch.lerp(unigram + second, bigram, forget)
            fresh_unigram = torch.lerp(first, unigram, forget)
            hidden = torch.lerp(hidden, torch.tanh(fresh_bigram + self.bias), weight)
            unigram = torch.lerp(unigram, fresh_unigram, weight)
            bigram = torch.lerp(bigram, fresh_bigram, weight)
            states.append(hidden)
        return torch.stack(states, dim=1)


class CNNReader(nn.Module):
    """Windows of three kept words; a word of weight w enters its windows w times."""

    def __init__(self, inputs: int, width: int, window: int = 3) -> None:
        super().__init__()
        self.width = width
        self.convolution = nn.Conv1d(inputs, width, window, padding=window // 2)

    def forward(self, inputs: Tensor, weights: Tensor, hard: bool) -> Tensor:
        """States around each word, `(N, L, width)`; zero where the word has no weight."""
        states = torch.relu(self.convolution((inputs * weights[..., None]).transpose(1, 2))).transpose(1, 2)
        return states * weights[..., None]


READERS = {"lstm": LSTMReader, "rcnn": RCNNReader, "cnn": CNNReader}
