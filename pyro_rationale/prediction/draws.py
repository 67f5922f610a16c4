"""Draws from q(z | x) of many documents at once, each from a stream of its own, and only the distinct ones kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.corpus import Document

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class DistinctMasks:
    """Distinct masks of `B` documents, in the order in which they came; `U` is their largest number.

    Attributes:
        masks: float, `(U, B, T)`; behind a document's last one its first is repeated.
        counts: `(U, B)`, how often each was drawn.
        places: `(F, B)`, where the masks stand that came in front of the draws.
        sizes: `(B,)`, how many of each document are not repeated.
    """

    masks: Tensor
    counts: Counts
    places: NDArray[np.int64]
    sizes: NDArray[np.int64]


def distinct(first: Tensor, drawn: Tensor) -> DistinctMasks:
    """Merge equal masks of each document.

    Args:
        first: `(F, B, T)`, masks that stand in front and do not count.
        drawn: `(S, B, T)`, those that do.
    """
    every = torch.cat([first, drawn])
    rows, batch, _ = every.shape
    bits = np.ascontiguousarray(np.packbits(every.to("cpu", torch.bool).numpy(), axis=-1))
    keys = bits.view(f"S{bits.shape[-1]}")[..., 0]  # bytes, equal for equal masks only
    index_of = np.empty((rows, batch), dtype=np.int64)
    for b, column in enumerate(keys.T.tolist()):
        numbers: dict[bytes, int] = {}
        index_of[:, b] = [numbers.setdefault(key, len(numbers)) for key in column]
    sizes = index_of.max(0) + 1
    every_document = np.arange(batch)
    earliest = np.zeros((sizes.max(), batch), dtype=np.int64)
    earliest[index_of[::-1], every_document] = np.arange(rows)[::-1, None]  # the first of equal ones is written last
    counts = np.zeros(earliest.shape)
    np.add.at(counts, (index_of[len(first) :], every_document), 1.0)
    masks = every[torch.from_numpy(earliest).to(every.device), torch.arange(batch, device=every.device)]
    return DistinctMasks(masks, counts, index_of[: len(first)], sizes)


def uniforms(documents: Sequence[Document], size: int, seed: int, samples: Sequence[int]) -> list[Tensor]:
    """Numbers in [0, 1) that depend on each document's own words alone, 0 behind its end.

    Args:
        documents: `B` of them.
        size: T, words of the longest.
        seed: of all streams.
        samples: how many of each document, one number per tensor.

    Returns:
        A tensor `(s, B, size)` in double precision for each `s` of `samples`, on the CPU.
    """
    made = [torch.zeros(count, len(documents), size, dtype=torch.float64) for count in samples]
    for b, document in enumerate(documents):
        stream = torch.Generator().manual_seed(seed_of(document, seed))
        words = max(len(document.tokens), 1)
        for tensor, count in zip(made, samples, strict=True):
            tensor[:, b, :words] = torch.rand(count, words, dtype=torch.float64, generator=stream)
    return made


def seed_of(document: Document, seed: int) -> int:
    """A seed from the words alone (and the target asked about), the same in every process and in every company."""
    about = [] if document.aspect is None else [f"target {document.aspect}"]
    text = "\n".join([str(seed), *about, *document.tokens]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")
