"""Aspects that go together: does the rationale stay with its own where another would predict as well?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_rationale.data.corpora.synthetic import ASPECTS, make_review
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.evaluation.stress._base import Row, StressTest, Verdict, judged, unfit
from pyro_rationale.evaluation.stress._measures import agreement, skill
from pyro_rationale.evaluation.stress._subject import Subject
from pyro_rationale.prediction.rationalizer import ModelRationalizer

LEVELS = (0.0, 0.5, 0.8)
MILD = 0.5
DEAREST = 10.0
BAR = f"F1 falls by {DEAREST:g} points at most at correlation {MILD:g}"


def check(subject: Subject) -> Verdict:
    """F1, and the share of kept words in clauses of other aspects, of refits at rising correlation."""
    if not subject.planted:
        return unfit("the aspects of real texts cannot be tied together", BAR)
    if len(subject.fitted.spec.names) > 1:
        return unfit("all aspects are predicted at once: there is no other", BAR)
    rows = []
    for level in LEVELS:
        if level == subject.config.data.correlation:
            rows.append(row_of(level, *subject.refit("plain")))
        else:
            rows.append(row_of(level, *subject.refit(f"correlation-{level:g}", correlation=level)))
    costs = {row["correlation"]: 100.0 * (rows[0]["judged"] - row["judged"]) for row in rows[1:]}
    figure = f"F1 {100 * rows[0]['judged']:.1f}, " + ", ".join(f"at {k:g} {-cost:+.1f}" for k, cost in costs.items())
    figure += f"; in other aspects {100 * rows[0]['other aspects']:.1f} to {100 * rows[-1]['other aspects']:.1f} %"
    return judged(costs[MILD] <= DEAREST, figure, BAR, "the rationale takes in what other aspects say", rows)


def row_of(level: float, rationalizer: ModelRationalizer, documents: Sequence[Document]) -> Row:
    """The figures of one fit."""
    masks = rationalizer.masks(documents)
    others = other_aspects(rationalizer.fitted.config.data, documents)
    kept = sum(map(sum, masks))
    inside = sum(int((np.asarray(mask, dtype=bool) & other).sum()) for mask, other in zip(masks, others, strict=True))
    measured = agreement(documents, masks)
    predicted = skill(rationalizer.predict(documents, masks), documents, rationalizer.spec, rationalizer.decision)
    return {"correlation": level, **measured, "other aspects": inside / max(1, kept), "skill": predicted}


def other_aspects(options: DataOptions, documents: Sequence[Document]) -> list[np.ndarray]:
    """Bool per word: in a clause of a rated aspect that is not the run's own. The texts do not depend on the aspect."""
    flags = []
    for document in documents:
        whole = make_review(options, document.id, ASPECTS).gold
        flags.append(np.asarray(whole, dtype=bool) & ~np.asarray(document.gold, dtype=bool))
    return flags


REGISTERED = StressTest(
    check,
    "Correlated aspects",
    "Lei et al. 2016 (EMNLP), experiments; Chang et al. 2020 (ICML), invariant rationalization",
    refits=True,
)
