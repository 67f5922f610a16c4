"""The mask that is shown of each of many documents, and what is predicted from its words alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.cache.dataset import word_counts
from pyro_rationale.data.corpus import Document
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.prediction.agreement import CANDIDATES
from pyro_rationale.prediction.decoding import Mask, batches_of, decode, evaluating, per_word, predictive
from pyro_rationale.prediction.mask_predictions import draw_and_read
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.tasks import Numbers

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel


def decode_all(
    fitted: FittedModel, documents: Sequence[Document], options: DecodeOptions, batch_size: int = 64
) -> tuple[list[Mask], Numbers]:
    """Masks and predictions of many documents, in their order, in length-sorted batches.

    Returns:
        The masks, one flag per word, and the predictions from them `(N, W)`, not cut at the ends of a scale. Where
        targets have masks of their own, each is predicted from its own, and all words that any keeps are given.
    """
    if fitted.aspects > 1 and documents and documents[0].aspect is None:
        rows = by_aspect(documents, fitted.aspects)
        each, found = decode_all(fitted, rows, options, batch_size)
        groups = [each[i : i + fitted.aspects] for i in range(0, len(rows), fitted.aspects)]
        union = [tuple(map(any, zip(*group, strict=True))) for group in groups]
        return union, found.reshape(len(documents), fitted.aspects, -1).diagonal(axis1=1, axis2=2)
    return _decode_rows(fitted, documents, options, batch_size)


def _decode_rows(
    fitted: FittedModel, documents: Sequence[Document], options: DecodeOptions, batch_size: int
) -> tuple[list[Mask], Numbers]:
    """Masks and predictions of documents with one mask each."""
    masks: list[Mask] = [()] * len(documents)
    values, words = np.zeros((len(documents), fitted.task.width)), word_counts(documents)
    with evaluating(fitted), seeded(options.seed):
        for index, batch in batches_of(fitted, documents, batch_size):
            q = fitted.guide.posterior(batch)
            hard = q.discrete()
            if options.decode == "agreeing":
                if batch_size > 1 and not hard.has_sample_from:  # its draws depend on those before
                    return _decode_rows(fitted, documents, options, 1)
                read = draw_and_read(fitted, batch, hard, [documents[i] for i in index], options, CANDIDATES)
                z, values[index] = read.kept, read.values
            else:
                z = decode(q, options)
                values[index] = fitted.task.values(predictive(fitted, batch, z, hard.responsibilities(z)))
            for i, row in zip(index, z, strict=True):  # an empty text is read as one unknown word: not in its mask
                masks[i] = tuple((row[: words[i]] > 0.5).tolist())
    return masks, values


def decode_masks(
    fitted: FittedModel, documents: Sequence[Document], options: DecodeOptions, batch_size: int = 64
) -> list[Mask]:
    """One hard mask per document, one flag per word; nothing is predicted where the rule asks for no predictions."""
    if options.decode == "agreeing" and not fitted.task.of_pairs:
        return _decode_rows(fitted, documents, options, batch_size)[0]
    with seeded(options.seed):
        rows = per_word(fitted, documents, batch_size, lambda q: decode(q, options))
    return [tuple((row > 0.5).tolist()) for row in rows]
