"""A BiLSTM over the states of a frozen, or tuned, pretrained transformer."""

from __future__ import annotations

from typing import Any

from torch import nn

from pyro_rationale.nn.features import make_features
from pyro_rationale.nn.generators.bilstm import BiLSTM


class StackedGenerator(BiLSTM):
    """A BiLSTM from scratch on pretrained states.

    A learning rate at which a new network learns what to select destroys a pretrained one, and at one that a
    pretrained network bears nothing new is learnt; so the transformer stays as it is unless `--tune-generator` says
    otherwise.
    """

    needs_vocabulary = True

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, context: int = 0, vocabulary: Any = None) -> BiLSTM:
        """An untrained BiLSTM on the transformer that the options name; `embedding` is not used."""
        features: Any = make_features(options, vocabulary)
        return cls(features, options.hidden, options.layers, options.dropout, context)


REGISTERED = StackedGenerator
