"""A BiLSTM over the states of a frozen, or tuned, pretrained transformer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pyro_rationale.nn.autocast import is_reduced
from pyro_rationale.nn.centrality import Centrality
from pyro_rationale.nn.dropout import byte_dropout
from pyro_rationale.nn.features import TransformerFeatures, make_features
from pyro_rationale.nn.generators.bilstm import BiLSTM
from pyro_rationale.nn.kernels.two_way_lstm import Packing, two_way_lstm


class StackedGenerator(BiLSTM):
    """A BiLSTM from scratch on pretrained states.

    A learning rate at which a new network learns what to select destroys a pretrained one, and at one that a
    pretrained network bears nothing new is learnt; so the transformer stays as it is unless `--tune-generator` says
    otherwise.

    On a CPU words are read without padding, both directions in one loop: states of a transformer are wide, and
    gradients of frozen ones would be computed for nothing.
    """

    needs_vocabulary = True

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, context: int = 0, vocabulary: Any = None) -> BiLSTM:
        """An untrained BiLSTM on the transformer that the options name; `embedding` is not used."""
        features: Any = make_features(options, vocabulary)
        return cls(features, options.hidden, options.layers, options.dropout, context)

    def forward(self, tokens: Tensor, lengths: Tensor, context: Tensor | None = None) -> Tensor:
        """`tokens (B, T)`, `lengths (B,)`, perhaps `context (B, C)` -> features `(B, T, 2 * width)`, 0 on padding.

        Raises:
            ValueError: a context for a network that was built without.
        """
        features: Any = self.embedding
        if tokens.is_cuda or is_reduced() or not isinstance(features, TransformerFeatures | Centrality):
            return super().forward(tokens, lengths, context)
        batch, size = tokens.shape
        packing = Packing.of(lengths, size)
        states = self._drop(features.words(tokens, packing.words))
        if context is not None:
            if self.context is None:
                raise ValueError("got a context, but this generator was built without one (context=0)")
            states = states + self.context(context)[packing.words // size]
        for layer, (ahead, behind) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            states = two_way_lstm(states if layer == 0 else self._drop(states), packing, ahead, behind)
        return packing.pad(self._drop(states), batch, size)

    def _drop(self, states: Tensor) -> Tensor:
        return byte_dropout(states, self.dropout.p, self.training)


REGISTERED = StackedGenerator
