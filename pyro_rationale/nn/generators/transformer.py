"""A pretrained transformer whose states are the features, without a network on top."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyro_rationale.nn.features import TransformerFeatures, make_features
from pyro_rationale.nn.generators._base import with_context


class TransformerGenerator(nn.Module):
    """Features of words are the means of their pieces' last states.

    Args:
        features: the transformer.
        dropout: on the features.
        context: size of a context, 0 for none; it moves all features of a text alike.
    """

    needs_vocabulary = True

    def __init__(self, features: TransformerFeatures, dropout: float = 0.0, context: int = 0) -> None:
        super().__init__()
        self.features = features
        self.width = features.embedding_dim
        self.dropout = nn.Dropout(dropout)
        self.context = nn.Linear(context, self.width, bias=False) if context else None

    @classmethod
    def from_config(
        cls, options: Any, embedding: nn.Embedding, context: int = 0, vocabulary: Any = None
    ) -> TransformerGenerator:
        """The transformer that the options name; `embedding` is not used."""
        return cls(make_features(options, vocabulary), options.dropout, context)

    @property
    def dtype(self) -> torch.dtype:
        """Type of its features and of its context."""
        return self.features.dtype

    def forward(self, tokens: Tensor, lengths: Tensor, context: Tensor | None = None) -> Tensor:
        """`tokens (B, T)`, `lengths (B,)`, perhaps `context (B, C)` -> features `(B, T, width)`.

        Raises:
            ValueError: a context for a network that was built without.
        """
        return self.dropout(with_context(self.features(tokens), context, self.context))


REGISTERED = TransformerGenerator
