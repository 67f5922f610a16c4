"""Questions that the paper leaves open, each with the variants that answer it: a few flags of the fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Flags = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """One way of doing it.

    Attributes:
        name: what the tables call it.
        flags: fields of the configuration that differ from the corpus's base.
        attention: `soft` or `hard` for the two attention models, which are no latent-variable models; "" otherwise.
        rules: score it under every test-time rule as well.
    """

    name: str
    flags: Flags = field(default_factory=dict)
    attention: str = ""
    rules: bool = False


@dataclass(frozen=True)
class Question:
    """A question and the variants that answer it.

    Attributes:
        title: the question.
        variants: what is compared.
        columns: measures shown beside those that every table has.
    """

    title: str
    variants: tuple[Variant, ...]
    columns: tuple[str, ...] = ()


# Small enough for five seeds of every variant on two cores, large enough for masks that have settled. Real sentences
# are short and their ratings noisy: more words, weaker coupling, dropout, given vectors (docs/research/results.md).
BASES: dict[str, Flags] = {
    "synthetic": {
        **{"documents": 3000, "hidden": 32, "batch_size": 32, "learning_rate": 5e-3},
        **{"steps": 900, "anneal": 350},
    },
    "vader-movies": {
        **{"vectors": "glove", "rate": 0.32, "span": 1.5, "dropout": 0.1},
        **{"steps": 700, "anneal": 250},
    },
}
LEXICON_CORPORA = ("vader-movies", "vader-amazon")


def _independent(name: str, **flags: Any) -> Variant:
    return Variant(name, {"guide": "independent", **flags})


RELAXED = Variant("relaxed, exact KL", {"guide": "relaxed"}, rules=True)
MUPROP = Variant("independent, muprop, K = 4", {"guide": "independent", "estimator": "muprop"}, rules=True)
CHAIN = Variant("chain, muprop, K = 4", {"guide": "chain", "estimator": "muprop"}, rules=True)
SUMMED = _independent("independent, sum-and-sample, K = 8", estimator="sum-and-sample", samples=8)
CHAIN_SUMMED = Variant("chain, sum-and-sample, K = 8", {"guide": "chain", "estimator": "sum-and-sample", "samples": 8})
RLOO = _independent("independent, RLOO, exact KL, K = 4", estimator="rloo")
RLOO_SAMPLED = _independent("independent, RLOO, sampled, K = 4", estimator="rloo", penalties="sampled")
PAPER = _independent("the paper: REINFORCE, sampled, K = 1", estimator="reinforce", samples=1, penalties="sampled")

QUESTIONS: dict[int, Question] = {
    1: Question(
        "How many samples estimate the expectation?",
        (
            _independent("independent, muprop, K = 2", estimator="muprop", samples=2),
            MUPROP,
            _independent("independent, muprop, K = 8", estimator="muprop", samples=8),
            _independent("independent, sum-and-sample, K = 4", estimator="sum-and-sample", samples=4),
            SUMMED,
            RELAXED,
            Variant("relaxed, K = 4", {"guide": "relaxed", "samples": 4}),
            PAPER,
        ),
        ("cpu_seconds",),
    ),
    2: Question("Which mask at test time: agreeing, mode, threshold, sample, average?", (RELAXED, MUPROP, CHAIN)),
    3: Question(
        "Penalties as constants, sampled, or exact in the gradient?",
        (
            RLOO,
            RLOO_SAMPLED,
            _independent("independent, RLOO, constant, K = 4", estimator="rloo", penalties="constant"),
            PAPER,
        ),
    ),
    4: Question(
        "Which norm of the mask: L0, L1, L2?",
        (
            RELAXED,
            Variant("relaxed, L1 of the relaxed mask", {"guide": "relaxed", "norm": "l1"}),
            Variant("relaxed, L2 of the relaxed mask", {"guide": "relaxed", "norm": "l2"}),
            RLOO,
            _independent("independent, RLOO, L2, K = 4", estimator="rloo", norm="l2"),
        ),
        ("rate_sd",),
    ),
    5: Question(
        "Last hidden state against mean and attention pooling: where do rationales fall?",
        (
            Variant("relaxed, last state (the paper's)", {"guide": "relaxed", "pooling": "last"}),
            Variant("relaxed, attention pooling", {"guide": "relaxed", "pooling": "attention"}),
            RELAXED,
        ),
        ("position_mean", "position_last_fifth", "position_distance"),
    ),
    6: Question(
        "Against soft attention and hard stochastic attention, with the same networks?",
        (RELAXED, Variant("soft attention", attention="soft"), Variant("hard stochastic attention", attention="hard")),
        ("error_reading_all",),
    ),
    7: Question(
        "As a variational auto-encoder: reparametrised, score function, exact KL?",
        (
            RELAXED,
            Variant("relaxed, straight-through", {"guide": "relaxed", "estimator": "straight-through"}),
            MUPROP,
            SUMMED,
            CHAIN,
            CHAIN_SUMMED,
            RLOO,
            RLOO_SAMPLED,
            _independent("independent, TraceGraph_ELBO", estimator="tracegraph", samples=4),
        ),
        ("cpu_seconds",),
    ),
}
