"""Hard masks of many documents, and predictions from given masks, in batches of like lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.cache.dataset import ArrowDocuments, word_counts
from pyro_rationale.data.corpus import Document
from pyro_rationale.distributions import MixtureMask
from pyro_rationale.distributions.bisection import bisect_each
from pyro_rationale.errors import ConfigError
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.tasks import Numbers

if TYPE_CHECKING:
    from pyro_rationale.distributions import MaskDistribution
    from pyro_rationale.fitted import FittedModel

Mask = tuple[bool, ...]


MAX_SHIFT = 64.0  # nats by which a kept word is made dearer, or cheaper, at most
HALVINGS = 16


def decode(q: MaskDistribution, options: DecodeOptions) -> Tensor:
    """One hard mask per document, `(*batch, T)`, 0 on padding. `sample` draws from torch's current generator.

    `agreeing` is the mode here: what is predicted from a mask is not known to the guide, and nothing is predicted of a
    text that is compared with others (:func:`~pyro_rationale.prediction.shown_masks.decode_all` knows it).

    Raises:
        ConfigError: no mask of a given share can be found for a guide of this kind.
    """
    rule, threshold = options.decode, options.threshold
    if rule in ("mode", "agreeing"):
        return q.mode
    if rule == "share":
        return tilted_to(q, options.share).mode
    if rule == "sample":
        return q.discrete().sample()
    mean = q.mean
    kept = (mean >= threshold).to(mean.dtype)
    return kept if q.lengths is None else kept * q.word_mask.to(mean.dtype)


def tilted_to(q: MaskDistribution, share: float) -> MaskDistribution:
    """q(z | x) of each document with the price of its words shifted so that its mode keeps this share.

    Every document has a price of its own, found by bisection; of the two modes around the share it is the nearer one.
    The masks are those that the guide would give under priors of other rates, and so nested, as good as.

    Args:
        q: batch shape `(*batch)`.
        share: of a document's words, or, of masks over sentences, of its sentences.

    Raises:
        ConfigError: a recurrent guide, or those of an ensemble, for which there is no closed form under another prior.
    """
    units = q.by_unit
    sizes = units.word_mask.sum(-1).to(units.mean.dtype)
    wanted = (share * sizes).clamp_min(1.0)
    far = MAX_SHIFT * torch.ones_like(wanted)

    def kept(price: Tensor) -> Tensor:
        return units.tilt(price[..., None]).mode.sum(-1)

    try:
        low, high = bisect_each(lambda price: kept(price) > wanted, -far, far, HALVINGS)
        many, few = kept(low), kept(high)
    except NotImplementedError:
        whose = "the guides of an ensemble have" if isinstance(q, MixtureMask) else "a recurrent guide has"
        raise ConfigError(f"--decode share: {whose} no mask of a given share; take mode") from None
    nearer = (many - wanted).abs() < (few - wanted).abs()
    return q.tilt(torch.where(nearer | (few == 0), low, high)[..., None])


def predictive(fitted: FittedModel, batch: Batch, z: Tensor, members: Tensor | None = None) -> TorchDistribution:
    """p(y | x, z) for masks `(*s, B, T)`.

    Args:
        fitted: the model.
        batch: documents.
        z: masks, on the device of the batch.
        members: weights `(M, *s, B)` of the members of an ensemble, see :meth:`MaskDistribution.responsibilities`;
            `None`: all of them alike.
    """
    if members is None:
        return fitted.model.predictive(batch, z)
    model: Any = fitted.model  # an EnsembleModel
    read: TorchDistribution = model.predictive(batch, z, members)
    return read


def predict_from(
    fitted: FittedModel,
    documents: Sequence[Document],
    masks: Sequence[Sequence[bool]],
    batch_size: int = 64,
    drawn: Sequence[Sequence[bool]] | None = None,
) -> Numbers:
    """Predictions from the kept words alone, `(N, W)`, not cut at the ends of a scale.

    Args:
        fitted: the model.
        documents: `N` of them.
        masks: a mask for each.
        batch_size: documents to read at once.
        drawn: masks of an ensemble's own guide: its members count as likely as they are to have drawn these, as in the
            predictions that are shown; `None`: all alike.

    Raises:
        ValueError: a mask is not as long as its document.
    """
    values = np.zeros((len(documents), fitted.task.width))
    with evaluating(fitted):
        for index, batch in batches_of(fitted, documents, batch_size):
            z = padded([masks[i] for i in index], [documents[i] for i in index], batch.tokens)
            members = None
            if drawn is not None and fitted.config.members > 1:
                own = padded([drawn[i] for i in index], [documents[i] for i in index], batch.tokens)
                members = fitted.guide.posterior(batch).discrete().responsibilities(own)
            values[index] = fitted.task.values(predictive(fitted, batch, z, members))
    return values


def inclusion_probabilities(fitted: FittedModel, documents: Sequence[Document], batch_size: int = 64) -> list[Numbers]:
    """P(word is kept | text) of every word of each document."""
    return per_word(fitted, documents, batch_size, lambda q: q.mean)


def per_word(
    fitted: FittedModel, documents: Sequence[Document], batch_size: int, of: Callable[[MaskDistribution], Tensor]
) -> list[Numbers]:
    """A number of every word, from q(z | x) of each batch `(B, T)`; without padding, and none of an empty text."""
    numbers: list[Numbers] = [np.zeros(0)] * len(documents)
    words = word_counts(documents)
    with evaluating(fitted):
        for index, batch in batches_of(fitted, documents, batch_size):
            values = of(fitted.guide.posterior(batch)).to("cpu", torch.float64).numpy()
            for i, row in zip(index, values, strict=True):
                numbers[i] = row[: words[i]]
    return numbers


def draw_all(
    fitted: FittedModel, documents: Sequence[Document], samples: int, seed: int = 0, batch_size: int = 64
) -> tuple[list[list[Mask]], Numbers]:
    """Masks drawn from q, and predictions averaged over them, of many documents in their order.

    Returns:
        `samples` lists of a mask per document, and the averages `(N, W)`, not cut at the ends of a scale.
    """
    masks: list[list[Mask]] = [[()] * len(documents) for _ in range(samples)]
    values = np.zeros((len(documents), fitted.task.width))
    words = word_counts(documents)
    with evaluating(fitted), seeded(seed):
        for index, batch in batches_of(fitted, documents, batch_size):
            q = fitted.guide.posterior(batch).discrete()
            z = q.sample((samples,))
            values[index] = fitted.task.values(predictive(fitted, batch, z, q.responsibilities(z))).mean(0)
            for draw, rows in zip(masks, z, strict=True):
                for i, row in zip(index, rows, strict=True):
                    draw[i] = tuple((row[: words[i]] > 0.5).tolist())
    return masks, values


def batches_of(
    fitted: FittedModel, documents: Sequence[Document], batch_size: int
) -> Iterator[tuple[list[int], Batch]]:
    """Batches of like lengths without labels, on the model's device, with the indices of their documents.

    Raises:
        ConfigError: the run has a mask for each target, and a document is not asked about one.
    """
    texts = without_labels(documents)
    if not texts:
        return
    if fitted.aspects > 1 and any(document.aspect is None for document in texts):
        raise ConfigError(f"{fitted.name}: has a mask for each target, and one is asked for; fit with --masks shared")
    for batch in fitted.device_batches(texts, batch_size):
        assert batch.index is not None
        yield batch.index.tolist(), batch


def padded(masks: Sequence[Sequence[bool]], documents: Sequence[Document], tokens: Tensor) -> Tensor:
    """Masks as a tensor like `tokens` `(B, T)`, 0 on padding.

    Raises:
        ValueError: a mask is not as long as its document.
    """
    z = torch.zeros(tokens.shape, dtype=torch.get_default_dtype(), device=tokens.device)
    for row, mask, document in zip(z, masks, documents, strict=True):
        if len(mask) != len(document.tokens):
            raise ValueError(f"{document.id}: a mask of {len(mask)} flags for {len(document.tokens)} words")
        row[: len(mask)] = torch.as_tensor(np.asarray(mask, dtype=float), dtype=z.dtype)
    return z


def without_labels(documents: Sequence[Document]) -> Sequence[Document]:
    """Texts without targets and annotations; those of a file stay in the file."""
    if isinstance(documents, ArrowDocuments):
        return documents.unlabelled()
    return [unlabelled(document) for document in documents]


def unlabelled(document: Document) -> Document:
    """The document without targets, rationales and annotators' maps; a row stays one (`aspect`)."""
    return replace(document, targets=(), gold=None, opinion=None, maps=None, rationales=None)


@contextmanager
def evaluating(fitted: FittedModel) -> Iterator[None]:
    """Without gradients and without dropout; training goes on afterwards as before."""
    with without_dropout(fitted), torch.no_grad():
        yield


@contextmanager
def without_dropout(fitted: FittedModel) -> Iterator[None]:
    """Without dropout."""
    modules: tuple[torch.nn.Module, ...] = (fitted.model, fitted.guide)
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.train(training)
