"""Everything that the template of the report shows, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.reporting.phrases import PhraseGroup

if TYPE_CHECKING:
    from pyro_rationale.prediction.predictor import Prediction
    from pyro_rationale.tasks import Decision


@dataclass(frozen=True)
class Tile:
    """A number that people look for first."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """One figure.

    Attributes:
        id: of its HTML element.
        title: above it.
        description: for readers who cannot see it.
        drawing: SVG elements, from :func:`pyro_rationale.reporting.plots.svg.draw_svg`.
        notes: below it, a paragraph each.
        header: of the table of the same numbers.
        rows: of that table.
        meaning: what it says of the fit, and what to do where it looks wrong.
    """

    id: str
    title: str
    description: str
    drawing: str
    notes: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    meaning: str = ""


@dataclass(frozen=True)
class Section:
    """Charts under a common heading."""

    id: str
    title: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class ReportContext:
    """The whole report.

    Attributes:
        title: its heading.
        spec: what is predicted, and in which units.
        documents: predictions to list, in their order.
        lead: the result in one line.
        drawn: how the documents were chosen among those of their split, in a sentence; empty for all.
        phrases: what many rationales have in common, by target.
        facts: label and value of where the numbers come from.
        tiles: the figures that people look for first.
        metrics: label and value of every metric.
        quality: charts of predictions against the truth.
        sections: more charts, below those of `quality`.
        diagnostics: charts about the fit, in the last fold of the page.
        rule: how the underlined rationale was chosen.
        decision: the rule that names classes; `None`: the most probable one is named.
        averaged: whether predictions average over masks, and are not made from the underlined words alone.
        inclusion: what the shading of a word stands for.
        level: probability of the intervals.
        version: of the package.
    """

    title: str
    spec: TargetSpec
    documents: tuple[Prediction, ...]
    lead: str = ""
    drawn: str = ""
    phrases: tuple[PhraseGroup, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    tiles: tuple[Tile, ...] = ()
    metrics: tuple[tuple[str, str], ...] = ()
    quality: tuple[Chart, ...] = ()
    sections: tuple[Section, ...] = ()
    diagnostics: tuple[Section, ...] = ()
    rule: str = "one rationale"
    decision: Decision | None = None
    averaged: bool = True
    inclusion: str = "inclusion probability under the guide, not calibrated"
    level: float = 0.9
    version: str = ""
