"""A convolution over the kept words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_rationale.nn.encoders._base import SequenceEncoder


class CNNEncoder(SequenceEncoder):
    """Windows of a kept word and those kept before it, three in all.

    The window is a register into which a word of weight w is shifted the fraction w of the way, so that a dropped
    word leaves no gap in it: a straight-through mask is read as the compacted words are.
    """

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


REGISTERED = CNNEncoder
