"""Predictions of a fitted model: which words are kept, how sure that is, and what is predicted from them.

The guide's draws of each document come from a stream of its own that is seeded by the text. A text explained alone or
among others therefore gets the same answer: bit for bit where documents are processed one at a time, in larger batches
up to the rounding of the networks' sums.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.cache.dataset import ArrowDocuments, word_counts
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.parallel import in_order
from pyro_rationale.errors import ConfigError
from pyro_rationale.prediction.answers import Answer, answers_of, parse_answers
from pyro_rationale.prediction.contributions import MOST_SPANS, Contributions, contributions_of
from pyro_rationale.prediction.draws import Draws, distinct, seed_of, seeded, uniforms
from pyro_rationale.prediction.options import DecodeOptions as DecodeOptions
from pyro_rationale.prediction.options import PredictOptions as PredictOptions
from pyro_rationale.tasks import Mixture, Numbers, Reading
from pyro_rationale.tasks._calibration import fewest_scores

if TYPE_CHECKING:
    from pyro_rationale.distributions import MaskDistribution
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.tasks import Mixture

_POOL = 10  # batches whose documents are sorted by length together
_MASKS = 1024  # that the encoder reads at once, those of like sizes together
Mask = tuple[bool, ...]


@dataclass(frozen=True)
class Alternative:
    """One rationale of several.

    Attributes:
        mask: True on kept words.
        log_probability: log q(mask | x).
        frequency: its share of the guide's draws.
        values: what is predicted from it, as :attr:`Prediction.values`.
    """

    mask: Mask
    log_probability: float
    frequency: float
    values: tuple[float, ...]


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
        alternatives: distinct rationales, the mode first, the others by falling log q.
        known: number of its words that are in the vocabulary; the model reads all others as one and the same.
        predictive: the distribution of the ratings over draws and noise, a component per distinct mask; `None` for
            classes.
        aspects: where targets have masks of their own, the prediction of each, in their order, in which nothing but
            its own target means anything. All of them together then are: `kept` and `mode` what any of the masks keeps,
            `inclusion` P(kept by any), each target's figures those of its own mask, and no `alternatives`.
        contributions: of the spans of `kept`; `None` where they were not asked for.
        answers: what would speak for each answer that was asked for.
        share: of the guide's draws that equal `kept`; `None` where targets have masks of their own (each of `aspects`
            has its share), and of a text without words.
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
    share: float | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether most of its words are unknown, so that little can be predicted from them."""
        return 2 * self.known < len(self.document.tokens)


def decode(q: MaskDistribution, rule: str = "mode", threshold: float = 0.5) -> Tensor:
    """One hard mask per document, `(*batch, T)`, 0 on padding. `sample` draws from torch's current generator."""
    if rule == "mode":
        return q.mode
    if rule == "sample":
        return q.discrete().sample()
    mean = q.mean
    kept = (mean >= threshold).to(mean.dtype)
    return kept if q.lengths is None else kept * q.word_mask.to(mean.dtype)


def decode_all(
    fitted: FittedModel, documents: Sequence[Document], options: DecodeOptions, batch_size: int = 64
) -> tuple[list[Mask], Numbers]:
    """Masks and predictions of many documents, in their order, in length-sorted batches.

    Returns:
        The masks, one flag per word, and the predictions from them `(N, W)` as in :attr:`Prediction.expected`. Where
        targets have masks of their own, each is predicted from its own, and all words that any keeps are given.
    """
    if fitted.aspects > 1 and documents and documents[0].aspect is None:
        rows = by_aspect(documents, fitted.aspects)
        each, found = decode_all(fitted, rows, options, batch_size)
        groups = [each[i : i + fitted.aspects] for i in range(0, len(rows), fitted.aspects)]
        union = [tuple(map(any, zip(*group, strict=True))) for group in groups]
        return union, found.reshape(len(documents), fitted.aspects, -1).diagonal(axis1=1, axis2=2)
    masks: list[Mask] = [()] * len(documents)
    values, words = np.zeros((len(documents), fitted.task.width)), word_counts(documents)
    with evaluating(fitted), seeded(options.seed):
        for index, batch in batches_of(fitted, documents, batch_size):
            z = decode(fitted.guide.posterior(batch), options.decode, options.threshold)
            values[index] = fitted.task.values(fitted.model.predictive(batch, z))
            for i, row in zip(index, z, strict=True):  # an empty text is read as one unknown word: not in its mask
                masks[i] = tuple((row[: words[i]] > 0.5).tolist())
    return masks, values


def decode_masks(
    fitted: FittedModel, documents: Sequence[Document], options: DecodeOptions, batch_size: int = 64
) -> list[Mask]:
    """One hard mask per document, one flag per word."""
    with seeded(options.seed):
        rows = _per_word(fitted, documents, batch_size, lambda q: decode(q, options.decode, options.threshold))
    return [tuple((row > 0.5).tolist()) for row in rows]


def predict_from(
    fitted: FittedModel, documents: Sequence[Document], masks: Sequence[Sequence[bool]], batch_size: int = 64
) -> Numbers:
    """Predictions from the kept words alone, `(N, W)` as in :attr:`Prediction.expected`.

    Raises:
        ValueError: a mask is not as long as its document.
    """
    values = np.zeros((len(documents), fitted.task.width))
    with evaluating(fitted):
        for index, batch in batches_of(fitted, documents, batch_size):
            z = padded([masks[i] for i in index], [documents[i] for i in index], batch.tokens)
            values[index] = fitted.task.values(fitted.model.predictive(batch, z))
    return values


def inclusion_probabilities(fitted: FittedModel, documents: Sequence[Document], batch_size: int = 64) -> list[Numbers]:
    """P(word is kept | text) of every word of each document."""
    return _per_word(fitted, documents, batch_size, lambda q: q.mean)


def _per_word(
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
    for batch in fitted.batches(texts, batch_size).ordered():
        assert batch.index is not None
        yield batch.index.tolist(), batch.to(fitted.device)


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
            z = fitted.guide.posterior(batch).discrete().sample((samples,))
            values[index] = fitted.task.values(fitted.model.predictive(batch, z)).mean(0)
            for draw, rows in zip(masks, z, strict=True):
                for i, row in zip(index, rows, strict=True):
                    draw[i] = tuple((row[: words[i]] > 0.5).tolist())
    return masks, values


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
    with _quiet(fitted):  # all the time: what one thread restores, another may still need
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
    if not hasattr(q, "sample_from") and len(documents) > 1:
        return [reading for document in documents for reading in _predict_batch(fitted, [document], options)]
    kept, drawn = _drawn(q, documents, options)
    draws = distinct(torch.stack([q.mode, kept]), drawn)
    reading = _read(fitted, batch, draws, documents)
    values, weights = reading.values, reading.weights
    shown = fitted.task.clip(values)
    averaged = calibrated_average(fitted, reading)
    mixture = predictive_mixture(fitted, reading)
    classes = label_sets(fitted, averaged, options) if mixture is None else None
    ends = None if mixture is None else interval_bounds(fitted, mixture, options).tolist()
    sds = None if mixture is None else mixture.sd.tolist()
    averaged = fitted.task.clip(averaged)
    every = np.arange(len(documents))
    predicted = averaged if options.predict == "average" else shown[draws.places[1], every]
    parts: list[Contributions | None] = [None] * len(documents)
    if options.contributions != "none":
        most = MOST_SPANS if options.contributions == "shapley" else 0
        rows = partial(read_rows, fitted, batch)
        parts[:] = contributions_of(
            fitted.task, lambda some, owners: rows(some, owners)[0], documents, kept, drawn, predicted, most
        )
    asked = parse_answers(fitted.task, options.answers)
    masks = draws.masks.to("cpu", torch.bool).numpy()
    log_q = q.log_prob(draws.masks).cpu().numpy() if options.alternatives else np.zeros(weights.shape)
    inclusion = q.mean.cpu().numpy()
    readings = []
    for b, document in enumerate(documents):
        words, index = len(document.tokens), int(draws.places[1, b])
        own = masks[:, b, :words]
        readings.append(
            Prediction(
                document=document,
                inclusion=tuple(inclusion[b, :words].tolist()),
                mode=tuple(own[0].tolist()),
                kept=tuple(own[index].tolist()),
                values=tuple(shown[index, b].tolist()),
                expected=tuple(values[index, b].tolist()),
                averaged=tuple(averaged[b].tolist()),
                predicted=tuple(predicted[b].tolist()),
                sd=None if sds is None else tuple(sds[b]),
                interval=None if ends is None else tuple((low, high) for low, high in ends[b]),
                classes=None if classes is None else classes[b],
                alternatives=_alternatives(own, log_q[:, b], weights[:, b], shown[:, b], options.alternatives),
                known=int(reading.known[b]),
                predictive=None if mixture is None else mixture.document(b),
                contributions=parts[b],
                answers=answers_of(fitted, document, asked, options.samples, options.seed),
                share=float(weights[index, b]) if words else None,
            )
        )
    return readings


def calibrated_average(fitted: FittedModel, reading: Reading) -> Numbers:
    """Predictions averaged over masks, `(B, W)`; those of classes are then tempered.

    An average of calibrated probabilities is not sure enough (Ranjan and Gneiting 2010), so the temperature comes last.
    """
    averaged: Numbers = np.einsum("ub,ubw->bw", reading.weights, reading.values)
    return averaged if fitted.calibration is None else fitted.task.temper(averaged, fitted.calibration.temperature)


def predictive_mixture(fitted: FittedModel, reading: Reading) -> Mixture | None:
    """Predictive distribution of ratings over masks, with noise by what each keeps where development texts have told.

    Returns:
        `None` for classes.
    """
    if reading.noise is None:
        return None
    known = None if fitted.calibration is None else fitted.calibration.noise
    noise = reading.noise if known is None else known(reading)
    return fitted.task.mixture(reading.values, noise, reading.weights)


def interval_bounds(fitted: FittedModel, mixture: Mixture, options: PredictOptions) -> Numbers:
    """Interval of each rating, within the scale, `(B, D, 2)`."""
    if options.interval == "mixture":
        return mixture.interval_bounds(options.level, fitted.spec.ranges)
    assert fitted.calibration is not None
    reach = fitted.calibration.quantiles(options.level) * mixture.sd
    low, high = np.array(fitted.spec.ranges, dtype=float).T[..., None]
    return np.stack([mixture.mean - reach, mixture.mean + reach], axis=-1).clip(low, high)


def label_sets(
    fitted: FittedModel, averaged: Numbers, options: PredictOptions
) -> list[tuple[tuple[int, ...], ...]] | None:
    """Sets of classes, the most probable first, of each document and target; none is empty.

    Of the mixture: as few as have the probability asked for together. Conformal: all that are as probable as the true
    class is in so many development texts (least ambiguous sets; Sadinle, Lei and Wasserman 2019).
    """
    probabilities = fitted.task.probabilities(averaged)
    if probabilities is None:
        return None
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=-1)
    if options.interval == "mixture":
        inside = np.cumsum(ranked, axis=-1) - ranked < options.level - 1e-9
    else:
        assert fitted.calibration is not None
        inside = 1.0 - ranked <= fitted.calibration.quantiles(options.level)[:, None]
    sizes = np.maximum(inside.sum(-1), 1)
    return [
        tuple(tuple(row[:size].tolist()) for row, size in zip(rows, counts, strict=True))
        for rows, counts in zip(order, sizes, strict=True)
    ]


def check_interval(fitted: FittedModel, options: PredictOptions) -> None:
    """Make sure that there are scores enough for conformal intervals, where these are asked for.

    Raises:
        ConfigError: there are not.
    """
    if options.interval != "conformal":
        return
    if fitted.calibration is None:
        why = "the run was fitted by an older version, or without development texts, and holds no scores"
        raise ConfigError(f"--interval conformal: {why}; fit again, or take --interval mixture")
    fewest = fewest_scores(options.level)
    for name, scores in zip(fitted.spec.names, fitted.calibration.scores, strict=True):
        if len(scores) < fewest:
            needs = f"--level {options.level:g} needs {fewest} development texts, and {len(scores)} have {name}"
            raise ConfigError(f"--interval conformal: {needs}; lower --level, or take --interval mixture")


def _drawn(q: MaskDistribution, documents: Sequence[Document], options: PredictOptions) -> tuple[Tensor, Tensor]:
    """The mask under the decode rule `(B, T)`, and draws `(S, B, T)`."""
    if not hasattr(q, "sample_from"):
        with seeded(seed_of(documents[0], options.seed)):
            return decode(q, options.decode, options.threshold), q.precise_sample(torch.Size([options.samples]))
    counts = [1, options.samples] if options.decode == "sample" else [options.samples]
    numbers = uniforms(documents, q.event_shape[0], options.seed, counts)
    masks = [q.sample_from(uniform.to(q.mean.device)) for uniform in numbers]
    kept = masks[0][0] if options.decode == "sample" else decode(q, options.decode, options.threshold)
    return kept, masks[-1]


def draw_reading(fitted: FittedModel, documents: list[Document], samples: int) -> Reading:
    """Draws of masks of documents of like lengths, as :func:`predict` makes them, and what is predicted from each."""
    batch = fitted.encode([unlabelled(document) for document in documents]).to(fitted.device)
    _, drawn = _drawn(fitted.guide.posterior(batch).discrete(), documents, PredictOptions(samples=samples))
    return _read(fitted, batch, distinct(drawn[:0], drawn), documents)


def _read(fitted: FittedModel, batch: Batch, draws: Draws, documents: Sequence[Document]) -> Reading:
    """Predictions from each mask: expected values `(U, B, W)`, and for ratings the noise around them."""
    most, count = draws.counts.shape
    rows, owners = np.nonzero(np.arange(most)[:, None] < draws.sizes)  # the encoder sees each mask once
    device = batch.tokens.device
    masks = draws.masks[torch.from_numpy(rows).to(device), torch.from_numpy(owners).to(device)]
    values, noise = read_rows(fitted, batch, masks, owners)
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


def read_rows(
    fitted: FittedModel, batch: Batch, masks: Tensor, owners: NDArray[np.int64]
) -> tuple[Numbers, Numbers | None]:
    """Predictions `(N, W)` from masks `(N, T)`, and for ratings the noise around them; those of like sizes together.

    Args:
        fitted: the model.
        batch: documents.
        masks: on the device of the batch.
        owners: number of each mask's document.
    """
    order = np.argsort(masks.sum(-1).cpu().numpy(), kind="stable")
    values, noise = [], []
    for start in range(0, len(order), _MASKS):
        rows = order[start : start + _MASKS]
        row, owner = (torch.from_numpy(part).to(batch.tokens.device) for part in (rows, owners[rows]))
        distribution = fitted.model.predictive(Batch(batch.tokens[owner], batch.lengths[owner]), masks[row])
        values.append(fitted.task.values(distribution))
        around = fitted.task.noise(distribution)
        if around is not None:
            noise.append(around)
    back = np.argsort(order, kind="stable")
    return np.concatenate(values)[back], np.concatenate(noise)[back] if noise else None


def _alternatives(
    masks: NDArray[np.bool_], log_q: Numbers, weights: Numbers, values: Numbers, most: int
) -> tuple[Alternative, ...]:
    """The mode, which is the first of the masks `(U, n)`, and the most probable of those that were drawn."""
    if not most:
        return ()
    drawn = np.flatnonzero(weights[1:]) + 1
    order = [0, *sorted(drawn.tolist(), key=lambda i: -log_q[i])][:most]
    return tuple(
        Alternative(tuple(masks[i].tolist()), float(log_q[i]), float(weights[i]), tuple(values[i].tolist()))
        for i in order
    )


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
    with _quiet(fitted), torch.no_grad():
        yield


@contextmanager
def _quiet(fitted: FittedModel) -> Iterator[None]:
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
