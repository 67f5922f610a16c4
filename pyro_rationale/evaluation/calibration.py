"""Are word marginals probabilities? Reliability curves, their summaries, and how sure these are.

Of the words that q keeps with probability .8, eight in ten should be words that ought to be kept. What "ought" means is
the caller's: annotated clauses, or the words that carry the rating. Nearly all words of a text have a marginal near 0
and are right to, so that any average over all words is small, whatever happens to the rest; look at `contested` as
well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
CONTESTED = 0.05  # a word with a marginal above this, or one that is gold, is worth asking about
CLOSEST = 1e-6  # marginals this close to 0 and 1 have finite logits


@dataclass(frozen=True)
class Words:
    """Words of many documents, one after the other.

    Attributes:
        probability: of being kept, `(N,)`.
        gold: whether it ought to be, bool `(N,)`.
        document: which document it is from, `(N,)`.
    """

    probability: Numbers
    gold: NDArray[np.bool_]
    document: NDArray[np.int64]

    def __post_init__(self) -> None:
        shapes = {self.probability.shape, self.gold.shape, self.document.shape}
        if len(shapes) != 1 or self.probability.ndim != 1:
            raise ValueError(f"expected three arrays of one shape (N,), got {sorted(shapes)}")
        if not ((self.probability >= 0) & (self.probability <= 1)).all():  # NaN fails as well
            raise ValueError("expected probabilities from 0 to 1")

    def __len__(self) -> int:
        return len(self.probability)

    def contested(self, above: float = CONTESTED) -> Words:
        """Words with a marginal above a threshold, and gold words: the rest are noes that everybody agrees on.

        Selecting on the outcome makes this no estimate of calibration in general: it leaves out all low marginals
        that are right. It is where mistakes cannot hide.
        """
        chosen = (self.probability > above) | self.gold
        return Words(self.probability[chosen], self.gold[chosen], self.document[chosen])

    def rescaled(self, temperature: float) -> Words:
        """The same words with every logit divided by a temperature."""
        return Words(rescale(self.probability, temperature), self.gold, self.document)


@dataclass(frozen=True)
class Curve:
    """A reliability curve; bins without words are left out.

    Attributes:
        low: lower ends of the `K` bins.
        high: upper ends.
        count: words in each.
        said: their mean marginal.
        seen: their share of gold words.
    """

    low: Numbers
    high: Numbers
    count: NDArray[np.int64]
    said: Numbers
    seen: Numbers

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean distance of said and seen, weighted by words (Naeini et al. 2015)."""
        return float((self.count * np.abs(self.said - self.seen)).sum() / self.count.sum())

    @property
    def mce(self) -> float:
        """Largest distance of said and seen in any bin, however few its words."""
        return float(np.abs(self.said - self.seen).max())

    def to_dict(self) -> dict[str, list[float]]:
        """For JSON."""
        return {name: getattr(self, name).tolist() for name in ("low", "high", "count", "said", "seen")}


def bin_edges(probability: Numbers, bins: int = 15, equal: str = "width") -> Numbers:
    """`bins + 1` edges from 0 to 1; fewer where equal masses coincide (many words of one marginal).

    Args:
        probability: `(N,)`.
        bins: at most so many.
        equal: `width`, or `mass` for as many words in each as ties allow.

    Raises:
        ValueError: no bins, an unknown kind.
    """
    if bins < 1 or equal not in ("width", "mass"):
        raise ValueError(f"expected 1 or more bins of equal width or mass, got {bins} of equal {equal}")
    if equal == "width":
        return np.linspace(0.0, 1.0, bins + 1)
    inner = np.quantile(probability, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


def _place(probability: Numbers, edges: Numbers) -> NDArray[np.int64]:
    """The bin of each word: the lower end belongs to it, and 1 to the last."""
    return np.searchsorted(edges[1:-1], probability, side="right").astype(np.int64)


def reliability(words: Words, edges: Numbers) -> Curve:
    """Said against seen, bin by bin.

    Raises:
        ValueError: there are no words.
    """
    if not len(words):
        raise ValueError("expected at least one word")
    place, bins = _place(words.probability, edges), len(edges) - 1
    count = np.bincount(place, minlength=bins)
    full = count > 0
    said, seen = (np.bincount(place, v, minlength=bins)[full] / count[full] for v in (words.probability, words.gold))
    return Curve(edges[:-1][full], edges[1:][full], count[full], said, seen)


def brier(words: Words, edges: Numbers) -> dict[str, float]:
    """Mean squared error of the marginals, what it is made of, and what it is worth.

    `skill` is 1 - `brier` / `uncertainty`: 0 for who gives every word the share of gold words, below for who does
    worse than that; NaN where all words are gold, or none.
    `brier` = `reliability` - `resolution` + `uncertainty` + `within` (Murphy 1973; the last term, what bins wider than
    a point leave over, by Stephenson, Coelho and Jolliffe 2008): an identity, not an approximation.
    """
    curve = reliability(words, edges)
    share = curve.count / curve.count.sum()
    base = float(words.gold.mean())
    middle = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    used = np.unique(_place(words.probability, edges))
    middle[0][used], middle[1][used] = curve.said, curve.seen
    place = _place(words.probability, edges)
    apart, off = words.probability - middle[0][place], words.gold - middle[1][place]
    score = float(np.mean((words.probability - words.gold) ** 2))
    return {
        "brier": score,
        "skill": 1.0 - score / (base * (1.0 - base)) if 0.0 < base < 1.0 else float("nan"),
        "reliability": float((share * (curve.said - curve.seen) ** 2).sum()),
        "resolution": float((share * (curve.seen - base) ** 2).sum()),
        "uncertainty": base * (1.0 - base),
        "within": float(np.mean(apart**2 - 2.0 * apart * off)),
    }


def ece_interval(
    words: Words, edges: Numbers, level: float = 0.95, replicates: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of the ECE over documents, for words of one text are not independent; the bins stay.

    Resampling adds noise of its own to every bin and ECE counts noise as error, so the interval lies rather high.
    """
    documents, row = np.unique(words.document, return_inverse=True)
    bins = len(edges) - 1
    cell = row * bins + _place(words.probability, edges)
    excess = np.bincount(cell, words.probability - words.gold, minlength=len(documents) * bins)
    excess = excess.reshape(len(documents), bins)
    sizes = np.bincount(row, minlength=len(documents))
    draws = np.random.default_rng(seed).multinomial(
        len(documents), np.full(len(documents), 1.0 / len(documents)), size=replicates
    )
    found = np.abs(draws @ excess).sum(1) / (draws @ sizes)
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def rescale(probability: Numbers, temperature: float) -> Numbers:
    """Every logit divided by a temperature (Guo et al. 2017)."""
    bounded = np.clip(probability, CLOSEST, 1.0 - CLOSEST)
    return 1.0 / (1.0 + np.exp(-np.log(bounded / (1.0 - bounded)) / temperature))


def fit_temperature(words: Words, most: float = 100.0) -> float:
    """The temperature of least log loss, between 1 / `most` and `most`.

    The log loss is convex in 1 / T, so the zero of its derivative is found by halving.
    """
    bounded = np.clip(words.probability, CLOSEST, 1.0 - CLOSEST)
    logit = np.log(bounded / (1.0 - bounded))
    low, high = -np.log(most), np.log(most)
    for _ in range(60):
        middle = 0.5 * (low + high)
        slope = float(((rescale(words.probability, float(np.exp(-middle))) - words.gold) * logit).sum())
        low, high = (middle, high) if slope < 0 else (low, middle)
    return float(np.exp(-0.5 * (low + high)))


def calibration_metrics(words: Words, bins: int = 15, seed: int = 0) -> dict[str, Any]:
    """Everything at once, over all words and over the contested ones.

    Returns:
        `all` and `contested`, each with `words`, `share` of all words, `gold` share, mean `marginal`, `ece` with
        `ece_low` and `ece_high` (95 %, over documents), `ece_mass` (bins of equal mass), `mce`, the Brier score and
        its parts, and the `curve`. `contested` is `None` where there are no such words.
    """
    found: dict[str, Any] = {}
    for name, part in (("all", words), ("contested", words.contested())):
        if not len(part):
            found[name] = None
            continue
        edges = bin_edges(part.probability, bins)
        curve = reliability(part, edges)
        low, high = ece_interval(part, edges, seed=seed)
        found[name] = {
            "words": len(part),
            "share": len(part) / len(words),
            "gold": float(part.gold.mean()),
            "marginal": float(part.probability.mean()),
            "ece": curve.ece,
            "ece_low": low,
            "ece_high": high,
            "ece_mass": reliability(part, bin_edges(part.probability, bins, "mass")).ece,
            "mce": curve.mce,
            **brier(part, edges),
            "curve": curve.to_dict(),
        }
    return found
