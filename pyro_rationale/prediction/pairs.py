"""The posterior of a query and some texts: which words of each are kept, and how sure their similarity is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_rationale.data.document import Document
from pyro_rationale.prediction.decoding import evaluating, tilted_to, unlabelled
from pyro_rationale.prediction.embedding import check_ranking
from pyro_rationale.prediction.marked_text import MarkedText
from pyro_rationale.prediction.mask_predictions import decode_and_draw
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.retrieval import softmax, text_record
from pyro_rationale.tasks import Numbers

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

_TEXTS = 32  # read at once


@dataclass(frozen=True)
class TextPosterior:
    """A text with its words' probabilities under q(z | x), and one mask.

    Attributes:
        document: the text.
        inclusion: P(word is kept | text) per word.
        marked: the text with the mask under the decode rule.
        frequency: share of the draws that are this mask.
    """

    document: Document
    inclusion: tuple[float, ...]
    marked: MarkedText
    frequency: float


@dataclass(frozen=True)
class PairPosterior:
    """A query and a text that it is compared with.

    Attributes:
        text: the text.
        score: cosine of the two, read through their shown masks.
        mean: of the cosine over draws of both masks.
        sd: standard deviation, likewise.
        interval: that holds the cosine of so many draws.
        probability: that this text is the similar one, if one of those given is: a softmax over their cosines, averaged
            over draws of all masks. 1 for a single text.
        probability_shown: the same from the shown masks alone.
    """

    text: TextPosterior
    score: float
    mean: float
    sd: float
    interval: tuple[float, float]
    probability: float
    probability_shown: float


@dataclass(frozen=True)
class QueryPosterior:
    """A query and the texts that it is compared with, in their order.

    Attributes:
        query: the query.
        pairs: one per text.
        level: probability of the intervals.
    """

    query: TextPosterior
    pairs: tuple[PairPosterior, ...]
    level: float

    def record(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "query": _record(self.query),
            "level": self.level,
            "texts": [
                _record(pair.text)
                | {
                    "score": pair.score,
                    "mean": pair.mean,
                    "sd": pair.sd,
                    "low": pair.interval[0],
                    "high": pair.interval[1],
                    "probability": pair.probability,
                    "probability_shown": pair.probability_shown,
                }
                for pair in self.pairs
            ],
        }


def explain_pairs(
    fitted: FittedModel, query: Document, texts: Sequence[Document], options: PredictOptions | None = None
) -> QueryPosterior:
    """Compare a query with some texts under the guide's draws of all their masks.

    Args:
        fitted: a ranking model.
        query: a text.
        texts: others, none or more.
        options: how masks are made, how many are drawn, and the level of the intervals.

    Raises:
        ConfigError: the model is one for another task.
    """
    check_ranking(fitted)
    options = options or PredictOptions()
    whole = fitted.model.match == "full"
    (asked,), at, own = _read(fitted, [query], options, False)
    found, near, others = _read(fitted, texts, options, whole) if texts else ([], at[:0], own[:, :0])
    temperature = float(fitted.model.temperature)
    shown = (near @ at[0]).astype(float)
    drawn = np.einsum("se,ste->st", own[:, 0], others).astype(float)
    likely, likely_shown = softmax(drawn / temperature).mean(0), softmax(shown / temperature)
    tails = (1.0 - options.level) / 2
    pairs = tuple(
        PairPosterior(
            text,
            float(shown[i]),
            float(drawn[:, i].mean()),
            float(drawn[:, i].std()),
            (float(np.quantile(drawn[:, i], tails)), float(np.quantile(drawn[:, i], 1.0 - tails))),
            float(likely[i]),
            float(likely_shown[i]),
        )
        for i, text in enumerate(found)
    )
    return QueryPosterior(asked, pairs, options.level)


def _read(
    fitted: FittedModel, documents: Sequence[Document], options: PredictOptions, whole: bool
) -> tuple[list[TextPosterior], Numbers, Numbers]:
    """Texts, their vectors through the shown masks `(N, E)`, and through drawn ones `(S, N, E)`."""
    model: Any = fitted.model
    texts: list[TextPosterior] = []
    shown, drawn = [], []
    keep_title = fitted.config.model.keep_title
    tilted = options.decode == "share"
    if tilted:  # draws, too: they are of the masks that are shown, which are modes then
        options = replace(options, decode="mode")
    with evaluating(fitted):
        for start in range(0, len(documents), _TEXTS):
            some = [unlabelled(document) for document in documents[start : start + _TEXTS]]
            batch = fitted.encode(some).to(fitted.device)
            q = fitted.guide.posterior(batch).discrete()
            if tilted:
                q = tilted_to(q, options.share)
            kept, draws = decode_and_draw(q, some, options, options.samples)
            every = batch.mask.to(model.encoder.dtype)
            if whole:
                kept, draws = every, every.expand(draws.shape)
            shown.append(model.embed(batch, kept.to(every.dtype)).cpu().numpy())
            drawn.append(model.embed(batch, draws.to(every.dtype)).cpu().numpy())
            inclusion = (every if whole else q.mean).cpu().double().numpy()
            same = (draws == kept).all(-1).double().mean(0).cpu().numpy()
            for i, document in enumerate(documents[start : start + _TEXTS]):
                words = len(document.tokens)
                mask = (kept[i, :words] > 0.5).cpu().numpy()
                marked = MarkedText.of(document, mask, keep_title)
                texts.append(TextPosterior(document, tuple(inclusion[i, :words].tolist()), marked, float(same[i])))
    return texts, np.concatenate(shown), np.concatenate(drawn, axis=1)


def _record(text: TextPosterior) -> dict[str, Any]:
    return {
        "id": text.document.id,
        "tokens": text.document.tokens,
        "inclusion": np.array(text.inclusion).round(6).tolist(),
        "mask": [int(flag) for flag in text.marked.mask],
        "frequency": text.frequency,
    } | text_record(text.marked)
