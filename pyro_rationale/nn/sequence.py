"""What reads the kept words, one state per word: LSTM, BiLSTM, the paper's RCNN, or a CNN.

Each reader takes `inputs (N, L, E)`, `weights (N, L)` and `hard`. Compacted words of a hard mask have weight 1
each and no gradient, so the fused kernels apply; what they give on padding means nothing. Otherwise a word of
weight w moves the state the fraction w of the way, `state + w * (step(state, word) - state)`: at w = 1 that is
reading the word, at w = 0 it is the paper's "copy the state", and in between it is differentiable in w. A hard
mask gives the same states either way; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_rationale.nn.autocast import plain
from pyro_rationale.nn.kernels.cudnn_graph import run_lstm
from pyro_rationale.nn.kernels.gated_lstm import gated_lstm


class Reader(Protocol):
    """Anything that turns weighted words into states of `width` numbers, the last `backwards` of which are of what
    reads from the last word to the first."""

    width: int
    backwards: int

    def __call__(self, inputs: Tensor, weights: Tensor, hard: bool) -> Tensor:
        """`(N, L, E)`, `(N, L)` -> `(N, L, width)`."""
        ...


class LSTMEncoder(nn.Module):
    """A one-directional LSTM whose state is copied where a word has no weight."""

    backwards = 0

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


class BiLSTMEncoder(nn.Module):
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
    places = torch.arange(weights.shape[1], device=weights.device)
    words = (weights > 0).sum(-1, keepdim=True)
    return torch.where(places < words, words - 1 - places, places)


class RCNNEncoder(nn.Module):
    """The paper's recurrent convolution over bigrams, with adaptive decay (Lei et al. 2016, section 3.2).

    lambda_t = sigmoid(W x_t + U h_{t-1} + b); c1_t = lambda c1_{t-1} + (1 - lambda) W1 x_t;
    c2_t = lambda c2_{t-1} + (1 - lambda) (c1_{t-1} + W2 x_t); h_t = tanh(c2_t + b).
    """

    backwards = 0

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
        projected = self.project(inputs).to(hidden.dtype)
        with plain(inputs):
            for step, weight in zip(projected.unbind(1), weights.unsqueeze(-1).unbind(1), strict=True):
                decay, first, second = step.chunk(3, dim=-1)
                forget = torch.sigmoid(decay + self.recurrent(hidden))
                fresh_bigram = torch.lerp(unigram + second, bigram, forget)
                fresh_unigram = torch.lerp(first, unigram, forget)
                hidden = torch.lerp(hidden, torch.tanh(fresh_bigram + self.bias), weight)
                unigram = torch.lerp(unigram, fresh_unigram, weight)
                bigram = torch.lerp(bigram, fresh_bigram, weight)
                states.append(hidden)
        return torch.stack(states, dim=1)


class CNNEncoder(nn.Module):
    """Windows of a kept word and those kept before it, three in all.

    The window is a register into which a word of weight w is shifted the fraction w of the way, so that a dropped
    word leaves no gap in it: a straight-through mask is read as the compacted words are.
    """

    backwards = 0

    def __init__(self, inputs: int, width: int, window: int = 3) -> None:
        super().__init__()
        self.width = width
        self.before = window - 1
        self.convolution = nn.Conv1d(inputs, width, window)

    def forward(self, inputs: Tensor, weights: Tensor, hard: bool) -> Tensor:
        """States of the windows that end on each word, `(N, L, width)`."""
        if hard:
            return torch.relu(self.convolution(F.pad(inputs.transpose(1, 2), (self.before, 0)))).transpose(1, 2)
        register = inputs.new_zeros(inputs.shape[0], self.before, inputs.shape[-1])  # oldest word first
        windows = []
        for word, weight in zip(inputs.unbind(1), weights[..., None, None].unbind(1), strict=True):
            window = torch.cat([register, word[:, None]], dim=1)
            windows.append(window)
            register = torch.lerp(register, window[:, 1:], weight)
        taps = self.convolution.weight.transpose(1, 2).flatten(1)  # (width, window * E), as windows are laid out
        fresh = torch.relu(F.linear(torch.stack(windows, dim=1).flatten(2), taps, self.convolution.bias))
        fresh = fresh.to(weights.dtype)
        state = fresh.new_zeros(fresh.shape[0], self.width)
        states = []
        for step, weight in zip(fresh.unbind(1), weights[..., None].unbind(1), strict=True):
            state = torch.lerp(state, step, weight)
            states.append(state)
        return torch.stack(states, dim=1)


READERS: dict[str, Callable[[int, int], Reader]] = {
    "lstm": LSTMEncoder, "bilstm": BiLSTMEncoder, "rcnn": RCNNEncoder, "cnn": CNNEncoder
}
