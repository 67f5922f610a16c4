"""Records of steps and epochs, and the signs of a collapse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_rationale.errors import ConfigError, RunError, reason_of
from pyro_rationale.options import decode
from pyro_rationale.storage import check_listed, parse_json

MEMORIZED = "memorised the training set"  # how the event of an epoch begins after which a fit starts again


@dataclass(frozen=True)
class StepRecord:
    """One training step.

    Attributes:
        loss: per document, divided by the nats of `--nats`.
        rate: share of words kept.
        entropy: of the guide, in nats per word, or per sentence where masks are over them.
        documents: in the batch.
        changes: of the mask, per word.
        warmup: 1 for a step of the warm-up, in which the guide has no part and whose rate counts as 1; 0 for others.
        rates: share of words kept for each target, where targets have masks of their own; NaN if none was rated.
        moves: changes of the mask per word, likewise.
    """

    loss: float
    rate: float
    entropy: float
    documents: int
    changes: float = math.nan
    warmup: float = 0.0
    rates: tuple[float, ...] = ()
    moves: tuple[float, ...] = ()

    @property
    def flatness(self) -> float:
        """Entropy relative to that of independent words with the same rate; see :func:`flatness`."""
        return flatness(self.entropy, self.rate)


def flatness(entropy: float, rate: float) -> float:
    """Entropy relative to that of a Bernoulli variable with probability `rate`; 0 where the latter has none."""
    if not 0.0 < rate < 1.0:
        return 0.0
    coin = -rate * math.log(rate) - (1.0 - rate) * math.log1p(-rate)
    return entropy / coin if coin > 0 else 0.0


@dataclass
class StepTotals:
    """Sums over an epoch's steps, weighted by documents."""

    loss: float = 0.0
    rate: float = 0.0
    entropy: float = 0.0
    documents: int = 0
    warmup: float = 0.0

    def add(self, record: StepRecord) -> None:
        """Count one step."""
        self.loss += record.loss * record.documents
        self.rate += record.rate * record.documents
        self.entropy += record.entropy * record.documents
        self.warmup += record.warmup * record.documents
        self.documents += record.documents

    def mean(self) -> StepRecord:
        """The averages so far."""
        n = max(1, self.documents)
        return StepRecord(self.loss / n, self.rate / n, self.entropy / n, self.documents, warmup=self.warmup / n)


@dataclass
class EpochRecord:
    """One line of `epochs.jsonl`.

    Attributes:
        epoch: from 1.
        step: steps so far.
        loss: minus objective (2) of docs/explanation/mathematics.md per document over --nats.
        rate: share of words kept in training, in expectation; 1 in steps of the warm-up, see `kept`.
        target: the target rate at the end of the epoch.
        field: nats that training charges per kept word at the end of the epoch, prior and constraint together.
        flatness: entropy per word over that of a coin with the same rate; 1: all words alike, 0: deterministic.
        dev_error: squared error of the scaled ratings, or cross entropy, on mode masks.
        dev_rate: share of words in the mode masks.
        dev_empty: share of documents whose mode mask is empty.
        dev_cost: cost by which the best epoch is chosen; lower is better.
        dev_elbo: ELBO (kappa = tau = 1) in nats per document, from one drawn mask each, under p(z) as it was then,
            learned or asked for, and the sigma that fits the errors of these masks; NaN in runs older than this field.
        dev_expected: E_q of the paper's cost in its units, from the same masks, under the prior asked for.
        event: `best`, a rollback or a restart; empty if nothing happened.
        warmup: share of the epoch's texts that were read in steps of the warm-up, without the guide.
    """

    epoch: int
    step: int
    loss: float
    rate: float
    target: float
    field: float
    flatness: float
    dev_error: float = math.nan
    dev_rate: float = math.nan
    dev_empty: float = math.nan
    dev_cost: float = math.nan
    dev_elbo: float = math.nan
    dev_expected: float = math.nan
    event: str = ""
    warmup: float = 0.0

    @property
    def untrained(self) -> bool:
        """Whether the guide has not taken a step in this epoch: then no figure tells anything about its masks."""
        return self.warmup >= 1.0

    @property
    def kept(self) -> float:
        """Share of words kept in the steps after the warm-up, in expectation; NaN if the epoch has none."""
        return math.nan if self.untrained else (self.rate - self.warmup) / (1.0 - self.warmup)


def epoch_record(values: Mapping[str, Any]) -> EpochRecord:
    """An epoch from JSON values; figures that are not finite stand there as null.

    Raises:
        ConfigError: a figure of another type, or none of this version.
        TypeError: one is missing.
        AttributeError: no mapping.
    """
    return decode(EpochRecord, {name: math.nan if value is None else value for name, value in values.items()})


def read_history(path: Path) -> list[EpochRecord]:
    """The epochs of a run, from its `epochs.jsonl`; figures that an older version did not record are NaN.

    Returns:
        The epochs in their order; none where there is no such file.

    Raises:
        RunError: the file is damaged or of a later version.
    """
    if not path.is_file():
        return []
    try:
        check_listed(path)
        return [epoch_record(parse_json(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError, AttributeError, ConfigError) as problem:
        reason = reason_of(problem)
        raise RunError(f"{path}: not a history of this version ({reason}); fit again") from None


def collapse(record: EpochRecord, rate: float, annealed: bool, start: float = 1.0) -> str:
    """Name the way in which a guide has collapsed, or ''.

    Args:
        record: an epoch with its dev figures.
        rate: the final target.
        annealed: whether the target has reached it.
        start: share of words that the untrained guide keeps. Mode masks of one that begins below a half are empty
            until it tells words apart; it has not collapsed while it keeps enough words in expectation.
    """
    undecided = start < 0.5 and not annealed and record.rate >= rate
    if record.rate < 0.1 * rate or (record.dev_empty > 0.9 and not undecided):
        return "empty masks"
    if not annealed:
        return ""
    if record.rate > 3.0 * rate and record.rate > 0.5 * (1.0 + rate):
        return "full masks"
    if record.flatness > 0.95:
        return "flat masks"
    return ""
