"""Options of a prediction, without the modules that make one: help and mistyped flags come at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from pyro_rationale.errors import ConfigError
from pyro_rationale.options import check_fields, option

RULES = ("agreeing", "mode", "threshold", "sample", "share")
PREDICTIONS = ("average", "mode")
INTERVALS = ("mixture", "conformal")
CONTRIBUTIONS = ("shapley", "removal", "none")
BATCH_SAMPLES = 10  # more hardly change a prediction, and take their time


@dataclass(frozen=True)
class DecodeOptions:
    """How one hard mask is made of q(z | x)."""

    decode: str = option("agreeing", "the mask that is shown: the most probable one that predicts what all masks do on "
                         "average (agreeing); the most probable one whatever it predicts (mode; runs that rank texts "
                         "take it for agreeing); all words above a --threshold; a draw (sample); or a fixed --share of "
                         "each text", choices=RULES, common=True)
    threshold: float = option(0.5, "--decode threshold: keep words that are this probable, 0 to 1", least=0, most=1,
                              expected="a probability from 0 to 1")
    seed: int = option(0, "seed of the guide's draws", least=0, most=2**63 - 1,
                       expected="a whole number from 0 to 2^63 - 1")
    share: float = option(0.15, "--decode share: share of a text's words that its mask keeps, as nearly as possible; "
                          "for texts of another subject than the fit's, whose most probable masks keep far more or "
                          "fewer", above=0, below=1)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def for_pairs(self) -> Self:
        """Options for texts that are compared: nothing is predicted of one that its mask could agree with."""
        return replace(self, decode="mode") if self.decode == "agreeing" else self


@dataclass(frozen=True)
class PredictOptions(DecodeOptions):
    """How much of q(z | x) a prediction shows."""

    samples: int = option(100, "the guide's draws per text, for intervals and alternatives", least=1,
                          expected="at least 1 draw")
    alternatives: int = option(3, "rationales to list per text, with the shown one (of other rules than agreeing: with "
                               "the most probable one)", least=0, expected="0 or more")
    level: float = option(0.9, "probability of the interval of a rating (of few levels: the nearest possible), or of "
                          "the set of classes", above=0, below=1,
                          expected="a probability between 0 and 1", common=True)
    predict: str = option("average", "the prediction: averaged over the drawn rationales, or from the shown one alone",
                          choices=PREDICTIONS, common=True)
    interval: str = option("mixture", "what intervals and sets hold: the middle of the predictive distribution, or as "
                           "much as development texts needed (split-conformal)", choices=INTERVALS, common=True)
    contributions: str = "none"  # no flag of commands that explain nothing
    answers: tuple[Any, ...] = ()  # `--for`, which is no name of a field


@dataclass(frozen=True)
class ExplainOptions(PredictOptions):
    """A prediction with what each kept span does to it."""

    contributions: str = option("shapley", "what each kept span does to the prediction: change when it is removed, and "
                                "when it stands alone; with Shapley values of at most 10 spans", choices=CONTRIBUTIONS,
                                common=True)


@dataclass(frozen=True)
class BatchOptions(PredictOptions):
    """Predictions of many texts, of which few things are wanted."""

    samples: int = option(BATCH_SAMPLES, "the guide's draws per text, which predictions are averaged over", least=1,
                          expected="at least 1 draw", common=True)
    alternatives: int = 0
    contributions: str = option("none", "say what each kept span does to the prediction: its Shapley value, or the "
                                "reverse of what its removal does", choices=CONTRIBUTIONS, common=True)


@dataclass(frozen=True)
class Size:
    """How many draws: `samples` per document in all, in `chains` of equal length."""

    samples: int = 500
    chains: int = 4

    def __post_init__(self) -> None:
        if self.chains < 1:
            raise ConfigError(f"--chains: expected at least 1, got {self.chains}")
        if self.samples < 4 * self.chains:
            raise ConfigError(f"--samples: expected at least 4 draws per chain ({4 * self.chains}), got {self.samples}")

    @property
    def draws(self) -> int:
        """Per chain; `samples` is rounded up."""
        return -(-self.samples // self.chains)
