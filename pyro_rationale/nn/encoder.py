"""The encoder f(x, z): reads the kept words, and nothing else, and puts out the numbers of the likelihood."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pyro_rationale.nn.autocast import arithmetic
from pyro_rationale.nn.length_buckets import in_lengths
from pyro_rationale.nn.packing import Kept, compact, repeated_masks
from pyro_rationale.nn.pooling import make_pooling
from pyro_rationale.nn.sequence import READERS, Reader


class Encoder(nn.Module):
    """Embedding, compaction, reader, pooling, linear output.

    Args:
        embedding: word vectors, `(V, E)`.
        reader: `lstm`, `bilstm`, `rcnn` (the paper's) or `cnn`.
        width: hidden size (of each direction).
        pooling: `last` (the paper's), `mean` or `attention`.
        outputs: numbers per document that the likelihood wants.
        dropout: on the word vectors and on the pooled state.
    """

    def __init__(
        self, embedding: nn.Embedding, reader: str, width: int, pooling: str, outputs: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.reader: Reader = READERS[reader](embedding.embedding_dim, width)
        self.pooling = make_pooling(pooling, self.reader.width, self.reader.backwards)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(self.reader.width, outputs)

    def forward(self, tokens: Tensor, z: Tensor, lengths: Tensor) -> Tensor:
        """Predict from the kept words. Of equal masks of one document, one is read, and all get its numbers.

        Args:
            tokens: long, `(B, T)`.
            z: mask in [0, 1], `(*s, B, T)` with any leading sample dimensions.
            lengths: long, `(B,)`.

        Returns:
            `(*s, B, outputs)`.
        """
        rows = math.prod(z.shape[:-2])  # a plain tuple where Pyro traces provenance
        tokens, lengths, masks = tokens.repeat(rows, 1), lengths.repeat(rows), z.reshape(-1, z.shape[-1])
        same = repeated_masks(z) if rows > 1 else None
        if same is not None:
            outputs = self._read(tokens[same.chosen], masks[same.chosen], lengths[same.chosen])[same.place]
        else:
            outputs = self._read(tokens, masks, lengths)
        return outputs.reshape(*z.shape[:-1], -1)

    def _read(self, tokens: Tensor, z: Tensor, lengths: Tensor) -> Tensor:
        """Tokens and masks `(N, T)`, lengths `(N,)` -> `(N, outputs)`."""
        kept = compact(tokens, z, lengths)
        split = in_lengths(kept)
        if split is None:
            return self._of_rows(kept, z)
        return torch.cat([self._of_rows(part, z) for part in split.parts])[split.place]

    def _of_rows(self, kept: Kept, z: Tensor) -> Tensor:
        """`(N, outputs)` of kept words, in the arithmetic that is wanted where `z` is."""
        with arithmetic(z):
            inputs = self.dropout(self.embedding(kept.words))
            states = self.reader(inputs, kept.weights, kept.hard)
        states = states.to(inputs.dtype)
        pooled = self.dropout(self.pooling(states, kept.weights, kept.lengths))
        outputs: Tensor = self.output(pooled)
        return outputs
