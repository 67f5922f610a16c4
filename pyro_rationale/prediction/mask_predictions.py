"""Masks drawn for the documents of a batch, and what is predicted from each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.prediction.agreement import CANDIDATES, agreeing
from pyro_rationale.prediction.decoding import decode, predictive, unlabelled
from pyro_rationale.prediction.draws import DistinctMasks, distinct, seed_of, uniforms
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.tasks import Numbers, Reading

if TYPE_CHECKING:
    from pyro_rationale.distributions import MaskDistribution
    from pyro_rationale.fitted import FittedModel

_MASKS = 1024  # that the encoder reads at once, those of like sizes together


@dataclass(frozen=True)
class ReadDraws:
    """Masks of the `B` documents of a batch that were drawn and read, and the one that is shown of each.

    Attributes:
        draws: distinct masks, the mode first.
        reading: what is predicted from each.
        drawn: all masks that count, `(S, B, T)`.
        shown: number of the shown mask among the distinct ones, `(B,)`.
        kept: the shown masks, `(B, T)`.
        log_q: log q(mask | text) of the distinct masks, `(U, B)`.
    """

    draws: DistinctMasks
    reading: Reading
    drawn: Tensor
    shown: NDArray[np.int64]
    kept: Tensor
    log_q: Numbers

    @property
    def values(self) -> Numbers:
        """Predictions from the shown words alone, `(B, W)`."""
        return self.reading.values[self.shown, np.arange(len(self.shown))]


def draw_and_read(
    fitted: FittedModel,
    batch: Batch,
    q: MaskDistribution,
    documents: Sequence[Document],
    options: DecodeOptions,
    samples: int,
) -> ReadDraws:
    """Draw masks, predict from each, and choose the one that is shown by the decode rule.

    Args:
        fitted: a model that predicts something of each text.
        batch: the texts, on the model's device.
        q: the guide of the batch.
        documents: the texts; several at once of a guide that `has_sample_from` only.
        options: the decode rule.
        samples: draws that count.
    """
    agrees = options.decode == "agreeing"
    kept, drawn = decode_and_draw(q, documents, options, max(samples, CANDIDATES) if agrees else samples)
    first = torch.stack([q.mode, *(drawn[:CANDIDATES] if agrees else [kept])])
    draws = distinct(first, drawn[:samples])
    reading = read_masks(fitted, batch, q, draws, documents)
    log_q, every = q.log_prob(draws.masks).cpu().numpy(), np.arange(len(documents))
    number = np.ones(len(documents), dtype=np.int64)  # among the first masks: behind the mode stands that of the rule
    if agrees:
        owners = [document.aspect for document in documents if document.aspect is not None]
        values, likely, words = (all_of[draws.places, every] for all_of in (reading.values, log_q, reading.kept))
        number = agreeing(fitted.task, values, likely, words, np.array(owners) if owners else None)
    shown = draws.places[number, every]
    chosen = draws.masks[torch.from_numpy(shown).to(kept.device), torch.from_numpy(every).to(kept.device)]
    return ReadDraws(draws, reading, drawn[:samples], shown, chosen, log_q)


def decode_and_draw(
    q: MaskDistribution, documents: Sequence[Document], options: DecodeOptions, samples: int
) -> tuple[Tensor, Tensor]:
    """A mask by the decode rule `(B, T)`, `agreeing` being the mode here, and draws `(S, B, T)`.

    The first `CANDIDATES` draws, of which the shown mask is chosen, are the same however many there are.
    """
    if not q.has_sample_from:
        with seeded(seed_of(documents[0], options.seed)):
            sizes = [min(samples, CANDIDATES), max(samples - CANDIDATES, 0)]
            return decode(q, options), torch.cat([q.precise_sample(torch.Size([size])) for size in sizes if size])
    counts = [1, samples] if options.decode == "sample" else [samples]
    numbers = uniforms(documents, q.event_shape[0], options.seed, counts)
    masks = [q.sample_from(uniform.to(q.mean.device)) for uniform in numbers]
    kept = masks[0][0] if options.decode == "sample" else decode(q, options)
    return kept, masks[-1]


def draw_reading(fitted: FittedModel, documents: list[Document], samples: int) -> Reading:
    """Draws of masks of documents of like lengths, as predictions are made of them, and what is predicted from each."""
    batch = fitted.encode([unlabelled(document) for document in documents]).to(fitted.device)
    q = fitted.guide.posterior(batch).discrete()
    _, drawn = decode_and_draw(q, documents, DecodeOptions("mode"), samples)
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
