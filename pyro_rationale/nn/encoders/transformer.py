"""A pretrained transformer over the kept words, without the gaps between them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyro_rationale.nn.autocast import arithmetic
from pyro_rationale.nn.encoders._base import Head, MaskedReader
from pyro_rationale.nn.features import TransformerFeatures
from pyro_rationale.nn.packing import compact
from pyro_rationale.nn.pieces import Pieces, Rows, batches_by_pieces, rows_of
from pyro_rationale.nn.pooling import make_pooling
from pyro_rationale.nn.pretrained import Transformer, make_transformer


class TransformerEncoder(MaskedReader):
    """Reads CLS, the pieces of the kept words, and SEP; relaxed masks by soft compaction.

    Args:
        transformer: tuned, or frozen.
        pieces: of the words.
        pooling: from the states of the pieces, each with the weight of its word, CLS and SEP with weight 1.
        outputs: numbers per document that the likelihood wants.
        dropout: on the pooled state.

    Attributes:
        cut_pieces: kept pieces so far that did not fit into the transformer's positions.
    """

    needs_vocabulary = True

    def __init__(
        self, transformer: Transformer, pieces: Pieces, pooling: str, outputs: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.transformer, self.pieces = transformer, pieces
        self.pooling = make_pooling(pooling, transformer.width)
        self._add_output(transformer.width, outputs, dropout)
        self.cut_pieces = 0

    @classmethod
    def from_config(
        cls, options: Any, embedding: nn.Embedding, outputs: int, vocabulary: Any = None
    ) -> TransformerEncoder:
        """The transformer that the options name; `embedding` is not used."""
        tuned, checkpointing = options.tune_encoder, options.checkpointing
        transformer, pieces = make_transformer(options.pretrained, tuned, vocabulary, checkpointing)
        return cls(transformer, pieces, options.pooling, outputs, options.dropout)

    def states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """States of all words of texts `(B, T)` with `mask` True on real tokens, `(B, T, width of the transformer)`."""
        states: Tensor = TransformerFeatures(self.transformer, self.pieces)(tokens * mask)
        return states

    def vectors(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors of CLS, of the pieces of the words, before positions are added to them, and of SEP."""
        words = tokens[None]
        ones = torch.ones(words.shape, dtype=self.dtype, device=tokens.device)
        rows = rows_of(self.pieces, words, ones, words > 0, self.transformer.positions)
        return self.transformer.embed(rows.ids[0]), rows.word[0]

    def read_vectors(self, vectors: Tensor) -> Tensor:
        """Outputs of variants of the vectors of one text."""
        weights = vectors.new_ones(vectors.shape[:2])
        lengths = torch.full_like(weights[:, 0], vectors.shape[1], dtype=torch.long)
        states = self.transformer.of_vectors(vectors).to(self.dtype)
        outputs: Tensor = self.output(self.dropout(self.pooling(states, weights, lengths)))
        return outputs

    def _read(self, tokens: Tensor, z: Tensor, lengths: Tensor, head: Head | None = None) -> Tensor:
        kept = compact(tokens, z, lengths)
        present = torch.arange(kept.words.shape[1], device=z.device) < kept.lengths[:, None]
        rows = rows_of(self.pieces, kept.words, kept.weights, present, self.transformer.positions)
        self.cut_pieces += rows.dropped
        groups = list(batches_by_pieces(rows.lengths))
        outputs = torch.cat([self._of_rows(rows, group, kept.hard, head) for group in groups])
        return outputs[torch.cat(groups).argsort()]

    def _of_rows(self, rows: Rows, chosen: Tensor, hard: bool, head: Head | None = None) -> Tensor:
        lengths = rows.lengths[chosen]
        size = int(lengths.max())
        ids, weights = rows.ids[chosen, :size], rows.weights[chosen, :size]
        with arithmetic(weights):
            states = self.transformer.hard(ids, lengths) if hard else self.transformer.soft(ids, weights, lengths)
        pooled = self.dropout(self.pooling(states.to(weights.dtype), weights, lengths))
        outputs: Tensor = (head or self.output)(pooled)
        return outputs


REGISTERED = TransformerEncoder
