"""The recurrent convolution of Lei et al. (2016) over the kept words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_rationale.nn.autocast import plain
from pyro_rationale.nn.encoders._base import SequenceEncoder


class RCNNEncoder(SequenceEncoder):
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


REGISTERED = RCNNEncoder
