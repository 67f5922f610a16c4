"""Word vectors as a layer: learnt from scratch, or started from (or fixed at) given ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_rationale.data.vocabulary import UNKNOWN


class OpenEmbedding(nn.Embedding):
    """An embedding under an open vocabulary: words beyond its rows are unknown to it."""

    def forward(self, input: Tensor) -> Tensor:
        """Word numbers `(*)` -> vectors `(*, E)`."""
        return super().forward(torch.where(input < self.num_embeddings, input, UNKNOWN))


def make_embedding(
    words: int,
    width: int,
    vectors: Tensor | None = None,
    frozen: bool = False,
    seed_scale: float = 1.0,
    open_vocabulary: bool = False,
) -> nn.Embedding:
    """An embedding of `words` rows whose row 0 (padding) is zero.

    Args:
        words: vocabulary size `V`.
        width: numbers per word; ignored where `vectors` are given.
        vectors: `(V, E)` to start from, or `None`.
        frozen: keep the given vectors as they are.
        seed_scale: standard deviation of fresh vectors.
        open_vocabulary: whether numbers beyond `words` may come; they are read as unknown words.
    """
    kind = OpenEmbedding if open_vocabulary else nn.Embedding
    if vectors is not None:
        given = kind.from_pretrained(vectors.clone(), freeze=frozen, padding_idx=0)
        if frozen:  # a buffer: Pyro warns about parameters that need no gradient, at every step
            weight = given.weight.data
            del given.weight
            given.register_buffer("weight", weight)
        return given
    embedding = kind(words, width, padding_idx=0)
    with torch.no_grad():
        embedding.weight.mul_(seed_scale)
    return embedding
