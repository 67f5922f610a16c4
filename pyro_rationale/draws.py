"""Draws from q(z | x) of many documents at once, each from a stream of its own, and only the distinct ones kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.corpus import Document

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
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


def distinct(first: Tensor, drawn: Tensor) -> Draws:
    """Merge equal masks of each document.

    Args:
        first: `(F, B, T)`, masks that stand in front and do not count.
        drawn: `(S, B, T)`, those that do.
    """
    every = torch.cat([first, drawn])
    rows, batch, _ = every.shape
    packed = np.packbits(every.to("cpu", torch.bool).numpy(), axis=-1)
    width = packed.shape[-1]
    chosen: list[list[int]] = []
    place = np.empty((rows, batch), dtype=np.int64)
    for b in range(batch):
        content = packed[:, b].tobytes()
        found: dict[bytes, int] = {}
        keys = (content[start : start + width] for start in range(0, rows * width, width))
        place[:, b] = [found.setdefault(key, len(found)) for key in keys]
        chosen.append(np.unique(place[:, b], return_index=True)[1].tolist())
    sizes = np.array([len(numbers) for numbers in chosen])
    most = int(sizes.max())
    index = np.array([numbers + numbers[:1] * (most - len(numbers)) for numbers in chosen]).T
    counts = np.zeros((most, batch))
    np.add.at(counts, (place[len(first) :], np.arange(batch)), 1.0)
    masks = every[torch.from_numpy(index).to(every.device), torch.arange(batch, device=every.device)]
    return Draws(masks, counts, place[: len(first)], sizes)


def uniforms(documents: Sequence[Document], size: int, seed: int, samples: Sequence[int]) -> list[Tensor]:
    """Numbers in [0, 1) that depend on each document's own words alone, 0 behind its end.

    Args:
        documents: `B` of them.
        size: T, words of the longest.
        seed: of all streams.
        samples: how many of each document, one number per tensor.

    Returns:
        A tensor `(s, B, size)` for each `s` of `samples`, on the CPU.
    """
    made = [torch.zeros(count, len(documents), size) for count in samples]
    for b, document in enumerate(documents):
        stream = torch.Generator().manual_seed(seed_of(document, seed))
        words = max(len(document.tokens), 1)
        for tensor, count in zip(made, samples, strict=True):
            tensor[:, b, :words] = torch.rand(count, words, generator=stream)
    return made


def seed_of(document: Document, seed: int) -> int:
    """A seed from the words alone, the same in every process and in every company."""
    text = "\n".join([str(seed), *document.tokens]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generators start from `seed` inside, and are as before outside."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
