"""Generators, from a text to the features of its words that guides are built on, one module each.

`GENERATORS` lists their names without importing torch. A registered thing is a class with `from_config(options,
embedding, context)`, which returns a :class:`GeneratorNetwork`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pyro_rationale.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class GeneratorNetwork(Protocol):
    """Interface of a generator for guides; it is an `nn.Module` as well."""

    width: int
    """H, numbers per word."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of its features and of its context."""

    def __call__(self, tokens: Tensor, lengths: Tensor, context: Tensor | None = None) -> Tensor:
        """Tokens `(B, T)`, lengths `(B,)` and perhaps a context `(B, C)` to features `(B, T, H)`."""


class GeneratorFactory(Protocol):
    """A class that can be registered as a generator.

    One whose attribute `needs_vocabulary` is true is given the vocabulary as well, as `from_config(..., vocabulary=)`,
    and the words of texts are then numbered by an :class:`~pyro_rationale.data.open_vocabulary.OpenVocabulary`.
    """

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, context: int) -> Any:
        """An untrained generator from the options of the networks, for a context of so many numbers (0: none)."""


def needs_vocabulary(network: Any) -> bool:
    """Whether a registered generator or encoder spells words out, and must be given the vocabulary."""
    return bool(getattr(network, "needs_vocabulary", False))


GENERATORS: Registry[type[GeneratorFactory]] = Registry(
    "generators", __name__, "--generator", ("bilstm", "central", "stacked", "transformer")
)
