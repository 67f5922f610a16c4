"""Networks that models and guides share: embeddings, generators, encoders, pooling. Names are imported lazily."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_rationale.nn.embedding import make_embedding
    from pyro_rationale.nn.encoders import ENCODERS, POOLINGS
    from pyro_rationale.nn.encoders._base import Encoder
    from pyro_rationale.nn.generators import GENERATORS
    from pyro_rationale.nn.generators.bilstm import BiLSTM

_EXPORTS = {
    "ENCODERS": "encoders",
    "GENERATORS": "generators",
    "POOLINGS": "encoders",
    "BiLSTM": "generators.bilstm",
    "Encoder": "encoders._base",
    "make_embedding": "embedding",
}

__all__ = ["ENCODERS", "GENERATORS", "POOLINGS", "BiLSTM", "Encoder", "make_embedding"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return resolve_name(f"{__name__}.{_EXPORTS[name]}:{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
