"""Networks that models and guides share: embeddings, generators, encoders, pooling. Names are imported lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.registry import lazy_names

if TYPE_CHECKING:
    from pyro_rationale.nn.embedding import make_embedding
    from pyro_rationale.nn.encoders import ENCODERS, POOLINGS
    from pyro_rationale.nn.encoders._base import Encoder
    from pyro_rationale.nn.generators import GENERATORS
    from pyro_rationale.nn.generators.bilstm import BiLSTM

__all__ = ["ENCODERS", "GENERATORS", "POOLINGS", "BiLSTM", "Encoder", "make_embedding"]

__getattr__ = lazy_names(
    __name__,
    {
        "embedding": "make_embedding",
        "encoders": "ENCODERS POOLINGS",
        "encoders._base": "Encoder",
        "generators": "GENERATORS",
        "generators.bilstm": "BiLSTM",
    },
)
