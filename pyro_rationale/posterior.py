"""Reading texts with a fitted run: which words are kept, how sure that is, and what is predicted from them.

Posterior draws are made one document at a time, each from a stream of its own that is seeded by the text. A text
explained alone or among others therefore gets the same answer, bit for bit, at the price of small batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches, encode_batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.options import option
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.report import discrete
from pyro_rationale.predictions import Mixture, Numbers, noise_of, on_scale, values_of

if TYPE_CHECKING:
    from pyro_rationale.distributions import MaskDistribution
    from pyro_rationale.runs import Fitted

RULES = ("mode", "threshold", "sample")
Mask = tuple[bool, ...]


@dataclass(frozen=True)
class DecodeOptions:
    """How one hard mask is made of q(z | x)."""

    decode: str = option("mode", "the most probable mask, all words above a threshold, or a draw", choices=RULES)
    threshold: float = option(0.5, "--decode threshold: keep words that are this probable, 0 to 1")
    seed: int = option(0, "of posterior draws")

    def __post_init__(self) -> None:
        if self.decode not in RULES:
            raise ConfigError(f"--decode: expected one of {', '.join(RULES)}, got {self.decode!r}")
        if not 0.0 <= self.threshold <= 1.0:
            raise ConfigError(f"--threshold: expected a probability from 0 to 1, got {self.threshold}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"--seed: expected a whole number from 0 to 2^63 - 1, got {self.seed}")


@dataclass(frozen=True)
class ReadingOptions(DecodeOptions):
    """How much of q(z | x) a reading shows."""

    samples: int = option(100, "posterior draws per text, for intervals and alternatives")
    alternatives: int = option(3, "rationales to list per text, the most probable one included")
    level: float = option(0.9, "probability of the interval around a rating")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1:
            raise ConfigError(f"--samples: expected at least 1 draw, got {self.samples}")
        if self.alternatives < 0:
            raise ConfigError(f"--alternatives: expected 0 or more, got {self.alternatives}")
        if not 0.0 < self.level < 1.0:
            raise ConfigError(f"--level: expected a probability between 0 and 1, got {self.level}")


@dataclass(frozen=True)
class Alternative:
    """One rationale of several.

    Attributes:
        mask: True on kept words.
        log_probability: log q(mask | x).
        frequency: its share of the posterior draws.
        values: what is predicted from it, as :attr:`Reading.values`.
    """

    mask: Mask
    log_probability: float
    frequency: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Reading:
    """What a fitted run makes of one document.

    Attributes:
        document: the text.
        inclusion: P(word is kept | text) per word.
        mode: the most probable mask.
        kept: the mask under the decode rule.
        values: predicted from the kept words alone: `D` ratings in the user's units, within the scale, `D`
            probabilities of the second class for binary labels, or `C` class probabilities.
        expected: the same before ratings are cut at the ends of the scale, as errors are measured.
        averaged: the mean over posterior draws of the mask, within the scale.
        sd: standard deviation of each rating, over draws and the likelihood's noise; `None` for classes.
        interval: central interval of each rating under the same mixture, within the scale; `None` for classes. It is
            made of all drawn masks, so `values` can lie outside where few of them agree with the kept one.
        alternatives: distinct rationales, the mode first, the others by falling log q.
    """

    document: Document
    inclusion: tuple[float, ...]
    mode: Mask
    kept: Mask
    values: tuple[float, ...]
    expected: tuple[float, ...]
    averaged: tuple[float, ...]
    sd: tuple[float, ...] | None
    interval: tuple[tuple[float, float], ...] | None
    alternatives: tuple[Alternative, ...]


def decode(q: MaskDistribution, rule: str = "mode", threshold: float = 0.5) -> Tensor:
    """One hard mask per document, `(*batch, T)`, 0 on padding. `sample` draws from torch's current generator."""
    if rule == "mode":
        return q.mode
    if rule == "sample":
        return discrete(q).sample()
    mean = q.mean
    kept = (mean >= threshold).to(mean.dtype)
    return kept if q.lengths is None else kept * q.word_mask.to(mean.dtype)


def decode_all(
    fitted: Fitted, documents: Sequence[Document], options: DecodeOptions, batch_size: int = 64
) -> tuple[list[Mask], Numbers]:
    """Masks and predictions of many documents, in their order, in length-sorted batches.

    Returns:
        The masks, one flag per word, and the predictions from them `(N, W)` as in :attr:`Reading.expected`.
    """
    masks: list[Mask] = [()] * len(documents)
    values = np.zeros((len(documents), fitted.spec.width))
    texts = [unlabelled(document) for document in documents]
    if not texts:
        return masks, values
    batches = BucketedBatches(texts, fitted.vocabulary, fitted.spec, batch_size)
    with evaluating(fitted), seeded(options.seed):
        for batch in batches.ordered(batch_size):
            batch = batch.to(fitted.device)
            z = decode(fitted.guide.posterior(batch), options.decode, options.threshold)
            assert batch.index is not None
            index = batch.index.tolist()
            values[index] = values_of(fitted.model.predictive(batch, z), fitted.spec)
            for i, row in zip(index, z, strict=True):
                masks[i] = _flags(row, documents[i])
    return masks, values


def draw_all(
    fitted: Fitted, documents: Sequence[Document], samples: int, seed: int = 0, batch_size: int = 64
) -> tuple[list[list[Mask]], Numbers]:
    """Masks drawn from q, and predictions averaged over them, of many documents in their order.

    Returns:
        `samples` lists of a mask per document, and the averages `(N, W)`, not cut at the ends of a scale.
    """
    masks: list[list[Mask]] = [[()] * len(documents) for _ in range(samples)]
    values = np.zeros((len(documents), fitted.spec.width))
    batches = BucketedBatches([unlabelled(d) for d in documents], fitted.vocabulary, fitted.spec, batch_size)
    with evaluating(fitted), seeded(seed):
        for batch in batches.ordered(batch_size):
            batch = batch.to(fitted.device)
            z = discrete(fitted.guide.posterior(batch)).sample((samples,))
            assert batch.index is not None
            index = batch.index.tolist()
            values[index] = values_of(fitted.model.predictive(batch, z), fitted.spec).mean(0)
            for draw, rows in zip(masks, z, strict=True):
                for i, row in zip(index, rows, strict=True):
                    draw[i] = _flags(row, documents[i])
    return masks, values


def read(
    fitted: Fitted, documents: Sequence[Document], options: ReadingOptions | None = None
) -> Iterator[Reading]:
    """Readings of the documents, in their order, one at a time as they are asked for."""
    options = options or ReadingOptions()
    for document in documents:
        batch = encode_batch([unlabelled(document)], fitted.vocabulary, fitted.spec).to(fitted.device)
        with evaluating(fitted), seeded(seed_of(document, options.seed)):
            reading = _read_one(fitted, document, batch, options)
        yield reading


class _Draws(NamedTuple):
    """Distinct masks `(U, T)`, the mode first and the kept one second; how often each was drawn, `(U,)`."""

    masks: Tensor
    counts: Numbers


def _read_one(fitted: Fitted, document: Document, batch: Batch, options: ReadingOptions) -> Reading:
    q = discrete(fitted.guide.posterior(batch))
    mode = q.mode
    kept = decode(q, options.decode, options.threshold)
    draws = _distinct(torch.cat([mode, kept]), q.sample((options.samples,)).squeeze(1))
    law = fitted.model.predictive(batch, draws.masks[:, None])
    values = values_of(law, fitted.spec)[:, 0]
    shown = on_scale(values, fitted.spec)
    place = _position(kept[0], draws.masks)
    weights = draws.counts / draws.counts.sum()
    mixture = None
    if fitted.spec.kind == "regression":
        mixture = Mixture(values, noise_of(law, fitted.spec)[:, 0], weights)
    return Reading(
        document=document,
        inclusion=tuple(q.mean[0, : len(document.tokens)].tolist()),
        mode=_flags(mode[0], document),
        kept=_flags(kept[0], document),
        values=tuple(shown[place].tolist()),
        expected=tuple(values[place].tolist()),
        averaged=tuple(on_scale(weights @ values, fitted.spec).tolist()),
        sd=None if mixture is None else tuple(mixture.sd.tolist()),
        interval=None if mixture is None else tuple(mixture.interval(options.level, fitted.spec.ranges)),
        alternatives=_alternatives(q, document, draws, shown, options.alternatives),
    )


def _alternatives(
    q: MaskDistribution, document: Document, draws: _Draws, values: Numbers, count: int
) -> tuple[Alternative, ...]:
    """The mode and the most probable of the drawn masks; a kept mask that was never drawn is not one of them."""
    log_q = q.log_prob(draws.masks[:, None])[:, 0].tolist()
    drawn = [i for i in range(1, len(log_q)) if draws.counts[i] > 0]
    order = [0, *sorted(drawn, key=lambda i: (-log_q[i], i))][:count]
    total = draws.counts.sum()
    return tuple(
        Alternative(
            mask=_flags(draws.masks[i], document),
            log_probability=log_q[i],
            frequency=float(draws.counts[i] / total),
            values=tuple(values[i].tolist()),
        )
        for i in order
    )


def _distinct(first: Tensor, draws: Tensor) -> _Draws:
    """Merges equal masks: rows of `first` `(F, T)` in front, then those of `draws` `(S, T)`; only draws count."""
    positions: dict[bytes, int] = {}
    rows: list[Tensor] = []
    counts: list[int] = []
    for weight, masks in ((0, first), (1, draws)):
        for row, key in zip(masks, masks.to("cpu", torch.bool).numpy(), strict=True):
            place = positions.setdefault(key.tobytes(), len(rows))
            if place == len(rows):
                rows.append(row)
                counts.append(0)
            counts[place] += weight
    return _Draws(torch.stack(rows), np.array(counts, dtype=float))


def _position(mask: Tensor, masks: Tensor) -> int:
    return int((masks == mask).all(-1).int().argmax())


def _flags(row: Tensor, document: Document) -> Mask:
    """A row of a batch without its padding (nor the unknown word that stands for an empty text)."""
    return tuple((row[: len(document.tokens)] > 0.5).tolist())


def unlabelled(document: Document) -> Document:
    return replace(document, targets=(), gold=None, opinion=None, maps=None)


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


@contextmanager
def evaluating(fitted: Fitted) -> Iterator[None]:
    """Without gradients and without dropout; training goes on afterwards as before."""
    modules: tuple[torch.nn.Module, ...] = (fitted.model, fitted.guide)
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.eval()
        with torch.no_grad():
            yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.train(training)
