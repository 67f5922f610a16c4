"""Encoders f(x, z), from the kept words to the numbers of the likelihood, one module each.

`ENCODERS` lists their names without importing torch. A registered thing is a class with `from_config(options,
embedding, outputs)`, which returns an :class:`EncoderNetwork`. Those of this folder make an
:class:`~pyro_rationale.nn.encoders._base.Encoder` around themselves; one that brings its own word vectors, such as a
pretrained network, may leave `embedding` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pyro_rationale.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

POOLINGS = ("last", "mean", "attention")


class EncoderNetwork(Protocol):
    """Interface of an encoder for models and the code around them; it is an `nn.Module` as well."""

    width: int
    """Numbers per document that it puts out."""

    rows_read: int
    """Masks read so far, equal ones once; only `study estimators` needs it."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of its masks and of its outputs."""

    def initialise_output(self, values: Tensor) -> None:
        """Let untrained outputs start around `values`, `(outputs,)`."""

    def __call__(self, tokens: Tensor, z: Tensor, lengths: Tensor) -> Tensor:
        """Tokens `(B, T)`, masks in [0, 1] `(*s, B, T)` and lengths `(B,)` to outputs `(*s, B, outputs)`."""


class EncoderFactory(Protocol):
    """A class that can be registered as an encoder; `needs_vocabulary` as for generators."""

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, outputs: int) -> Any:
        """An untrained encoder with `outputs` numbers per document, from the options of the networks."""


ENCODERS: Registry[type[EncoderFactory]] = Registry(
    "encoders", __name__, "--encoder", ("lstm", "bilstm", "rcnn", "cnn", "transformer")
)
