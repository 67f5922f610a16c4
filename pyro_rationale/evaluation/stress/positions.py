"""Which kinds of words are kept, and where: a rationale that leans on full stops or on the first word is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.evaluation.stress._base import Row, StressTest, Verdict, judged, unfit
from pyro_rationale.evaluation.stress._measures import joined, kind_of
from pyro_rationale.evaluation.stress._subject import Subject

HIGHEST = 2.0  # times its uniform share that a position may have
EXPECTED = 5.0  # kept words that a place must have to be judged: below, one more or less makes the ratio
BAR = f"no position with more than {HIGHEST:g} x its uniform share"


def check(subject: Subject) -> Verdict:
    """Share of kept words by kind and by position over the share of all words there."""
    documents, masks = subject.documents, subject.masks
    kept = joined(masks)
    gold = [d.opinion if d.opinion is not None else d.gold for d in documents]
    known = [flags for flags in gold if flags is not None]
    evidence = joined(known) if len(known) == len(gold) else None
    groups = places(documents) | kinds(documents)
    rows = [row_of(name, here, kept, evidence) for name, here in groups.items()]
    if not kept.any():
        return unfit("nothing is kept", BAR, rows=rows)
    where = [row for row in rows if row["where"].startswith("position") and row["expected"] >= EXPECTED]
    if not where:
        return unfit("too few words are kept to say where", BAR, rows=rows)
    worst = max(where, key=lambda row: float(row["ratio"]))
    marks = next(row for row in rows if row["where"] == "punctuation")
    figure = f"{worst['ratio']:.2f} x at {worst['where'].removeprefix('position ')}; punctuation {marks['ratio']:.2f} x"
    if not subject.planted:
        return unfit("in real text evidence need not lie evenly: see the figures", BAR, figure, rows)
    return judged(worst["ratio"] <= HIGHEST, figure, BAR, "kept words cling to a place in the text", rows)


def places(documents: Sequence[Document]) -> dict[str, np.ndarray]:
    """Tenths of the text, the first word and the last: bool per word of all documents."""
    lengths = [len(d.tokens) for d in documents]
    tenth = np.concatenate([(10 * np.arange(n)) // max(1, n) for n in lengths])
    first = np.concatenate([np.arange(n) == 0 for n in lengths])
    last = np.concatenate([np.arange(n) == n - 1 for n in lengths])
    tenths = {f"position {10 * k}-{10 * k + 10} %": tenth == k for k in range(10)}
    return tenths | {"position first word": first, "position last word": last}


def kinds(documents: Sequence[Document]) -> dict[str, np.ndarray]:
    """Punctuation, function words, numbers and all else: bool per word of all documents."""
    each = np.array([kind_of(token) for d in documents for token in d.tokens])
    return {kind: each == kind for kind in ("punctuation", "function word", "number", "content")}


def row_of(name: str, here: np.ndarray, kept: np.ndarray, evidence: np.ndarray | None) -> Row:
    """Shares of kept and of all words that are `here`, their ratio, and the ratio of the words that should be kept."""
    share, uniform = ratio(here & kept, kept), float(here.mean())
    row: Row = {"where": name, "kept": share, "uniform": uniform, "ratio": share / uniform if uniform else 0.0}
    row["expected"] = uniform * float(kept.sum())
    if evidence is not None:
        row["ratio of evidence"] = ratio(here & evidence, evidence) / uniform if uniform else 0.0
    return row


def ratio(part: np.ndarray, whole: np.ndarray) -> float:
    """Share of `whole` that is in `part`; 0 of nothing."""
    return float(part.sum()) / max(1.0, float(whole.sum()))


REGISTERED = StressTest(
    check, "Punctuation and positions", "Liu et al. 2023 (DR, KDD), table 1; Lei et al. 2016 (EMNLP)"
)
