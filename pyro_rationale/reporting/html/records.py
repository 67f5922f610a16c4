"""What a report says, in plain values: no model, no tensor. Made of a run by `making.contents_of`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.evaluation.calibration import Curve
from pyro_rationale.training.history import EpochRecord

Mask = tuple[bool, ...]


@dataclass(frozen=True)
class Tile:
    """A number that people look for first."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Histogram:
    """Shares of draws from the prior and from the posterior in the same bins.

    Attributes:
        edges: `K + 1` of them, rising.
        prior: shares, `K` of them; the last bin holds all that is above as well.
        posterior: shares likewise.
        prior_mean: over the draws, not over the bins.
        posterior_mean: likewise.
        asked: shares under the prior that was asked for, where training ended with another.
        asked_mean: over its draws.
        open: whether something of either lies above the last edge.
    """

    edges: tuple[float, ...]
    prior: tuple[float, ...]
    posterior: tuple[float, ...]
    prior_mean: float
    posterior_mean: float
    asked: tuple[float, ...] | None = None
    asked_mean: float = math.nan
    open: bool = False


@dataclass(frozen=True)
class Selection:
    """How much is kept, a priori and after reading.

    Attributes:
        rate: share of words kept, per document and draw.
        span: length of the runs of kept words, per run.
        draws: per document, from each.
        asked: `rate`, `span`, ... of the prior that was asked for; see `fitting.describe_prior`.
        used: the same of the prior that training ended with.
    """

    rate: Histogram
    span: Histogram
    draws: int
    asked: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reliability:
    """Said against seen, for one kind of gold.

    Attributes:
        name: what counts as gold, for people.
        curve: over all words of documents that have it.
        low: lower end of the 95 % interval of its ECE.
        high: upper end.
        contested: ECE over the words that are gold or have a marginal above 5 %; `None` if there are none.
    """

    name: str
    curve: Curve
    low: float
    high: float
    contested: float | None


@dataclass(frozen=True)
class OtherRationale:
    """One of several rationales of a document.

    Attributes:
        mask: True on kept words.
        frequency: its share of the posterior draws.
        log_probability: log q(mask | text).
        values: what is predicted from it, as `posterior.Reading.values`.
    """

    mask: Mask
    frequency: float
    log_probability: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class ReadDocument:
    """One document of the list.

    Attributes:
        document: text, words, targets (NaN where unknown) and gold.
        inclusion: P(word is kept | text) per word.
        kept: the rationale that is underlined and predicted from.
        values: predictions, as `posterior.Reading.values`.
        interval: per rating; `None` for classes.
        alternatives: the most probable rationale first.
        expected: what errors are measured by, as `posterior.Reading.expected`; `None`: as `values`.
    """

    document: Document
    inclusion: tuple[float, ...]
    kept: Mask
    values: tuple[float, ...]
    interval: tuple[tuple[float, float], ...] | None = None
    alternatives: tuple[OtherRationale, ...] = ()
    expected: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        words = len(self.document.tokens)
        masks = [self.inclusion, self.kept, *(a.mask for a in self.alternatives)]
        if any(len(mask) != words for mask in masks):
            raise ValueError(f"expected {words} entries per mask, one per word of {self.document.id}")


@dataclass(frozen=True)
class ReportContents:
    """All of a report.

    Attributes:
        title: its heading.
        spec: what is predicted, and in which units.
        documents: those to list, in their order.
        facts: label and value: where this comes from.
        tiles: the summary.
        history: of training; empty if it was not recorded.
        selection: prior against posterior; `None` leaves it out.
        reliability: one for each kind of gold that there is.
        rule: how the underlined rationale was chosen.
        level: probability of the intervals.
        version: of the package.
    """

    title: str
    spec: TargetSpec
    documents: tuple[ReadDocument, ...]
    facts: tuple[tuple[str, str], ...] = ()
    tiles: tuple[Tile, ...] = ()
    history: tuple[EpochRecord, ...] = ()
    selection: Selection | None = None
    reliability: tuple[Reliability, ...] = ()
    rule: str = "the most probable rationale"
    level: float = 0.9
    version: str = ""
