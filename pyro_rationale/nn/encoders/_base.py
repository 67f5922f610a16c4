"""`Encoder`: embedding, compaction of the kept words, a sequence encoder, pooling and a linear output.

A sequence encoder takes `inputs (N, L, E)`, `weights (N, L)` and `hard`. Compacted words of a hard mask have weight 1
each and no gradient, so the fused kernels apply; states on padding mean nothing then. Otherwise a word of weight w
moves the state the fraction w of the way, `state + w * (step(state, word) - state)`: at w = 1 that is reading the
word, at w = 0 it is the paper's "copy the state", and in between it is differentiable in w. A hard mask gives the same
states either way; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rationale.nn.autocast import arithmetic
from pyro_rationale.nn.length_buckets import in_lengths
from pyro_rationale.nn.packing import Kept, compact, repeated_masks
from pyro_rationale.nn.pooling import make_pooling

Head = Callable[[Tensor], Tensor]  # from pooled states `(N, P)` to numbers per document


class SequenceEncoder(nn.Module):
    """From weighted words to states of `width` numbers each, `(N, L, E)`, `(N, L)` -> `(N, L, width)`.

    Attributes:
        width: numbers per state.
        backwards: how many of them, the last ones, come from a pass from the last word to the first.
    """

    width: int
    backwards: int = 0

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, outputs: int) -> Encoder:
        """An untrained encoder around a network of this class."""
        sequence = cls(embedding.embedding_dim, options.hidden)
        return Encoder(embedding, sequence, options.pooling, outputs, options.dropout)


class MaskedReader(nn.Module):
    """The part of every encoder f(x, z) that is about masks: rows to read, equal ones once, and the linear output.

    Attributes:
        rows_read: masks read so far, equal ones once.
    """

    dropout: nn.Dropout
    output: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        self.rows_read = 0

    def _add_output(self, width: int, outputs: int, dropout: float) -> None:
        """Make dropout and output, after the layers below them: the order of random weights."""
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, outputs)

    @property
    def width(self) -> int:
        """Numbers per document that it puts out."""
        return self.output.out_features

    @property
    def dtype(self) -> torch.dtype:
        """Type of its masks and of its outputs."""
        return self.output.weight.dtype

    @torch.no_grad()
    def initialise_output(self, values: Tensor) -> None:
        """Let untrained outputs start around `values`, `(outputs,)`."""
        self.output.bias.copy_(values)

    def forward(self, tokens: Tensor, z: Tensor, lengths: Tensor, head: Head | None = None) -> Tensor:
        """Predict from the kept words. Of equal masks of one document, one is read, and all get its numbers.

        Args:
            tokens: long, `(B, T)`.
            z: mask in [0, 1], `(*s, B, T)` with any leading sample dimensions.
            lengths: long, `(B,)`.
            head: what to make of a document's pooled state instead of the outputs.

        Returns:
            `(*s, B, outputs)`.
        """
        own = () if head is None else (head,)  # encoders of other packages need not know of heads
        rows = math.prod(z.shape[:-2])  # a plain tuple where Pyro traces provenance
        tokens, lengths, masks = tokens.repeat(rows, 1), lengths.repeat(rows), z.reshape(-1, z.shape[-1])
        same = repeated_masks(z) if rows > 1 else None
        if same is not None:
            self.rows_read += len(same.chosen)
            outputs = self._read(tokens[same.chosen], masks[same.chosen], lengths[same.chosen], *own)[same.kind]
        else:
            self.rows_read += len(masks)
            outputs = self._read(tokens, masks, lengths, *own)
        return outputs.reshape(*z.shape[:-1], -1)

    def average(self, states: Tensor, weights: Tensor) -> Tensor:
        """Outputs `(B, outputs)` from states averaged with weights `(B, T)`, 0 on padding, in place of the pooling."""
        outputs: Tensor = self.output(self.dropout((states * weights[..., None]).sum(1)))
        return outputs

    def vectors(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors that the network reads of one text of words `(n,)`.

        Returns:
            The vectors `(S, E)`, and the number of the word that each belongs to, `(S,)`; `n` where it is of none.
        """
        raise NotImplementedError(f"{type(self).__name__} must define vectors() to be explained by its gradients")

    def read_vectors(self, vectors: Tensor) -> Tensor:
        """Outputs `(N, outputs)` of several variants of the vectors of one text, `(N, S, E)`, with gradients."""
        raise NotImplementedError(f"{type(self).__name__} must define read_vectors() to be explained by its gradients")

    def _read(self, tokens: Tensor, z: Tensor, lengths: Tensor, head: Head | None = None) -> Tensor:
        """Tokens and masks `(N, T)`, lengths `(N,)` -> `(N, outputs)`."""
        raise NotImplementedError(f"{type(self).__name__} must define _read()")


class Encoder(MaskedReader):
    """The encoder f(x, z): predicts from the kept words, and from nothing else.

    Args:
        embedding: word vectors, `(V, E)`.
        reader: a sequence encoder for such vectors.
        pooling: `last` (the paper's), `mean` or `attention`.
        outputs: numbers per document that the likelihood wants.
        dropout: on the word vectors and on the pooled state.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        reader: SequenceEncoder,
        pooling: str,
        outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.reader = reader
        self.pooling = make_pooling(pooling, reader.width, reader.backwards)
        self._add_output(reader.width, outputs, dropout)

    def states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """States of all words of texts `(B, T)` with `mask` True on real tokens, `(B, T, width of the reader)`."""
        states: Tensor = self.reader(self.dropout(self.embedding(tokens)), mask.to(self.dtype), True)
        return states

    def vectors(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The word vectors of one text `(T,)`, `(T, E)`, and the word that each is of, `(T,)`."""
        return self.embedding(tokens), torch.arange(len(tokens), device=tokens.device)

    def read_vectors(self, vectors: Tensor) -> Tensor:
        """Outputs `(N, outputs)` of variants `(N, T, E)` of the word vectors of one text."""
        weights = vectors.new_ones(vectors.shape[:2])
        states = self.reader(self.dropout(vectors), weights, True)
        lengths = torch.full_like(weights[:, 0], vectors.shape[1], dtype=torch.long)
        outputs: Tensor = self.output(self.dropout(self.pooling(states, weights, lengths)))
        return outputs

    def _read(self, tokens: Tensor, z: Tensor, lengths: Tensor, head: Head | None = None) -> Tensor:
        """Tokens and masks `(N, T)`, lengths `(N,)` -> `(N, outputs)`."""
        kept = compact(tokens, z, lengths)
        split = in_lengths(kept)
        if split is None:
            return self._of_rows(kept, z, head)
        return torch.cat([self._of_rows(part, z, head) for part in split.parts])[split.order]

    def _of_rows(self, kept: Kept, z: Tensor, head: Head | None = None) -> Tensor:
        """`(N, outputs)` of kept words, in the arithmetic of `reduced` on the device of `z`."""
        with arithmetic(z):
            inputs = self.dropout(self.embedding(kept.words))
            states = self.reader(inputs, kept.weights, kept.hard)
        states = states.to(inputs.dtype)
        pooled = self.dropout(self.pooling(states, kept.weights, kept.lengths))
        outputs: Tensor = (head or self.output)(pooled)
        return outputs
