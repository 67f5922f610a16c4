"""Predictions of a fitted model: which words are kept, how sure that is, and what is predicted from them.

The guide's draws of each document come from a stream of its own that is seeded by the text. A text explained alone or
among others therefore gets the same answer: bit for bit where documents are processed one at a time, in larger batches
up to the rounding of the networks' sums.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.parallel import in_order
from pyro_rationale.prediction.answers import Answer, answers_of, parse_answers
from pyro_rationale.prediction.contributions import MOST_SPANS, Contributions, contributions_of
from pyro_rationale.prediction.decoding import Mask, evaluating, unlabelled, without_dropout
from pyro_rationale.prediction.information import information
from pyro_rationale.prediction.intervals import (
    calibrated_average,
    check_interval,
    interval_bounds,
    label_sets,
    predictive_mixture,
)
from pyro_rationale.prediction.labels import doubt_of_words
from pyro_rationale.prediction.mask_predictions import ReadDraws, draw_and_read, read_or_base
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.tasks import Mixture, Numbers

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

_POOL = 10  # batches whose documents are sorted by length together


@dataclass(frozen=True)
class Alternative:
    """One rationale of several.

    Attributes:
        mask: True on kept words.
        log_probability: log q(mask | x), exact.
        frequency: its share of the guide's draws, about its probability.
        values: what is predicted from it, as :attr:`Prediction.values`.
    """

    mask: Mask
    log_probability: float
    frequency: float
    values: tuple[float, ...]

    @property
    def probability(self) -> float:
        """q(mask | x)."""
        return math.exp(self.log_probability)


@dataclass(frozen=True)
class Prediction:
    """Rationale and prediction of one document, with what the guide says about them.

    Attributes:
        document: the text.
        inclusion: P(word is kept | text) per word.
        mode: the most probable mask.
        kept: the mask under the decode rule.
        values: predicted from the kept words alone: `D` ratings in the user's units, within the scale, `D`
            probabilities of the second class for binary labels, or `C` class probabilities.
        expected: `values` before ratings are clipped to the scale, as errors are measured.
        averaged: the mean over draws of the mask, within the scale; probabilities of classes with the temperature that
            development texts ask for.
        predicted: the prediction: `averaged`, or `values` with `predict="mode"`.
        sd: standard deviation of each rating, over draws and the noise around each; `None` for classes.
        interval: of each rating, within the scale; `None` for classes. It is made of all drawn masks, so `values` can
            lie outside where few of them agree with the kept one.
        classes: for classes the set of each target that holds the true one with the probability of an interval, the
            most probable first, as numbers of classes; `None` for ratings.
        alternatives: distinct rationales, the kept one first (with other rules than `agreeing` the mode), the others by
            falling log q.
        known: number of its words that are in the vocabulary, the encoder reading all others alike; all of them where a
            transformer encoder reads their pieces.
        predictive: the distribution of the ratings over draws and noise, a component per distinct mask; `None` for
            classes.
        aspects: where targets have masks of their own, the prediction of each, in their order, in which nothing but
            its own target means anything. All of them together then are: `kept` and `mode` what any of the masks keeps,
            `inclusion` P(kept by any), each target's figures those of its own mask, and no `alternatives`.
        contributions: of the spans of `kept`; `None` where they were not asked for.
        answers: what would speak for each answer that was asked for.
        probability: q(kept | x), exact; `None` of a text without words, and where targets have masks of
            their own.
        information: nats that the kept words add about each target, to what is said of a text that was not read
            (:mod:`~pyro_rationale.prediction.information`); `None` in runs of older versions.
    """

    document: Document
    inclusion: tuple[float, ...]
    mode: Mask
    kept: Mask
    values: tuple[float, ...]
    expected: tuple[float, ...]
    averaged: tuple[float, ...]
    predicted: tuple[float, ...]
    sd: tuple[float, ...] | None
    interval: tuple[tuple[float, float], ...] | None
    classes: tuple[tuple[int, ...], ...] | None
    alternatives: tuple[Alternative, ...]
    known: int
    predictive: Mixture | None = field(default=None, compare=False)  # arrays, equal or not entry by entry only
    aspects: tuple[Prediction, ...] = ()
    contributions: Contributions | None = None
    answers: tuple[Answer, ...] = ()
    probability: float | None = None
    information: tuple[float, ...] | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether too few of its words are known to predict anything from them."""
        return bool(doubt_of_words(self.known, self.document.tokens))


def predict(
    fitted: FittedModel,
    documents: Iterable[Document],
    options: PredictOptions | None = None,
    batch_size: int = 1,
    threads: int = 0,
) -> Iterator[Prediction]:
    """Predictions of documents, in their order, made as they are consumed.

    Args:
        fitted: a run.
        documents: any number of them; ten batches at a time (and a thread) are held.
        options: how much is shown.
        batch_size: documents of like lengths that are read at once; 1 gives each the numbers that it gets alone, to the
            last bit. A guide whose draws cannot be made from given numbers (`recurrent`) reads one at a time anyway.
        threads: that work ahead; 0 for none, each prediction is then made when it is consumed.

    Raises:
        ConfigError: conformal intervals are asked for, and the run has no development texts for them, or too few; or
            an answer is asked for that the target cannot be.
    """
    options = options or PredictOptions()
    check_interval(fitted, options)
    parse_answers(fitted.task, options.answers)
    if fitted.aspects == 1:
        return _predict(fitted, documents, options, batch_size, threads)
    return _predict_aspects(fitted, documents, options, batch_size, threads)


def _predict_aspects(
    fitted: FittedModel, documents: Iterable[Document], options: PredictOptions, batch_size: int, threads: int
) -> Iterator[Prediction]:
    """A prediction per document, put together from those of its targets; a row about one target has its own."""
    waiting: deque[Document] = deque()

    def rows() -> Iterator[Document]:
        for document in documents:
            waiting.append(document)
            yield from by_aspect([document], fitted.aspects)

    made = _predict(fitted, rows(), options, batch_size, threads)
    for first in made:
        document = waiting.popleft()
        if document.aspect is None:
            yield joined(document, [first, *islice(made, fitted.aspects - 1)])
        else:
            yield first


def _predict(
    fitted: FittedModel, documents: Iterable[Document], options: PredictOptions, batch_size: int, threads: int
) -> Iterator[Prediction]:
    """:func:`predict` of documents with one mask each."""
    source = iter(documents)
    size = batch_size * _POOL if batch_size > 1 or threads else 1
    pools = iter(lambda: list(islice(source, size)), [])
    work = partial(_predict_pool, fitted, options, batch_size)
    if threads:
        return _with_threads(fitted, in_order(work, pools, ThreadPoolExecutor(threads), threads + 1))
    return chain.from_iterable(map(work, pools))


def joined(document: Document, parts: Sequence[Prediction]) -> Prediction:
    """The predictions of a document's targets, each by its own mask, as one; see :attr:`Prediction.aspects`."""

    def own(name: str) -> tuple[Any, ...]:
        return tuple(getattr(part, name)[i] for i, part in enumerate(parts))

    first = parts[0]
    dropped = np.prod([1.0 - np.array(part.inclusion) for part in parts], axis=0)
    predictive = None
    if first.predictive is not None:
        predictive = side_by_side([part.predictive for part in parts if part.predictive is not None])
    return Prediction(
        document=document,
        inclusion=tuple((1.0 - dropped).tolist()),
        mode=tuple(map(any, zip(*(part.mode for part in parts), strict=True))),
        kept=tuple(map(any, zip(*(part.kept for part in parts), strict=True))),
        values=own("values"),
        expected=own("expected"),
        averaged=own("averaged"),
        predicted=own("predicted"),
        sd=None if first.sd is None else own("sd"),
        interval=None if first.interval is None else own("interval"),
        classes=None if first.classes is None else own("classes"),
        alternatives=(),
        known=first.known,
        predictive=predictive,
        aspects=tuple(parts),
        answers=tuple(answer for part in parts for answer in part.answers),
        information=None if first.information is None else own("information"),
    )


def side_by_side(mixtures: Sequence[Mixture]) -> Mixture:
    """One document's mixtures `(S, D)`, target i from the i-th, as one with the same distribution of each target.

    Components of all targets share their weights in it, so those of each are cut where those of another end; how
    targets depend on each other is not in it.
    """
    ends = [np.cumsum(one.weights) / one.weights.sum() for one in mixtures]
    cuts = np.unique(np.concatenate([[0.0], *ends]))
    cuts = cuts[np.concatenate([[True], np.diff(cuts) > 1e-12])]
    middles = (cuts[1:] + cuts[:-1]) / 2
    which = [np.minimum(np.searchsorted(end, middles), len(end) - 1) for end in ends]
    parts: dict[str, Any] = {
        name: np.stack([getattr(one, name)[at, i] for i, (one, at) in enumerate(zip(mixtures, which, strict=True))], 1)
        for name in mixtures[0].per_component
    }
    return replace(mixtures[0], weights=np.diff(cuts), **parts)


def _with_threads(fitted: FittedModel, pools: Iterator[list[Prediction]]) -> Iterator[Prediction]:
    with without_dropout(fitted):  # all the time: what one thread restores, another may still need
        yield from chain.from_iterable(pools)


def _predict_pool(
    fitted: FittedModel, options: PredictOptions, batch_size: int, documents: list[Document]
) -> list[Prediction]:
    order = np.argsort([len(document.tokens) for document in documents], kind="stable").tolist()
    predictions: dict[int, Prediction] = {}
    with evaluating(fitted):
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            made = _predict_batch(fitted, [documents[index] for index in indices], options)
            predictions.update(zip(indices, made, strict=True))
    return [predictions[index] for index in range(len(documents))]


def _predict_batch(fitted: FittedModel, documents: list[Document], options: PredictOptions) -> list[Prediction]:
    batch = fitted.encode([unlabelled(document) for document in documents]).to(fitted.device)
    q = fitted.guide.posterior(batch).discrete()
    if not q.has_sample_from and len(documents) > 1:
        return [one for document in documents for one in _predict_batch(fitted, [document], options)]
    read = draw_and_read(fitted, batch, q, documents, options, options.samples)
    reading, kept, values = read.reading, read.kept, read.reading.values
    shown = fitted.task.clip(values)
    averaged = calibrated_average(fitted, reading)
    mixture = predictive_mixture(fitted, reading)
    classes = label_sets(fitted, averaged, options) if mixture is None else None
    ends = None if mixture is None else interval_bounds(fitted, mixture, options).tolist()
    averaged = fitted.task.clip(averaged)
    unread = None if fitted.calibration is None else fitted.calibration.unread
    wide = None if mixture is None else mixture.sd
    nats = None if unread is None else information(fitted.task, unread, averaged, wide)
    every = np.arange(len(documents))
    predicted = averaged if options.predict == "average" else shown[read.shown, every]
    parts: list[Contributions | None] = [None] * len(documents)
    if options.contributions != "none":
        most = MOST_SPANS if options.contributions == "shapley" else 0
        rows = partial(read_or_base, fitted, batch, q.responsibilities(kept))
        task = fitted.task_for(options.predict)
        parts[:] = contributions_of(task, rows, documents, kept, read.drawn, predicted, most)
    asked = parse_answers(fitted.task, options.answers)
    masks = read.draws.masks.to("cpu", torch.bool).numpy()
    inclusion = q.mean.cpu().numpy()
    every_word = fitted.config.reads_every_word  # calibration goes by the words of the vocabulary nevertheless
    predictions = []
    for b, document in enumerate(documents):
        words, index = len(document.tokens), int(read.shown[b])
        own = masks[:, b, :words]
        predictions.append(
            Prediction(
                document=document,
                inclusion=tuple(inclusion[b, :words].tolist()),
                mode=tuple(own[0].tolist()),
                kept=tuple(own[index].tolist()),
                values=tuple(shown[index, b].tolist()),
                expected=tuple(values[index, b].tolist()),
                averaged=tuple(averaged[b].tolist()),
                predicted=tuple(predicted[b].tolist()),
                sd=None if wide is None else tuple(wide[b].tolist()),
                interval=None if ends is None else tuple((low, high) for low, high in ends[b]),
                classes=None if classes is None else classes[b],
                alternatives=_alternatives(own, read, b, shown[:, b], options),
                known=words if every_word else int(reading.known[b]),
                predictive=None if mixture is None else mixture.document(b),
                contributions=parts[b],
                answers=answers_of(fitted, document, asked, options.samples, options.seed),
                probability=math.exp(read.log_q[index, b]) if words else None,
                information=None if nats is None else tuple(nats[b].tolist()),
            )
        )
    return predictions


def _alternatives(
    masks: NDArray[np.bool_], read: ReadDraws, b: int, values: Numbers, options: PredictOptions
) -> tuple[Alternative, ...]:
    """One of the masks `(U, n)` of document `b`, and the most probable others: the mode and the draws.

    The first is the one that is shown, or the mode where that one need be neither the mode nor a draw.
    """
    log_q, weights = read.log_q[:, b], read.reading.weights[:, b]
    first = int(read.shown[b]) if options.decode == "agreeing" else 0
    others = {0, *np.flatnonzero(weights).tolist()} - {first}
    order = [first, *sorted(others, key=lambda i: (-log_q[i], i))][: options.alternatives]
    return tuple(
        Alternative(tuple(masks[i].tolist()), float(log_q[i]), float(weights[i]), tuple(values[i].tolist()))
        for i in order
    )
