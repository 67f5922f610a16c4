"""Options of evaluations, without the modules that make them: help and mistyped flags come at once."""

from __future__ import annotations

from dataclasses import dataclass

from pyro_rationale.options import check_fields, option

MASK_RULES = ("threshold", "top-k", "prior")
MOSTLY = 0.5  # of the words kept for one target: if more of them are kept for another too, that is said aloud
SAMPLES = 50  # masks drawn per document where averages and predictive distributions are measured
RATES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class ComparisonOptions:
    """How runs are compared."""

    draws: int = option(16, "masks per document that expectations of the encoder are averaged over", least=1,
                        expected="at least 1 mask per document")
    iwae: int = option(32, "K of the IWAE bound, masks per document", least=1,
                       expected="at least 1 mask per document")
    dtype: str = option("float64", "precision of all but the test-time rules", choices=("float64", "float32"))

    def __post_init__(self) -> None:
        check_fields(self)


# What baselines are called wherever people read of them, by their names in `metrics.json`.
BASELINE_TITLES = {
    "constant": "a constant",
    "tfidf": "tf-idf on all words",
    "full-text": "same encoder on all words (1/2 steps)",
    "random": "random order",
    "bm25": "BM25 on all words",
}
