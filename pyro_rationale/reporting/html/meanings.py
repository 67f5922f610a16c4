"""Meanings of the report's figures, and what to do where one looks wrong."""

from __future__ import annotations

import re

# By the beginning of a figure's id.
MEANINGS = {
    "loss": "What the fit minimises, per document. It should fall and become flat: where it still falls at the "
    "end, raise --steps; where it jumps, lower --learning-rate. The warm-up (grey) first teaches the "
    "encoder to read.",
    "rate": "The share should follow the target down to --rate and stay there. Far below it, rationales have "
    "collapsed: raise --anneal or --steps. Above it, the texts need more words: raise --rate, or lower "
    "--nats.",
    "error": "Predictions from the rationales alone, on texts that were not trained on. A minimum followed by a "
    "rise is overfitting: the best epoch was kept; more texts, --dropout or fewer --steps help.",
    "elbo": "A lower bound on the evidence of the ratings; higher is better. It compares fits to the same texts "
    "and ratings, and nothing else. It may fall while the error falls: --nats weighs errors more heavily "
    "than the ELBO does.",
    "kept": "Where the guide keeps much more or less than the prior, the texts disagree with --rate: set it to "
    "the mean of the guide, or fit with --prior learned.",
    "span": "Runs of one word where phrases were expected: raise --span. Runs of whole sentences: lower it.",
    "khat": "Importance weights turn draws of the guide into draws of the posterior p(z | x, y) where k-hat is at "
    "most 0.7. With many documents above that, leave the group posterior of posterior.nc alone; "
    "predictions do not rest on it. For a guide nearer to the posterior: --condition-on-target, --tau 1, "
    "fewer --nats.",
    "predictive": "Ratings drawn from the model should be distributed like the observed ones. Bars outside the band: "
    "the model does not know this shape, such as two humps; try --task ordinal for ratings of few levels.",
    "frequencies": "Classes drawn from the model should be as frequent as the observed ones. Outside the band: "
    "rare classes are hardly ever predicted; fit with --class-weight balanced.",
    "scatter": "Points on the line are right. A cloud flatter than the line: predictions stay near the mean, as they "
    "should where texts say little; train longer or keep more words if the texts say more.",
    "pit": "Flat where the predictive distributions are right; high at both ends where they are too narrow, high "
    "in the middle where they are too wide.",
    "coverage": "On the line, intervals hold as many true ratings as they say. Below it they are too narrow: take "
    "--interval conformal.",
    "classes": "Below the line, the model is surer of its class than it should be.",
    "reliability": "Below the line, more words are kept with this probability than annotators marked: the "
    "probabilities order words, and are not probabilities of being gold. Fits with --tau 1 come nearer to the line.",
}


def meaning_of(id: str) -> list[tuple[str, bool]]:
    """The meaning of the figure with this id, in pieces, and whether each is a flag; none if it speaks for itself."""
    text = MEANINGS.get(id.removeprefix("chart-").partition("-")[0], "")
    pieces = re.split(r"(--[\w-]+\w)", text)
    return [(piece, piece.startswith("--")) for piece in pieces if piece]
