"""A predictor that gives the answer from any words is no evidence for those that were chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_rationale.evaluation.stress._base import Row, StressTest, Verdict, judged, unfit
from pyro_rationale.evaluation.stress._measures import skill
from pyro_rationale.evaluation.stress._subject import Subject
from pyro_rationale.prediction.decoding import Mask

DRAWS = 5
LEAST, LARGEST = 0.1, 0.5  # skill below which there is nothing to test; share of it that random words may reach
BAR = f"random words: at most {LARGEST:g} x the rationale's skill"


def check(subject: Subject) -> Verdict:
    """Skill of the encoder on rationales, on as many random words, and on whole texts."""
    documents, masks, rationalizer = subject.documents, subject.masks, subject.rationalizer
    random = np.random.default_rng(subject.settings.seed)

    def of(candidates: Sequence[Sequence[bool]]) -> float:
        values = rationalizer.predict(documents, candidates)
        return skill(values, documents, rationalizer.spec, getattr(rationalizer, "decision", None))

    def drawn(allowed: Sequence[Sequence[bool]]) -> float:
        return float(np.mean([of(as_many(masks, allowed, random)) for _ in range(DRAWS)]))

    everything = [(True,) * len(mask) for mask in masks]
    others = [tuple(not kept for kept in mask) for mask in masks]
    rows: list[Row] = [
        {"words": "rationale", "skill": of(masks)},
        {"words": "as many, at random", "skill": drawn(everything)},
        {"words": "as many of the others", "skill": drawn(others)},
        {"words": "all but the rationale", "skill": of(others)},
        {"words": "whole text", "skill": of(everything)},
        {"words": "none", "skill": of([(False,) * len(mask) for mask in masks])},
    ]
    if all(document.gold for document in documents):
        outside = [tuple(not gold for gold in document.gold or ()) for document in documents]
        rows.append({"words": "as many outside the gold", "skill": drawn(outside)})
    own, chance = rows[0]["skill"], rows[1]["skill"]
    figure = f"skill {own:.2f}, random words {chance:.2f}, whole text {rows[4]['skill']:.2f}"
    if not own >= LEAST:  # NaN: the test texts are all of one class, or of one rating
        return unfit(f"the run predicts next to nothing (skill {own:.2f})", BAR, figure, rows)
    reason = "the encoder reads the answer from words that nobody chose"
    return judged(chance <= LARGEST * own, figure, BAR, reason, rows)


def as_many(
    masks: Sequence[Sequence[bool]], allowed: Sequence[Sequence[bool]], random: np.random.Generator
) -> list[Mask]:
    """Masks that keep as many words of each text as `masks` do, at random among those allowed (all, if too few)."""
    chosen = []
    for mask, may in zip(masks, allowed, strict=True):
        places = random.permutation(np.flatnonzero(may))[: sum(mask)]
        flags = np.zeros(len(mask), dtype=bool)
        flags[places] = True
        chosen.append(tuple(flags.tolist()))
    return chosen


REGISTERED = StressTest(check, "Predictor on random masks", "Yu et al. 2019 (EMNLP), degeneration")
