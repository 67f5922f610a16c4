"""Unit vectors of texts by the model and guide alone, against which those of the commands are held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RankingModel


@dataclass(frozen=True)
class Vectors:
    """Texts as vectors, in the order of their indices.

    Attributes:
        vectors: float32, `(N, E)`, of length 1.
        masks: the words that each was read by, bool `(n,)` each.
    """

    vectors: NDArray[np.float32]
    masks: Sequence[NDArray[np.bool_]]


@torch.no_grad()
def read_documents(
    model: RankingModel, guide: RationaleGuide, batches: Iterable[Batch], masks: str = "mode"
) -> Vectors:
    """Read texts through masks; model and guide are to be in evaluation mode, and on one device.

    Args:
        model: the model.
        guide: chooses the masks.
        batches: the texts; every index once.
        masks: the most probable mask of each text (`mode`), all of its words (`full`), or the words that the most
            probable mask drops (`rest`).
    """
    index: list[int] = []
    vectors: list[NDArray[np.float32]] = []
    kept: list[NDArray[np.bool_]] = []
    device = model.kappa.device
    for batch in batches:
        batch = batch.to(device)
        z = batch.mask.to(model.encoder.dtype)
        if masks != "full":
            mode = guide.posterior(batch).mode.to(z.dtype)
            z = mode if masks == "mode" else z - mode
        assert batch.index is not None
        vectors.append(model.embed(batch, z).float().cpu().numpy())
        index.extend(batch.index.tolist())
        rows = zip(z.cpu().numpy() > 0.5, batch.lengths.tolist(), strict=True)
        kept.extend(row[:length] for row, length in rows)
    order = np.argsort(index)
    return Vectors(np.concatenate(vectors)[order], [kept[i] for i in order])
