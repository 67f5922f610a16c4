"""Masks drawn for the documents of a batch, and what is predicted from each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.prediction.decoding import decode, predictive, unlabelled
from pyro_rationale.prediction.draws import DistinctMasks, distinct, seed_of, uniforms
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.tasks import Numbers, Reading

if TYPE_CHECKING:
    from pyro_rationale.distributions import MaskDistribution
    from pyro_rationale.fitted import FittedModel

_MASKS = 1024  # that the encoder reads at once, those of like sizes together


def decode_and_draw(
    q: MaskDistribution, documents: Sequence[Document], options: PredictOptions
) -> tuple[Tensor, Tensor]:
    """The mask under the decode rule `(B, T)`, and draws `(S, B, T)`."""
    if not hasattr(q, "sample_from"):
        with seeded(seed_of(documents[0], options.seed)):
            return decode(q, options), q.precise_sample(torch.Size([options.samples]))
    counts = [1, options.samples] if options.decode == "sample" else [options.samples]
    numbers = uniforms(documents, q.event_shape[0], options.seed, counts)
    masks = [q.sample_from(uniform.to(q.mean.device)) for uniform in numbers]
    kept = masks[0][0] if options.decode == "sample" else decode(q, options)
    return kept, masks[-1]


def draw_reading(fitted: FittedModel, documents: list[Document], samples: int) -> Reading:
    """Draws of masks of documents of like lengths, as predictions are made of them, and what is predicted from each."""
    batch = fitted.encode([unlabelled(document) for document in documents]).to(fitted.device)
    q = fitted.guide.posterior(batch).discrete()
    _, drawn = decode_and_draw(q, documents, PredictOptions(samples=samples))
    return read_masks(fitted, batch, q, distinct(drawn[:0], drawn), documents)


def read_masks(
    fitted: FittedModel, batch: Batch, q: MaskDistribution, draws: DistinctMasks, documents: Sequence[Document]
) -> Reading:
    """Predictions from each mask of `q`: expected values `(U, B, W)`, and for ratings the noise around them."""
    most, count = draws.counts.shape
    rows, owners = np.nonzero(np.arange(most)[:, None] < draws.sizes)  # the encoder sees each mask once
    device = batch.tokens.device
    row, owner = (torch.from_numpy(part).to(device) for part in (rows, owners))
    members = q.responsibilities(draws.masks)
    own = None if members is None else members[:, row, owner]
    values, noise = read_rows(fitted, batch, draws.masks[row, owner], owners, own)
    places = np.zeros((most, count), dtype=np.int64)
    places[rows, owners] = np.arange(len(rows))
    places = np.where(np.arange(most)[:, None] < draws.sizes, places, places[0])
    return Reading(
        kept=draws.masks.sum(-1).cpu().numpy().astype(float),
        words=np.array([len(document.tokens) for document in documents], dtype=float),
        known=np.array([float(fitted.vocabulary.count_known(text.tokens)) for text in documents]),
        values=values[places],
        noise=None if noise is None else noise[places],
        weights=draws.counts / draws.counts.sum(0),
        ranges=fitted.spec.ranges,
    )


def read_or_base(
    fitted: FittedModel, batch: Batch, members: Tensor | None, masks: Tensor, owners: NDArray[np.int64]
) -> Numbers:
    """Predictions `(N, W)` from masks `(N, T)`; the run's mean prediction from those without a word.

    Where a rationale always has a word, the encoder has never learnt what to say without one, and what it says then is
    chance. Arguments as for :func:`read_rows`, but for `members`: the weights of each document's members, `(M, B)`,
    whatever the mask.
    """
    values = read_rows(fitted, batch, masks, owners, None if members is None else members[:, owners])[0]
    base = None if fitted.calibration is None or not fitted.config.nonempty else fitted.calibration.base
    if base is not None:
        values[~(masks > 0.5).any(-1).cpu().numpy()] = base
    return values


def read_rows(
    fitted: FittedModel, batch: Batch, masks: Tensor, owners: NDArray[np.int64], members: Tensor | None = None
) -> tuple[Numbers, Numbers | None]:
    """Predictions `(N, W)` from masks `(N, T)`, and for ratings the noise around them; those of like sizes together.

    Args:
        fitted: the model.
        batch: documents.
        masks: on the device of the batch.
        owners: number of each mask's document.
        members: weights `(M, N)` of the members of an ensemble that read each mask; `None`: all alike.
    """
    order = np.argsort(masks.sum(-1).cpu().numpy(), kind="stable")
    values, noise = [], []
    for start in range(0, len(order), _MASKS):
        rows = order[start : start + _MASKS]
        row, owner = (torch.from_numpy(part).to(batch.tokens.device) for part in (rows, owners[rows]))
        own = None if members is None else members[:, row]
        distribution = predictive(fitted, Batch(batch.tokens[owner], batch.lengths[owner]), masks[row], own)
        values.append(fitted.task.values(distribution))
        around = fitted.task.noise(distribution)
        if around is not None:
            noise.append(around)
    back = np.argsort(order, kind="stable")
    return np.concatenate(values)[back], np.concatenate(noise)[back] if noise else None
