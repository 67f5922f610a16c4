"""Agreement with several annotators at once, and of these among themselves, which is what there is to reach.

Annotators are not known by name: the first map of one document and of the next may be two people's. Documents with a
single map or none say nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.document import agreed
from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, numbers
from pyro_rationale.evaluation.statistic import (
    Flags,
    Masks,
    Numbers,
    Statistic,
    Statistics,
    as_flags,
    quotient,
    ratio,
)

Maps = NDArray[np.bool_]  # (annotators, words)
Pair = tuple[Flags, Flags]
REFERENCES: dict[str, Callable[[Maps], Maps]] = {
    "each": lambda maps: maps,
    "union": lambda maps: np.atleast_2d(maps.any(0)),
    "majority": lambda maps: np.array([agreed(maps.tolist())], dtype=bool),
}


def agreement_statistics(documents: Sequence[Document], masks: Masks) -> Statistics:
    """Agreement of masks with several annotators, and of each annotator with the others; empty without maps.

    Returns:
        `maps_f1_each`, `maps_f1_union`, `maps_f1_majority`: F1 of the masks, pooled over words, against every single
        map, the words of any, and the words of at least half of them. `humans_f1_*`: the same of every map against
        the others of its document. `left_out_f1_*`: of the masks against these same references, made without one
        annotator at a time: what to lay beside `humans_f1_*`. `maps_kappa`: Cohen's, of the masks with single maps;
        `humans_kappa`: Fleiss's, of the maps. `maps`: mean number of annotators.
    """
    rows = [(_maps_of(document), as_flags(mask)) for document, mask in zip(documents, masks, strict=True)]
    if not any(maps.size for maps, _ in rows):
        return {}
    statistics: Statistics = {}
    for name, reference in REFERENCES.items():
        whole = [[(mask, row) for row in reference(maps)] if maps.size else [] for maps, mask in rows]
        humans = [list(_left_out(maps, maps, reference)) for maps, _ in rows]
        masked = [list(_left_out(maps, [mask] * len(maps), reference)) for maps, mask in rows]
        for kind, pairs in (("maps", whole), ("humans", humans), ("left_out", masked)):
            statistics[f"{kind}_f1_{name}"] = _f1(pairs)
    singles = [[(mask, row) for row in maps] for maps, mask in rows]
    statistics["maps_kappa"] = Statistic(np.array([sum(map(_square, pairs), np.zeros(4)) for pairs in singles]), _cohen)
    statistics["humans_kappa"] = Statistic(np.array([_marks(maps) for maps, _ in rows]), _fleiss)
    statistics["maps"] = quotient([len(maps) for maps, _ in rows], [maps.size > 0 for maps, _ in rows])
    return statistics


def _maps_of(document: Document) -> Maps:
    """`(annotators, words)`; no annotators where there are not at least two."""
    maps = document.maps or ()
    return np.array(maps if len(maps) > 1 else np.zeros((0, len(document.tokens))), dtype=bool)


def _left_out(maps: Maps, candidates: Iterable[Flags], reference: Callable[[Maps], Maps]) -> Iterator[Pair]:
    """One candidate per annotator, beside what is made of the maps of all others."""
    for annotator, candidate in enumerate(candidates):
        for row in reference(np.delete(maps, annotator, axis=0)):
            yield candidate, row


def _f1(documents: Sequence[Sequence[Pair]]) -> Statistic:
    """F1 pooled over the pairs of all documents."""
    hits = [sum(int((one & other).sum()) for one, other in pairs) for pairs in documents]
    marked = [sum(int(one.sum() + other.sum()) for one, other in pairs) for pairs in documents]
    return quotient(2 * np.array(hits), marked)


def _square(pair: Pair) -> Numbers:
    """Words that both marked, the first alone, the second alone, neither."""
    one, other = pair
    cells = (one & other, one & ~other, ~one & other, ~one & ~other)
    return np.array([cell.sum() for cell in cells], dtype=float)


def _cohen(sums: Numbers) -> Numbers:
    """Cohen (1960): agreement beyond what the two shares of marked words make by chance, 0 if these are certain."""
    both, first, second, neither = np.moveaxis(sums, -1, 0)
    words = both + first + second + neither
    chance = ratio((both + first) * (both + second) + (second + neither) * (first + neither), words**2)
    return ratio(ratio(both + neither, words) - chance, 1 - chance)


def _marks(maps: Maps) -> Numbers:
    """Sum over words of the share of pairs of annotators who agree; words; marks; judgements."""
    people, words = maps.shape
    if not people:
        return np.zeros(4)
    marks = maps.sum(0)
    agreeing = marks * (marks - 1) + (people - marks) * (people - marks - 1)
    return np.array([agreeing.sum() / (people * (people - 1)), words, marks.sum(), people * words], dtype=float)


def _fleiss(sums: Numbers) -> Numbers:
    """Fleiss (1971) over two categories; the number of annotators may differ between documents."""
    agreeing, words, marks, judgements = np.moveaxis(sums, -1, 0)
    share = ratio(marks, judgements)
    chance = share**2 + (1 - share) ** 2
    return ratio(ratio(agreeing, words) - chance, 1 - chance)


agreement_metrics = numbers(agreement_statistics)

REGISTERED = MetricFamily(
    (
        Metric("maps", "annotators per document", ".3g"),
        Metric("maps_f1_each", "F1 with single annotators", "%", "higher", tested=True),
        Metric("humans_f1_each", "  an annotator with another", "%"),
        Metric("maps_f1_majority", "F1 with the majority of annotators", "%", "higher", tested=True, main=True),
        Metric("left_out_f1_majority", "F1 with all annotators but one", "%", "higher"),
        Metric("humans_f1_majority", "  that one with the others", "%", main=True),
        Metric("maps_f1_union", format="%", better="higher"),
        Metric("left_out_f1_each", format="%", better="higher"),
        Metric("left_out_f1_union", format="%", better="higher"),
        Metric("humans_f1_union", format="%"),
        Metric("maps_kappa", format=".3f", better="higher"),
        Metric("humans_kappa", format=".3f"),
    ),
    lambda inputs: agreement_statistics(inputs.documents, inputs.masks or ()),
)
