"""Words for the numbers that a guide gives, the same wherever they are shown."""

from __future__ import annotations

from collections.abc import Sequence

from pyro_rationale.errors import listed

# Share of a text's words that a model should know. Fits of 240 English reviews know more of each of 1,864 others, and
# of texts in German, French, Spanish, Italian and Dutch at most 0.62, though GloVe has many of their small words.
LEAST_KNOWN = 2 / 3
UNRELIABLE = "not to be relied on: "
MOST_NAMED = 5  # unknown words in a line
ROUGH = "rough estimate"  # where k-hat is above what can be trusted


def tau_label(tau: float) -> str:
    """The weight of the entropy that a guide was fitted with; below 1 it comes out sharper than the ELBO makes it."""
    return f"tau {tau:g}, which sharpens it" if tau < 1.0 else f"tau {tau:g}"


def in_percent(probability: float) -> str:
    """A probability in percent: `60 %`; `0.4 %` and `99.6 %`, and only what is certain as nothing or all."""
    percent = 100.0 * probability
    if 0.0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100.0:
        return ">99.9 %"
    # Sums of shares exceed 1 by rounding.
    return f"{percent:.0f} %" if 0.95 <= percent < 99.05 or not 0.0 < percent < 100.0 else f"{percent:.1f} %"


def is_doubted(known: int, tokens: Sequence[str]) -> bool:
    """Whether few of a text's tokens are known, as of another language.

    Commas and the like, which languages share, count as no words.
    """
    words = sum(token.isalnum() or not token.isascii() or any(map(str.isalnum, token)) for token in tokens)
    return len(tokens) - known > (1 - LEAST_KNOWN) * words + 1e-9


def doubt_of_words(known: int, tokens: Sequence[str]) -> str:
    """A doubt about the prediction of a text of whose tokens few are known; empty where enough are."""
    if not is_doubted(known, tokens):
        return ""
    fitted_to = "was it fitted to texts of another language, or subject?"
    return f"{UNRELIABLE}the model knows {known} of {len(tokens)} words; {fitted_to}"


def doubt_of_query(unknown: Sequence[str], tokens: Sequence[str]) -> str:
    """A line that names words which a model reads all alike; a warning where they are many, empty where there are none.

    Args:
        unknown: the words, each once.
        tokens: all words of the text.
    """
    if not unknown:
        return ""
    known = sum(token not in unknown for token in tokens)
    doubt = UNRELIABLE if is_doubted(known, tokens) else ""
    return f"{doubt}words that the model does not know, and reads all alike: {listed(unknown, MOST_NAMED)}"


def inclusion_label(tau: float) -> str:
    """The name of the probability that a word is kept, which says whose it is and that it is not calibrated."""
    return f"inclusion probability under the guide (tau {tau:g}{', sharpened' if tau < 1.0 else ''}, not calibrated)"
