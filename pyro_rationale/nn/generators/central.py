"""A BiLSTM over how central each word is to its text, by the states of a pretrained transformer."""

from __future__ import annotations

from typing import Any

from torch import nn

from pyro_rationale.nn.centrality import Centrality
from pyro_rationale.nn.features import make_features
from pyro_rationale.nn.generators.bilstm import BiLSTM
from pyro_rationale.nn.generators.stacked import StackedGenerator


class CentralGenerator(StackedGenerator):
    """A BiLSTM that sees no word's meaning, only seven numbers of where it stands in its text.

    A generator on the states themselves learns the words of its few hundred texts, and finds little in those of
    another subject; these numbers mean one thing on every subject.
    """

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, context: int = 0, vocabulary: Any = None) -> BiLSTM:
        """An untrained BiLSTM on the transformer that the options name; `embedding` is not used."""
        features: Any = Centrality(make_features(options, vocabulary))
        return cls(features, options.hidden, options.layers, options.dropout, context)


REGISTERED = CentralGenerator
