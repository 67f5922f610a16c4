"""Word vectors and a BiLSTM: one feature vector per word."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyro_rationale.nn.autocast import arithmetic
from pyro_rationale.nn.generators._base import with_context
from pyro_rationale.nn.kernels.cudnn_graph import run_lstm


def reverse_words(values: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each document within its own length; padding stays behind.

    Args:
        values: `(B, T, H)`.
        lengths: long, `(B,)`.
    """
    rows, size = values.shape[:2]
    steps = torch.arange(size, device=values.device)
    order = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    order = order + size * torch.arange(rows, device=values.device)[:, None]
    reversed_values: Tensor = _Exchanged.apply(values, order.reshape(-1))
    return reversed_values


class _Exchanged(torch.autograd.Function):
    """Words `(B, T, H)` moved to other places, flat positions `(B * T,)` that are their own inverse.

    Autograd would add the gradients up word by word, not knowing that each goes to one place only.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return values.flatten(0, 1).index_select(0, order).view(values.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return _Exchanged.apply(grads[0], order), None


class BiLSTM(nn.Module):
    """Features of each word from both sides, `(B, T, 2 * width)`.

    Two one-directional LSTMs on padded, left-aligned rows: the second reads each document reversed within its own
    length. Exact under any amount of padding, like packing, at a tenth of packing's cost on a CPU.

    A context, one vector per document, is mapped linearly and added to every word's vector. What it means for a word
    then depends on the words around: added behind the LSTMs it could only shift all words alike. A context of zeros
    is none.

    Args:
        embedding: word vectors.
        width: hidden size of each direction.
        layers: of both directions.
        dropout: on word vectors and on states.
        context: size C of the context, 0 for none.
    """

    def __init__(
        self, embedding: nn.Embedding, width: int, layers: int = 1, dropout: float = 0.0, context: int = 0
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.width = 2 * width
        sizes = [embedding.embedding_dim] + [2 * width] * (layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(size, width, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(nn.LSTM(size, width, batch_first=True) for size in sizes)
        self.dropout = nn.Dropout(dropout)
        self.context = nn.Linear(context, embedding.embedding_dim, bias=False) if context else None

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, context: int = 0) -> BiLSTM:
        """An untrained generator of the options' size."""
        return cls(embedding, options.hidden, options.layers, options.dropout, context)

    @property
    def dtype(self) -> torch.dtype:
        """Type of its features and of its context."""
        return next(self.forwards.parameters()).dtype

    def forward(self, tokens: Tensor, lengths: Tensor, context: Tensor | None = None) -> Tensor:
        """`tokens (B, T)`, `lengths (B,)`, perhaps `context (B, C)` -> features `(B, T, 2 * width)`.

        Raises:
            ValueError: a context for a network that was built without.
        """
        states = self.embedding(tokens)
        precision = states.dtype
        with arithmetic(states):
            for layer, (ahead, behind) in enumerate(zip(self.forwards, self.backwards, strict=True)):
                states = self.dropout(states)
                if layer == 0:
                    states = with_context(states, context, self.context)
                before = run_lstm(ahead, states)
                after = reverse_words(run_lstm(behind, reverse_words(states, lengths)), lengths)
                states = torch.cat([before, after], dim=-1)
        return self.dropout(states.to(precision))


REGISTERED = BiLSTM
