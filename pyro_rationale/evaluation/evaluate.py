"""One composition of all registered metrics, of anything that keeps words and predicts from them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.corpus import Document
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.metrics import METRICS, MetricInputs
from pyro_rationale.evaluation.metrics.uncertainty import SPLIT
from pyro_rationale.evaluation.statistic import Masks, Metrics, Numbers, Statistic, Statistics, values_of
from pyro_rationale.prediction.decoding import Mask, draw_all, without_labels
from pyro_rationale.prediction.options import DecodeOptions, PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Rationalizer
from pyro_rationale.tasks import Mixture

if TYPE_CHECKING:
    from pyro_rationale.data.corpus import TargetSpec
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.predictor import Prediction


Progress = Callable[[int, int], None]  # called with what is done, and with all


@dataclass(frozen=True)
class Evaluation:
    """Metrics on some documents.

    Attributes:
        documents: number of documents.
        statistics: metrics that are functions of sums over these documents, in their order: what intervals and tests
            need.
        others: metrics that are not, such as `aspects` and the terms of the objective.
        curves: what figures are drawn of, by name: lists of numbers.
    """

    documents: int
    statistics: Statistics
    others: Metrics
    curves: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> Metrics:
        """All metrics by name, and the number of documents."""
        return {"documents": self.documents} | values_of(self.statistics) | self.others


def compute(inputs: MetricInputs) -> Evaluation:
    """Every registered metric that the inputs suffice for."""
    statistics: Statistics = {}
    others: Metrics = {}
    curves: dict[str, Any] = {}
    for family in METRICS.values():
        if any(getattr(inputs, name) is None for name in family.needs):
            continue
        for name, value in family.compute(inputs).items():
            if isinstance(value, Statistic):
                statistics[name] = value
            elif name == "aspects":  # several families have figures by target
                known = others.get(name, {})
                others[name] = {target: known.get(target, {}) | figures for target, figures in value.items()}
            else:
                others[name] = value
        if family.curves is not None:
            curves |= family.curves(inputs)
    return Evaluation(len(inputs.documents), statistics, others, curves)


def evaluate(
    rationalizer: Rationalizer,
    documents: Sequence[Document],
    masks: Masks | None = None,
    scores: bool = True,
    judge: Rationalizer | None = None,
    lexicon: Container[str] | None = None,
    objective: bool = False,
    seed: int = 0,
    samples: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate rationales, and the predictions made from them.

    Args:
        rationalizer: selects words and predicts from them; it sees no labels.
        documents: with targets (NaN where unknown), and gold rationales or annotators' maps if there are any.
        masks: rationales to evaluate instead of the rationalizer's own.
        scores: whether to rank words by the rationalizer's scores as well, where a metric asks for it (AUPRC, AOPC).
        judge: a model of the same targets that was fitted without the rationalizer's help; comprehensiveness and
            sufficiency are measured by its predictions from the kept words and from the others.
        lexicon: words whose share among the kept ones is counted.
        objective: whether to add the terms of the objective, where the rationalizer is a fitted model.
        seed: of random words for the judge, and of draws for the objective and the predictive distributions.
        samples: masks drawn per document, whose average and predictive distribution are measured as well where the
            rationalizer is a fitted model; 0 for none.
        progress: called, as masks are drawn, with the numbers of documents that are done and of all.

    Returns:
        The metrics that apply: those of :data:`~pyro_rationale.evaluation.metrics.METRICS`.

    Raises:
        ConfigError: the judge predicts something else.
    """
    if judge is not None and judge.spec != rationalizer.spec:
        raise ConfigError(f"--judge {judge.name}: predicts something else than {rationalizer.name}")
    aspects, count = getattr(rationalizer, "aspects", 1), len(documents)
    if aspects > 1:
        documents = by_aspect(documents, aspects)
        if masks is not None and len(masks) == count:
            masks = [mask for mask in masks for _ in range(len(documents) // max(count, 1))]
    texts = without_labels(documents)
    ranked = scores and (judge is not None or any(any(document.gold or ()) for document in documents))
    model = rationalizer if isinstance(rationalizer, ModelRationalizer) else None
    averaged, predictive = None, None
    if model is not None and samples and texts:
        agrees = masks is None and model.decode.decode == "agreeing" and model.decode.seed == seed
        rule = "agreeing" if agrees else "mode"  # which needs no more draws than are averaged
        options = PredictOptions(rule, seed=seed, samples=samples, alternatives=0)
        predictions = predict(model.fitted, texts, options, model.batch_size)
        shown: list[Mask] = []
        averaged, predictive = averages(_seen(predictions, shown, len(texts), progress))
        if agrees:
            masks = shown
    masks = rationalizer.masks(texts) if masks is None else masks
    made = compute(
        MetricInputs(
            documents,
            rationalizer.spec,
            masks,
            rationalizer.predict(texts, masks) if model is None else model.predict_own(texts, masks),
            rationalizer.marginals(texts) if ranked else None,
            judge=judge,
            lexicon=lexicon,
            decision=getattr(rationalizer, "decision", None) if model is None else model.fitted.decision,
            averaged=averaged,
            predictive=predictive,
            conformal=None if model is None or averaged is None else conformal_quantiles(model.fitted),
            fitted=model.fitted if objective and model is not None else None,
            batch_size=64 if model is None else model.batch_size,
            seed=seed,
        )
    )
    return made if aspects == 1 else per_document(made, count)


def _seen(
    predictions: Iterable[Prediction], shown: list[Mask], total: int, progress: Progress | None
) -> Iterator[Prediction]:
    """The predictions, whose masks are added to a list, and which are counted."""
    for number, prediction in enumerate(predictions, 1):
        shown.append(prediction.kept)
        yield prediction
        if progress is not None:
            progress(number, total)


def per_document(made: Evaluation, documents: int) -> Evaluation:
    """The evaluation of so many documents, from one of their rows about one target each, document after document.

    A document adds to each sum what its rows do: rows of one document are not independent of each other.
    """
    if not documents or made.documents % documents:
        return made
    statistics = {
        name: Statistic(one.table.reshape(documents, -1, one.table.shape[1]).sum(1), one.of)
        for name, one in made.statistics.items()
    }
    return replace(made, documents=documents, statistics=statistics)


def conformal_quantiles(fitted: FittedModel) -> Numbers | None:
    """Conformal quantile of each target at the level of :data:`SPLIT`, `(D,)`; `None` without scores enough."""
    if fitted.calibration is None:
        return None
    quantiles = fitted.calibration.quantiles(SPLIT / 100)
    return quantiles if np.isfinite(quantiles).all() else None


def averages(predictions: Iterable[Prediction]) -> tuple[Numbers, Mixture | None]:
    """Averages over masks `(N, W)`, not cut at the ends of a scale, and predictive distributions of ratings.

    Args:
        predictions: of one model, at least one.
    """
    each = [(prediction.averaged, prediction.predictive) for prediction in predictions]
    mixtures = [mixture for _, mixture in each if mixture is not None]
    if len(mixtures) < len(each):
        return np.array([averaged for averaged, _ in each], dtype=float), None
    predictive = mixtures[0].stack(mixtures)
    return predictive.mean, predictive


def evaluate_documents(
    fitted: FittedModel,
    documents: Sequence[Document],
    decode: str = "agreeing",
    threshold: float = 0.5,
    batch_size: int = 64,
    seed: int = 0,
    lexicon: Container[str] | None = None,
    objective: bool = False,
    samples: int = 0,
) -> Metrics:
    """Metrics of a fitted model by name.

    Args:
        fitted: the model.
        documents: with targets (NaN where unknown), and gold rationales if there are any.
        decode: rule for the masks; `sample` depends on `seed`.
        threshold: for that rule.
        batch_size: documents at once; it changes nothing but speed, and which draws `sample` makes.
        seed: of the draws.
        lexicon: words whose share among the kept ones is counted.
        objective: whether to add the terms of the objective.
        samples: masks drawn per document, whose average and predictive distribution are measured too; 0 for none.
    """
    rationalizer = ModelRationalizer(fitted, DecodeOptions(decode, threshold, seed), batch_size)
    return evaluate(rationalizer, documents, lexicon=lexicon, objective=objective, seed=seed, samples=samples).metrics


def measure_averages(fitted: FittedModel, documents: Sequence[Document], values: Numbers) -> Metrics:
    """Metrics of predictions `(N, W)` averaged over masks, which are tempered, and then named by the run's rule."""
    if fitted.calibration is not None:
        values = fitted.task.temper(values, fitted.calibration.temperature)
    rule = None if fitted.decision is None else replace(fitted.decision, alone=None)
    return compute(MetricInputs(documents, fitted.spec, values=np.asarray(values), decision=rule)).metrics


def evaluate_average(
    fitted: FittedModel, documents: Sequence[Document], samples: int = 16, batch_size: int = 64, seed: int = 0
) -> Metrics:
    """Metrics of predictions averaged over masks drawn from q(z | x); the drawn masks are pooled.

    Args:
        fitted: the model.
        documents: with targets, and gold rationales if there are any; at least one.
        samples: masks per document.
        batch_size: documents at once.
        seed: of the draws.
    """
    if fitted.aspects > 1:
        documents = by_aspect(documents, fitted.aspects)
    draws, values = draw_all(fitted, documents, samples, seed, batch_size)
    masks = [mask for draw in draws for mask in draw]
    drawn = compute(MetricInputs([*documents] * samples, fitted.spec, masks)).metrics
    predicted = measure_averages(fitted, documents, values)
    if "aspects" not in drawn:
        return drawn | predicted
    each = {name: figures | predicted.get("aspects", {}).get(name, {}) for name, figures in drawn["aspects"].items()}
    return drawn | predicted | {"aspects": each, "documents": predicted["documents"] // fitted.aspects}


def evaluate_predictions(
    predictions: Sequence[Prediction], spec: TargetSpec, fitted: FittedModel | None = None, seed: int = 0
) -> Evaluation:
    """Evaluate predictions that were made already, with their intervals and predictive distributions.

    Args:
        predictions: of documents with targets (NaN where unknown), and gold rationales if there are any.
        spec: what is predicted.
        fitted: the model, if its rule of classes is to be heeded, and the terms of its objective and its conformal
            intervals are to be added.
        seed: of draws for these terms.
    """
    count = len(predictions)
    predictions = [part for prediction in predictions for part in prediction.aspects or (prediction,)]
    intervals = [prediction.interval for prediction in predictions if prediction.interval is not None]
    averaged, predictive = averages(predictions) if predictions else (None, None)
    inputs = MetricInputs(
        [prediction.document for prediction in predictions],
        spec,
        [prediction.kept for prediction in predictions],
        values=np.array([prediction.expected for prediction in predictions]) if predictions else None,
        scores=[np.array(prediction.inclusion) for prediction in predictions] if predictions else None,
        intervals=np.array(intervals, dtype=float) if intervals and len(intervals) == len(predictions) else None,
        averaged=averaged,
        predictive=predictive,
        conformal=None if fitted is None or averaged is None else conformal_quantiles(fitted),
        decision=None if fitted is None else fitted.decision,
        fitted=fitted if predictions else None,
        seed=seed,
    )
    made = compute(inputs)
    return made if len(predictions) == count else per_document(made, count)
