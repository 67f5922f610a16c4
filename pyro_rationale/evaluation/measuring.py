"""All figures of anything that marks words and predicts from them, on labelled documents, ready to be resampled."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from pyro_rationale.data.corpus import Document
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.evaluate import targets_of
from pyro_rationale.evaluation.metrics import (
    Metrics,
    Predictions,
    Statistics,
    agreement_statistics,
    eraser_statistics,
    faithfulness_statistics,
    lexicon_statistics,
    prediction_metrics,
    prediction_statistics,
    rationale_statistics,
    selection_statistics,
    values_of,
)
from pyro_rationale.prediction.rationalizer import Rationalizer


@dataclass(frozen=True)
class Measured:
    """Figures of one marker on some documents.

    Attributes:
        documents: their number.
        statistics: every figure as sums over these documents, in their order.
        more: what is no such figure: `aspects`.
    """

    documents: int
    statistics: Statistics
    more: Metrics = field(default_factory=dict)

    @property
    def metrics(self) -> Metrics:
        """The figures by name, and the number of documents."""
        return {"documents": self.documents} | values_of(self.statistics) | self.more


def measure(
    marker: Rationalizer,
    documents: Sequence[Document],
    judge: Rationalizer | None = None,
    lexicon: Container[str] | None = None,
    seed: int = 0,
) -> Measured:
    """Marks, predicts and measures.

    Args:
        marker: whose masks, scores and predictions are measured.
        documents: with targets (NaN where unknown), and gold rationales or annotators' maps if there are any.
        judge: a reader fitted without the marker's help, of the same targets: by its predictions from the marked
            words, and from the others, comprehensiveness and sufficiency are judged.
        lexicon: words whose share among the kept ones is wanted.
        seed: of the random words that the judge gets for comparison.

    Returns:
        The keys of :mod:`pyro_rationale.evaluation.metrics`; those of ERASER and of agreement only where there is
        gold, and maps.

    Raises:
        ConfigError: the judge predicts something else.
    """
    if judge is not None and judge.spec != marker.spec:
        raise ConfigError(f"--judge {judge.name}: predicts something else than {marker.name}")
    masks = marker.masks(documents)
    predictions = Predictions(marker.predict(documents, masks), targets_of(documents, marker.spec))
    annotated = any(any(document.gold or ()) for document in documents)
    scores = marker.marginals(documents) if annotated or judge is not None else None
    statistics = prediction_statistics(marker.spec, predictions)
    statistics |= selection_statistics(masks)
    statistics |= rationale_statistics(documents, masks)
    if lexicon is not None:
        statistics |= lexicon_statistics(documents, masks, lexicon)
    statistics |= eraser_statistics(documents, masks, scores)
    statistics |= agreement_statistics(documents, masks)
    if judge is not None:
        statistics |= faithfulness_statistics(judge, documents, masks, scores, seed=seed)
        statistics |= judge_statistics(judge, documents, masks)
    more = {k: v for k, v in prediction_metrics(marker.spec, predictions).items() if k == "aspects"}
    return Measured(len(documents), statistics, more)


def judge_statistics(judge: Rationalizer, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Statistics:
    """The judge's own errors: `judge_mse` and so on from whole texts, `judge_kept_mse` and so on from marked words.

    One who cannot read whole texts proves nothing by what it makes of their parts.
    """
    found: Statistics = {}
    targets = targets_of(documents, judge.spec)
    whole = [[True] * len(document.tokens) for document in documents]
    for kind, marks in (("judge", whole), ("judge_kept", masks)):
        values = judge.predict(documents, marks)
        for name, statistic in prediction_statistics(judge.spec, Predictions(values, targets)).items():
            found[f"{kind}_{name}"] = statistic
    return found
