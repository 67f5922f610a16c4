"""The report as one HTML file: no request to anywhere, and no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from pyro_rationale.reporting.html.figures import reliability_chart, scatter_charts, selection_charts, training_charts
from pyro_rationale.reporting.html.payload import clean, pack, pieces, prediction_lines, rationale_text
from pyro_rationale.reporting.html.records import ReadDocument, ReportContents
from pyro_rationale.storage import write_bytes

MOST_BYTES = 4_000_000  # of documents: a page above 5 MB is slow to open
STATIC, STATIC_WORDS = 10, 3000  # documents, and about how many words of them, that are there without scripts
FOLDER = "templates"
JSON: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


def write_report(path: Path, contents: ReportContents) -> None:
    """Write the page, in one step; the same contents are the same bytes."""
    write_bytes(path, render(contents).encode())


def render(contents: ReportContents) -> str:
    """The page as text. Of documents that would make it too large, the first are listed; it says so."""
    packed = _fitting(contents.documents)
    spec = contents.spec
    data = {
        "kind": spec.kind,
        "names": [clean(name) for name in spec.names],
        "ranges": spec.ranges,
        "classes": [clean(name) for name in spec.classes],
        "level": percent(contents.level),
        "documents": packed,
    }
    reliability = reliability_chart(contents.reliability)
    style, script = _part("style.css"), _part("script.js")
    page = _environment().get_template("report.html.j2")
    return page.render(
        contents=contents,
        data=data,
        listed=len(packed),
        gold=any("g" in document for document in packed),
        rated=any("y" in document for document in packed),
        training=training_charts(contents.history, spec.kind),
        selection=selection_charts(contents),
        quality=[*scatter_charts(contents), *([] if reliability is None else [reliability])],
        static=_first(contents.documents[: len(packed)]),
        level=percent(contents.level),
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'",
    )


def percent(share: float) -> str:
    """`90 %`."""
    return f"{100 * share:.3g} %"


def _fitting(documents: Sequence[ReadDocument]) -> list[dict[str, Any]]:
    """The first documents, packed, as many as fit."""
    found: list[dict[str, Any]] = []
    size = 0
    for document in documents:
        packed = pack(document)
        size += len(htmlsafe_json_dumps(packed, **JSON).encode()) + 1
        if size > MOST_BYTES and found:
            break
        found.append(packed)
    return found


def _first(documents: Sequence[ReadDocument]) -> list[ReadDocument]:
    """The documents that stand in the page itself: a few, fewer if they are long, but one at least."""
    before = accumulate((len(document.inclusion) for document in documents), initial=0)
    return [document for document, words in zip(documents[:STATIC], before, strict=False) if words < STATIC_WORDS]


def _part(name: str) -> str:
    """A style sheet or script of this package, which stands in the page as it is."""
    return files(__package__).joinpath(FOLDER, name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """By which a browser knows that this is the page's own."""
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(str(__package__), FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = JSON
    environment.filters |= {"clean": clean}
    environment.globals |= {
        "pieces": pieces,
        "prediction_lines": prediction_lines,
        "rationale_text": rationale_text,
    }
    return environment
