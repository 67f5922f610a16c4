"""Contents of reports made by hand, and what a browser's parser makes of a page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import numpy as np

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.data.document import make_document, spans_of
from pyro_rationale.prediction.contributions import Contribution, Contributions
from pyro_rationale.prediction.predictor import Alternative, Prediction
from pyro_rationale.reporting.html import Chart, ReportContext, Section, Tile
from pyro_rationale.reporting.html.charts import (
    prediction_charts,
    prior_guide_charts,
    reliability_charts,
    training_charts,
    uncertainty_charts,
)
from pyro_rationale.reporting.html.meanings import explained
from pyro_rationale.reporting.html.render import page_script
from pyro_rationale.reporting.phrases import phrase_groups
from pyro_rationale.reporting.plots.posterior import MaskDraws
from pyro_rationale.training.history import EpochRecord

_TEMPLATES = files("pyro_rationale.reporting.html").joinpath("templates")
STYLE = "".join(_TEMPLATES.joinpath(f"{name}.css").read_text(encoding="utf-8") for name in ("base", "style"))
SCRIPT = page_script()
RATING = TargetSpec("regression", ("taste",), ((0.0, 5.0),))
BINARY = TargetSpec("binary", ("sentiment",), (), ("negative", "positive"))
CLASSES = TargetSpec("multiclass", ("kind",), (), ("lager", "stout", "porter"))
NASTY = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><b onclick=\"alert(1)\">' & &lt;b&gt; {{ 7 * 7 }} {% raw %}",
    "<!--<script> ]]> --> </style><style>*{display:none}</style></noscript>",
    "zero\x00byte \x1b[31m bell\x07 \x85 \u2028 \u2029",
    "\u202egnirts desrever\u202c \ufeff \ufffe \ud800 \udfff alone",
    "\U0001f600\U0001f600 wide e\u0301 ẞ 漢字 שלום",
    "${alert(1)} `back` \\u003c \\",
)


def read(text: str, number: int = 0, gold: bool = True, spec: TargetSpec = RATING) -> Prediction:
    """A reading of a text: every third word kept, the first three gold."""
    document = make_document(f"row {number}", text, (3.0 if spec is RATING else 1.0,), 10_000)
    words = len(document.tokens)
    kept = tuple(i % 3 == number % 3 for i in range(words))
    marked = tuple(i < 3 for i in range(words)) if gold else None
    document = Document(document.id, text, document.tokens, document.offsets, document.targets, marked)
    values = {"regression": (2.5,), "binary": (0.25,), "multiclass": (0.2, 0.7, 0.1)}[spec.kind]
    return Prediction(
        document=document,
        inclusion=tuple(i % 21 / 20 for i in range(words)),
        mode=kept,
        kept=kept,
        values=values,
        expected=values,
        averaged=values,
        predicted=values,
        sd=(1.0,) if spec is RATING else None,
        interval=((1.0, 4.0),) if spec is RATING else None,
        classes=None if spec is RATING else ((0,),),
        alternatives=(Alternative(kept, -0.5, 0.6, values), Alternative((False,) * words, -0.9, 0.4, values)),
        known=words,
    )


def speaking(prediction: Prediction) -> Prediction:
    """The reading with contributions: its spans speak for, against, for the prediction, and so on."""
    runs = spans_of(prediction.kept)
    sides = [((1.0 - 2.0 * (i % 2)),) for i in range(len(runs))]
    spans = tuple(
        Contribution(*run, removed=(-side[0] / 2,), removed_here=side, alone=side, shapley=side, share=1.0)
        for run, side in zip(runs, sides, strict=True)
    )
    return replace(prediction, contributions=Contributions(spans, (2.0,), (2.5,)))


@cache
def charts(spec: TargetSpec = RATING) -> dict[str, tuple[Chart, ...]]:
    """Every chart that a report can have, of two texts, by section."""
    history = (
        EpochRecord(1, 10, 0.5, 0.8, 0.5, 0.1, 0.5, 0.3, 0.4, dev_elbo=-9.0),
        EpochRecord(2, 20, -0.1, 0.3, 0.2, 0.1, 0.5, 0.1, 0.2, dev_elbo=-7.5, event="best"),
    )
    rates = np.linspace(0.0, 1.0, 40)
    draws = MaskDraws(rates**2, rates, np.array([9, 3, 1]), np.array([5, 4, 3]))
    readings = [read("good beer", spec=spec), read("bad beer", 1, spec=spec)]
    bins = {"low": [0.2, 0.6], "high": [0.4, 0.8], "count": [3, 30], "confidence": [0.3, 0.7], "accuracy": [0.1, 0.8]}
    curves = {"reliability": bins} if spec.classes else {"pit": {"taste": [5, *[2] * 18, 9]}}
    made = {
        "training": training_charts(history),
        "selection": prior_guide_charts(draws, {"rate": 0.1, "span": 1.5}, {"rate": 0.2, "span": 2.0}),
        "quality": prediction_charts(readings, spec),
        "calibration": [*uncertainty_charts(curves), *reliability_charts(readings)],
    }
    return {name: tuple(explained(drawn)) for name, drawn in made.items()}


def contents(*texts: str, spec: TargetSpec = RATING, title: str = "A run") -> ReportContext:
    """A report that has everything."""
    documents = tuple(speaking(read(text, i, spec=spec)) for i, text in enumerate(texts))
    made = charts()
    return ReportContext(
        title=title,
        spec=spec,
        documents=documents,
        lead=title,
        phrases=phrase_groups(documents, spec),
        facts=(("run", title),),
        tiles=(Tile("documents", str(len(texts)), title),),
        quality=made["quality"],
        sections=(Section("calibration", "calibration", made["calibration"]),),
        diagnostics=tuple(Section(name, name, made[name]) for name in ("training", "selection")),
        version="0.0",
    )


@dataclass
class Element:
    """A start tag and the text up to the next tag."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Contents of a page."""

    elements: list[Element] = field(default_factory=list)
    open: bool = False

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append(Element(tag, dict(attrs)))
        self.open = True

    def handle_endtag(self, tag: str) -> None:
        self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            self.elements[-1].text += data

    def all(self, tag: str) -> list[Element]:
        """Elements of one kind."""
        return [element for element in self.elements if element.tag == tag]

    def data(self) -> dict[str, Any]:
        """The block that the script reads."""
        found: dict[str, Any] = json.loads(self.all("script")[0].text)
        return found


def parse(html: str) -> Page:
    """A page as a browser reads it."""
    page = Page()
    page.feed(html)
    page.close()
    return page


class Drawn(HTMLParser):
    """The texts that the script drew, letter by letter: the letter and its classes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[list[tuple[str, str]]] = []
        self._open: list[str] = []  # classes of the text and of the span in it
        self._skipped = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = dict(attrs).get("class") or ""
        if tag == "noscript":
            self._skipped = True
        elif tag == "p" and classes == "text" and not self._skipped:
            self.texts.append([])
            self._open = [""]
        elif tag in ("span", "mark") and self._open:
            self._open.append(classes)

    def handle_endtag(self, tag: str) -> None:
        if tag == "noscript":
            self._skipped = False
        elif tag == "p":
            self._open = []
        elif tag in ("span", "mark") and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[-1] += [(letter, self._open[-1]) for letter in data]
