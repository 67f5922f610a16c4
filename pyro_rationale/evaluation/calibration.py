"""Calibration of probabilities, word marginals above all: reliability curves, their summaries, and their intervals.

Of the words that q keeps with probability 0.8, eight in ten should be gold. What is gold is the caller's choice:
annotated clauses, or the words that carry the rating. Nearly all words of a text have a marginal near 0, correctly, so
any average over all words is small whatever happens to the rest; look at the ambiguous words as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.distributions.bisection import bisect

Numbers = NDArray[np.float64]
AMBIGUOUS = 0.05  # a word with a marginal above this, or one that is gold, is ambiguous
CLOSEST = 1e-6  # marginals this close to 0 and 1 have finite logits


@dataclass(frozen=True)
class Forecasts:
    """Probabilities of events, and whether these came true: of words that they are gold, or of labels.

    Attributes:
        probability: of each event, `(N,)`: that the word is kept, or of the likeliest class.
        true: whether the word is gold, or the label of that class, bool `(N,)`.
        document: which document the event is of, `(N,)`.
    """

    probability: Numbers
    true: NDArray[np.bool_]
    document: NDArray[np.int64]

    def __post_init__(self) -> None:
        shapes = {self.probability.shape, self.true.shape, self.document.shape}
        if len(shapes) != 1 or self.probability.ndim != 1:
            raise ValueError(f"expected three arrays of one shape (N,), got {sorted(shapes)}")
        if not ((self.probability >= 0) & (self.probability <= 1)).all():  # NaN fails as well
            raise ValueError("expected probabilities from 0 to 1")

    def __len__(self) -> int:
        return len(self.probability)

    def ambiguous(self) -> Forecasts:
        """Words with a marginal above `AMBIGUOUS`, and gold words.

        Selecting on the outcome makes this no estimate of calibration in general, since all low marginals that are
        right are left out. It shows the mistakes that averages over all words hide.
        """
        chosen = (self.probability > AMBIGUOUS) | self.true
        return Forecasts(self.probability[chosen], self.true[chosen], self.document[chosen])

    def rescaled(self, temperature: float) -> Forecasts:
        """These words with every logit divided by a temperature."""
        return Forecasts(rescale(self.probability, temperature), self.true, self.document)


@dataclass(frozen=True)
class Curve:
    """A reliability curve; bins without words are left out.

    Attributes:
        low: lower ends of the `K` bins.
        high: upper ends.
        count: words in each.
        confidence: mean marginal of these words.
        accuracy: share of gold words among them.
    """

    low: Numbers
    high: Numbers
    count: NDArray[np.int64]
    confidence: Numbers
    accuracy: Numbers

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al. 2015): mean distance of confidence and accuracy over words."""
        return float((self.count * np.abs(self.confidence - self.accuracy)).sum() / self.count.sum())

    @property
    def chance_ece(self) -> float:
        """The ECE that perfect probabilities would have on average, with as many words in each bin."""
        return float(chance_misses(self.count * self.confidence * (1.0 - self.confidence)) / self.count.sum())

    @property
    def mce(self) -> float:
        """Largest distance of confidence and accuracy in any bin, however few its words."""
        return float(np.abs(self.confidence - self.accuracy).max())

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists, for JSON."""
        return {name: values.tolist() for name, values in vars(self).items()}

    @classmethod
    def from_dict(cls, lists: dict[str, list[float]]) -> Curve:
        """The curve of such lists."""
        return cls(**{name: np.array(values) for name, values in lists.items()})


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


def bins_of(probability: Numbers, edges: Numbers) -> NDArray[np.int64]:
    """The bin of each probability `(N,)`, from edges `(bins + 1,)`: the lower one is in a bin, and 1 in the last."""
    return np.searchsorted(edges[1:-1], probability, side="right").astype(np.int64)


def reliability(words: Forecasts, edges: Numbers) -> Curve:
    """Mean marginal and share of gold words of each bin that holds a word; `edges` are `(bins + 1,)`.

    Raises:
        ValueError: there are no words.
    """
    if not len(words):
        raise ValueError("expected at least one word")
    index, bins = bins_of(words.probability, edges), len(edges) - 1
    count = np.bincount(index, minlength=bins)
    full = count > 0
    sums = (np.bincount(index, values, minlength=bins)[full] for values in (words.probability, words.true))
    confidence, accuracy = (total / count[full] for total in sums)
    return Curve(edges[:-1][full], edges[1:][full], count[full], confidence, accuracy)


def chance_misses(variance: Numbers) -> Numbers:
    """How far the events of bins `(*, K)` are from what perfect probabilities expect, on average, summed over bins.

    A bin of few events is off by chance, and an ECE adds up the sizes of such misses, so it is never near 0: of 1,000
    labels, 87 % of them right, it is about 0.02. An ECE near what chance gives is no sign of miscalibration.

    Args:
        variance: of the number of events in each bin, V, the sum of p (1 - p). If they are many, their mean distance
            from what is expected is sqrt(2 V / pi) (Normal); of a single one it is 2 V, and never more.
    """
    misses: Numbers = np.minimum(np.sqrt(2.0 * variance / np.pi), 2.0 * variance).sum(-1)
    return misses


def brier(words: Forecasts, edges: Numbers) -> dict[str, float]:
    """Brier score of the marginals, its decomposition, and its skill.

    `skill` is 1 - `brier` / `uncertainty`: 0 if every word has the share of gold words as its marginal, below 0 if the
    marginals are worse than that; NaN where all words are gold, or none.
    `brier` = `reliability` - `resolution` + `uncertainty` + `within` (Murphy 1973; the last term, what bins wider than
    a point leave over, by Stephenson, Coelho and Jolliffe 2008): an identity, not an approximation.
    """
    curve = reliability(words, edges)
    share = curve.count / curve.count.sum()
    base = float(words.true.mean())
    position = np.unique(bins_of(words.probability, edges), return_inverse=True)[1]  # in the curve, without empty bins
    apart, off = words.probability - curve.confidence[position], words.true - curve.accuracy[position]
    score = float(np.mean((words.probability - words.true) ** 2))
    return {
        "brier": score,
        "skill": 1.0 - score / (base * (1.0 - base)) if 0.0 < base < 1.0 else float("nan"),
        "reliability": float((share * (curve.confidence - curve.accuracy) ** 2).sum()),
        "resolution": float((share * (curve.accuracy - base) ** 2).sum()),
        "uncertainty": base * (1.0 - base),
        "within": float(np.mean(apart**2 - 2.0 * apart * off)),
    }


def ece_interval(words: Forecasts, edges: Numbers, replicates: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of the ECE over documents (words of one text are not independent), with fixed bins.

    Resampling adds noise of its own to every bin and ECE counts noise as error, so the interval lies rather high.
    """
    documents, row = np.unique(words.document, return_inverse=True)
    bins = len(edges) - 1
    cell = row * bins + bins_of(words.probability, edges)
    excess = np.bincount(cell, words.probability - words.true, minlength=len(documents) * bins)
    excess = excess.reshape(len(documents), bins)
    sizes = np.bincount(row, minlength=len(documents))
    draws = np.random.default_rng(0).multinomial(
        len(documents), np.full(len(documents), 1.0 / len(documents)), size=replicates
    )
    errors = np.abs(draws @ excess).sum(1) / (draws @ sizes)
    low, high = np.quantile(errors, [0.025, 0.975])
    return float(low), float(high)


def rescale(probability: Numbers, temperature: float) -> Numbers:
    """Probabilities with every logit divided by a temperature (Guo et al. 2017)."""
    bounded = np.clip(probability, CLOSEST, 1.0 - CLOSEST)
    return 1.0 / (1.0 + np.exp(-np.log(bounded / (1.0 - bounded)) / temperature))


def fit_temperature(words: Forecasts, most: float = 100.0) -> float:
    """The temperature of least log loss, between 1 / `most` and `most`.

    The log loss is convex in 1 / T, so the zero of its derivative is found by halving.
    """
    bounded = np.clip(words.probability, CLOSEST, 1.0 - CLOSEST)
    logit = np.log(bounded / (1.0 - bounded))

    def falls(log_inverse: float) -> bool:
        """Whether the log loss still falls with 1 / T here."""
        return float(((rescale(words.probability, float(np.exp(-log_inverse))) - words.true) * logit).sum()) < 0

    low, high = bisect(falls, -np.log(most), np.log(most))
    return float(np.exp(-0.5 * (low + high)))


def calibration_metrics(words: Forecasts, bins: int = 15) -> dict[str, Any]:
    """All calibration metrics, over all words and over the ambiguous ones.

    Returns:
        `all` and `ambiguous`, each with `words`, `share` of all words, `gold` share, mean `marginal`, `ece` with
        `ece_low` and `ece_high` (95 %, over documents), `ece_mass` (bins of equal mass), `mce`, the Brier score and
        its parts, and the `curve`. `ambiguous` is `None` where there are no such words.
    """
    metrics: dict[str, Any] = {}
    for name, part in (("all", words), ("ambiguous", words.ambiguous())):
        if not len(part):
            metrics[name] = None
            continue
        edges = bin_edges(part.probability, bins)
        curve = reliability(part, edges)
        low, high = ece_interval(part, edges)
        metrics[name] = {
            "words": len(part),
            "share": len(part) / len(words),
            "gold": float(part.true.mean()),
            "marginal": float(part.probability.mean()),
            "ece": curve.ece,
            "ece_low": low,
            "ece_high": high,
            "ece_mass": reliability(part, bin_edges(part.probability, bins, "mass")).ece,
            "mce": curve.mce,
            **brier(part, edges),
            "curve": curve.to_dict(),
        }
    return metrics
