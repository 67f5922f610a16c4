"""Word marginals against planted or annotated gold: `python -m pyro_rationale.study calibration --run RUN [RUN ...]`.

Gold has two layers. `clause`: every word of the clauses that speak of the rated aspect, as annotators mark them.
`opinion`: the words in there that the rating was computed from. A model that is told to keep few words keeps opinion
words; against clauses it must look sure of what it leaves out and wrong, and calibration against clauses measures
that difference of purpose, not its probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.corpus import Document
from pyro_rationale.errors import DataError
from pyro_rationale.evaluation.calibration import Forecasts, calibration_metrics, fit_temperature
from pyro_rationale.fitted import FittedModel

LAYERS = ("clause", "opinion")
QUALITY = ("precision", "recall", "opinion_recall", "empty", "selected", "mse")


def flags_of(document: Document, layer: str) -> tuple[bool, ...] | None:
    """Gold flags of one layer, or `None` where nobody gave them."""
    return document.gold if layer == "clause" else document.opinion


@torch.no_grad()
def marginals(
    fitted: FittedModel, documents: Sequence[Document], see_target: bool = False, seed: int = 0
) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """P(word is kept) under q(z | x), or q(z | x, y), for each document `(words,)`.

    Args:
        fitted: a run.
        documents: with targets if `see_target`; rows about one target each where targets have masks of their own.
        see_target: let the guide see them.
        seed: of the draws by which a recurrent guide estimates its marginals.
    """
    found: list[Any] = [None] * len(documents)
    with fitted.seeded(seed):
        for batch in fitted.device_batches(documents, 64):
            q = fitted.guide.posterior(batch, see_target=True) if see_target else fitted.guide.posterior(batch)
            mean = q.discrete().mean.double().clamp(0.0, 1.0).cpu().numpy()
            assert batch.index is not None
            for row, index in zip(mean, batch.index.tolist(), strict=True):
                found[index] = row[: len(documents[index].tokens)]
    return found


def words_of(
    documents: Sequence[Document],
    probabilities: Sequence[np.ndarray[Any, np.dtype[np.float64]]],
    layer: str,
    aspects: int = 1,
) -> Forecasts:
    """The words of those documents that have gold flags in this layer; `aspects` rows in turn are one document.

    Raises:
        DataError: none has.
    """
    known = [i for i, document in enumerate(documents) if flags_of(document, layer) is not None]
    if not known:
        raise DataError(f"--gold {layer}: no document has {layer} words marked; use --data synthetic or annotations")
    return Forecasts(
        np.concatenate([probabilities[i] for i in known]),
        np.concatenate([np.array(flags_of(documents[i], layer), dtype=bool) for i in known]),
        np.concatenate([np.full(len(documents[i].tokens), i // aspects) for i in known]),
    )


def measure(
    fitted: FittedModel,
    documents: Sequence[Document],
    dev: Sequence[Document] | None,
    layers: Sequence[str],
    bins: int = 15,
) -> list[dict[str, Any]]:
    """One result per view of the guide (text, or text and target), layer of gold, and rescaling."""
    aspects, results = fitted.aspects, []
    if aspects > 1:
        documents, dev = by_aspect(documents, aspects), None if dev is None else by_aspect(dev, aspects)
    views = (False, True) if fitted.guide.target is not None else (False,)
    for see_target in views:
        probabilities = marginals(fitted, documents, see_target)
        for layer in layers:
            words = words_of(documents, probabilities, layer, aspects)
            facts = {"reads": "x, y" if see_target else "x", "gold": layer}
            results.append({**facts, "rescaled": False, "temperature": 1.0, **calibration_metrics(words, bins)})
            if dev is not None:
                temperature = fit_temperature(words_of(dev, marginals(fitted, dev, see_target), layer, aspects))
                rescaled = calibration_metrics(words.rescaled(temperature), bins)
                results.append({**facts, "rescaled": True, "temperature": temperature, **rescaled})
    return results
