"""Options of the stress tests, without the modules that do them: help and mistyped flags come at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from pyro_rationale.options import check_fields, option


@dataclass(frozen=True)
class RefitOptions:
    """Options in which the refits differ from the run; `None`: as in the run."""

    documents: int | None = option(None, "refits: training documents (planted reviews)")
    steps: int | None = option(None, "refits: steps at most")
    warmup: int | None = option(None, "refits: steps of reading whole texts before words are dropped")
    anneal: int | None = option(None, "refits: steps over which the share of words comes down")
    patience: int | None = option(None, "refits: epochs without a better dev cost")
    hidden: int | None = option(None, "refits: hidden size")
    batch_size: int | None = option(None, "refits: documents per step")
    learning_rate: float | None = option(None, "refits: learning rate of Adam")
    threads: int | None = option(None, "CPU threads")

    def given(self) -> dict[str, Any]:
        """Options that differ from those of the run."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def smaller(self) -> bool:
        """Whether refits differ from the run in anything that changes the result."""
        return bool(self.given().keys() - {"threads"})


@dataclass(frozen=True)
class Settings:
    """How the tests are done."""

    skew_epochs: tuple[int, ...] = option(
        (10, 15, 20), "skewed predictor: epochs on first sentences, the mildest first; repeat it", least=1,
        expected="at least 1",
    )
    skew_accuracy: tuple[float, ...] = option(
        (0.6, 0.65, 0.7, 0.75), "skewed generator: accuracy of the first word's leak; repeat it", above=0.5, below=1
    )
    most: int = option(2000, "test documents to look at, at most", least=1, expected="at least 1 document")
    seed: int = option(0, "of random masks, probes and distractors", least=0, expected="0 or more")

    def __post_init__(self) -> None:
        check_fields(self)
