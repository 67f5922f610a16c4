"""Meanings of the report's figures, and what to do where one looks wrong."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from pyro_rationale.reporting.advice import nearer_posterior
from pyro_rationale.reporting.html.context import Chart

# By the beginning of a figure's id.
MEANINGS = {
    "loss": "What the fit minimises, per document. It should fall and become flat: where it still falls at the "
    "end, raise --steps; where it jumps, lower --learning-rate.",
    "rate": "The share should follow the target down to --rate and stay there. Far below it, rationales have "
    "collapsed: raise --anneal or --steps. Above it, the texts need more words: raise --rate, or lower "
    "--nats.",
    "error": "Predictions from the rationales alone, on texts that were not trained on. A minimum followed by a "
    "rise is overfitting: the best epoch was kept; more texts, --dropout or fewer --steps help.",
    "elbo": "A lower bound on the evidence of the ratings; higher is better. It compares fits to the same texts "
    "and ratings, and nothing else. It may fall while the error falls: --nats weighs errors more heavily "
    "than the ELBO does.",
    "kept": "Where the guide keeps much more or less than the prior, the texts disagree with --rate: set it to "
    "the mean of the guide.",
    "span": "Runs of one word where phrases were expected: raise --span. Runs of whole sentences: lower it.",
    "khat": "Importance weights turn draws of the guide into draws of the posterior p(z | x, y) where k-hat is at "
    "most 0.7. With many documents above that, leave the group posterior of posterior.nc alone; "
    "predictions do not rest on it.",
    "predictive": "Ratings drawn from the model should be distributed like the observed ones. Bars outside the band: "
    "the model does not know this shape, such as two humps.",
    "frequencies": "Classes drawn from the model should be as frequent as the observed ones. Outside the band: "
    "rare classes are hardly ever predicted.",
    "scatter": "Points on the line are right. A cloud flatter than the line: predictions stay near the mean, as they "
    "should where texts say little; train longer or keep more words if the texts say more.",
    "pit": "Flat where the predictive distributions are right; high at both ends where they are too narrow, high "
    "in the middle where they are too wide.",
    "coverage": "On the line, intervals hold as many true ratings as they say. Below it they are too narrow: take "
    "--interval conformal.",
    "classes": "Below the line, the model is surer of its class than it should be.",
    "reliability": "Below the line, more words are kept with this probability than annotators marked: the "
    "probabilities order words, and are not probabilities of being marked.",
}
# What one can do beyond that, unless the run was fitted so.
ADVICE = {
    "kept": ("--prior learned", "A fit with --prior learned does so by itself."),
    "predictive": ("--task ordinal", "For ratings of few levels try --task ordinal."),
    "frequencies": ("--class-weight balanced", "Fit with --class-weight balanced."),
    "reliability": ("--tau 1", "Fits with --tau 1 come nearer to the line."),
}


def explained(charts: Iterable[Chart], done: Collection[str] = ()) -> Iterator[Chart]:
    """The charts with their meanings.

    Args:
        charts: any.
        done: advice that the run follows already, from :func:`pyro_rationale.reporting.advice.followed`.
    """
    for chart in charts:
        yield replace(chart, meaning=meaning_of(chart.id, done))


def meaning_of(id: str, done: Collection[str] = ()) -> str:
    """The meaning of the figure with this id, and what to do; nothing if it speaks for itself.

    Args:
        id: of the figure.
        done: advice that the run follows already.
    """
    name = id.removeprefix("chart-").partition("-")[0]
    said = [MEANINGS.get(name, "")]
    advice, sentence = ADVICE.get(name, ("", ""))
    if sentence and advice not in done:
        said.append(sentence)
    if name == "khat":
        said.append(f"For a guide nearer to the posterior: {nearer_posterior(done)}.")
    return " ".join(said)


def flagged(meaning: str) -> list[tuple[str, bool]]:
    """A meaning in pieces, and whether each is a flag; a flag has the punctuation behind it, which must not stray."""
    pieces = re.split(r"(--[\w-]+\w[.,:;]?)", meaning)
    return [(piece, piece.startswith("--")) for piece in pieces if piece]
