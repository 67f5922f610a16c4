"""The prior and the constraint of a run in plain words, for terminal and report."""

from __future__ import annotations

import math
from collections.abc import Mapping

ENDLESS = "an endless text"  # of which a chain's rate and span are


def prior_words(prior: Mapping[str, float], unit: str = "word", texts: str = "") -> str:
    """The masks of a prior with these figures: `keeps 14 % of the words of training texts in runs of 6.1`.

    Args:
        prior: `share` and `run`, in texts; without them `rate` and `span`, which are those of a long one.
        unit: what is kept or dropped, a word or a sentence.
        texts: those that the figures are of; empty where that is plain.
    """
    share, run = prior.get("share", prior["rate"]), prior.get("run", prior["span"])
    return f"keeps {100 * share:.3g} % of the {unit}s{f' of {texts}' if texts else ''} in runs of {run:.3g}"


def constraint_words(constraint: Mapping[str, float]) -> str:
    """Nats that training charged beside the prior: `1.3 nats more per kept word, 0.2 fewer per change`; '' for none."""
    kinds = {"word": "kept word", "change": "change"}
    parts = [(value, kinds[name]) for name, value in constraint.items() if name in kinds and abs(value) >= 5e-3]
    said = [f"{abs(value):.2g} {'more' if value > 0 else 'fewer'} per {kind}" for value, kind in parts]
    if said:
        number, rest = said[0].split(" ", 1)
        said[0] = f"{number} nats {rest}"
    return ", ".join(said)


def prior_line(
    prior: Mapping[str, float],
    asked: Mapping[str, float],
    constraint: Mapping[str, float],
    unit: str = "word",
) -> str:
    """One line about p(z) of a fitted run, and what training charged beside it.

    Args:
        prior: `rate` and `span` of p(z), or `share` and `run` in training texts, and `alpha` and `gamma` in nats.
        asked: those of the prior that was asked for.
        constraint: nats per kept `word` and per `change`; empty for runs of versions that kept it in the prior.
        unit: what is kept or dropped, a word or a sentence.
    """
    words = prior_words(prior, unit, "training texts" if "share" in prior else "")
    same = all(math.isclose(prior[name], asked[name], rel_tol=1e-6, abs_tol=1e-6) for name in ("alpha", "gamma"))
    if not constraint:
        how = "as asked for" if same else f"where holding {100 * asked['rate']:.3g} % has moved it, constraint included"
        return f"prior: {words} ({how})"
    how = "as asked for" if same else "learned"
    charged = constraint_words(constraint)
    if not charged:
        return f"prior: {words} ({how}); constraint: none"
    return f"prior: {words} ({how}); constraint of training: {charged}"
