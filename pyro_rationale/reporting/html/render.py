"""The report as one HTML file that makes no request and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from pyro_rationale.errors import harmless
from pyro_rationale.prediction.information import little_line
from pyro_rationale.prediction.labels import in_percent
from pyro_rationale.prediction.text_spans import letter_of, snippets
from pyro_rationale.reporting.effects import LEAST_LOG_ODDS, LEAST_SHARE, least_effects
from pyro_rationale.reporting.html.context import ReportContext
from pyro_rationale.reporting.html.meanings import flagged
from pyro_rationale.reporting.html.payload import (
    ASPECT_COLOURS,
    effect_lines,
    fragment,
    little_lines,
    pack,
    percent,
    pieces,
    prediction_lines,
    short,
    signed,
)
from pyro_rationale.reporting.plots.svg import HEIGHT, WIDTH
from pyro_rationale.storage import write_bytes
from pyro_rationale.tasks import Decision, task_of

if TYPE_CHECKING:
    from pyro_rationale.prediction.predictor import Prediction

MOST_BYTES = 4_000_000  # of documents: a page above 5 MB is slow to open
STATIC, STATIC_WORDS = 10, 3000  # most documents, and about most words of them, in the page without scripts
FOLDER = "templates"
JSON: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


def write_report(path: Path, context: ReportContext) -> None:
    """Write the page, in one step; equal contexts give equal bytes."""
    write_bytes(path, render(context).encode())


def render(context: ReportContext) -> str:
    """The page as text. If all documents would make it too large, it lists the first ones and says so."""
    packed = _fitting(context.documents)
    spec = context.spec
    level = percent(context.level)
    data = {
        "per_class": task_of(spec).per_class,
        "names": [harmless(name) for name in spec.names],
        "ranges": spec.ranges,
        "classes": [harmless(name) for name in spec.classes],
        **_factors(context.decision),
        "level": level,
        "averaged": context.averaged,
        "least": least_effects(spec),
        "little": little_line(["{names}"]),  # which the script puts in: the words stand in one place
        "own": any("m" in document for document in packed),
        "documents": packed,
        "phrases": {
            harmless(phrase.key): [phrase.words, [number for number in phrase.documents if number < len(packed)]]
            for group in context.phrases
            for side in group.sides
            for phrase in side.phrases
        },
    }
    style, script = base_style() + page_file("style.css"), page_script()
    return jinja_environment().get_template("report.html.j2").render(
        context=context,
        data=data,
        listed=len(packed),
        gold=any("g" in document for document in packed),
        least=f"{percent(LEAST_SHARE)} of its scale" if spec.ranges else f"{LEAST_LOG_ODDS:g}",
        signed_spans=any("c" in document for document in packed),
        rated=any("y" in document for document in packed),
        several=any("m" in document for document in packed),
        letters=[(i % ASPECT_COLOURS, letter_of(i), name) for i, name in enumerate(spec.names)],
        static=_first(context.documents[: len(packed)]),
        level=level,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; script-src {policy_hash(script)}; style-src {policy_hash(style)}; "
        "base-uri 'none'; form-action 'none'",
    )


def _factors(decision: Decision | None) -> dict[str, Any]:
    """Factors on the probabilities of classes, before the greatest is taken: of averages, and of one mask alone."""
    if decision is None:
        return {}
    return {"factors": decision.factors.tolist(), "alone": decision.of_one_mask.factors.tolist()}


def _fitting(documents: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The first documents, packed, as many as fit."""
    result: list[dict[str, Any]] = []
    size = 0
    for document in documents:
        packed = pack(document)
        size += len(htmlsafe_json_dumps(packed, **JSON).encode()) + 1
        if size > MOST_BYTES and result:
            break
        result.append(packed)
    return result


def _first(documents: Sequence[Prediction]) -> list[Prediction]:
    """The documents that the page shows without scripts: a few, fewer if they are long, at least one."""
    before = accumulate((len(document.inclusion) for document in documents), initial=0)
    return [document for document, words in zip(documents[:STATIC], before, strict=False) if words < STATIC_WORDS]


def page_script() -> str:
    """The script of the page: one file, into which others are put where they are named."""
    return re.sub(r"^ *// include ([\w.]+)\n", lambda match: page_file(match[1]), page_file("script.js"), flags=re.M)


def base_style() -> str:
    """The style sheet that all pages begin with, that of `serve` too."""
    return page_file("base.css")


def page_file(name: str) -> str:
    """A style sheet or script that stands in the page unchanged."""
    return files(__package__).joinpath(FOLDER, name).read_text(encoding="utf-8")


def policy_hash(content: str) -> str:
    """The hash by which the page's Content-Security-Policy admits a script or style sheet."""
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@cache
def jinja_environment() -> Environment:
    """The environment of the templates of this folder; text put into them is escaped and made harmless."""
    environment = Environment(
        loader=PackageLoader(str(__package__), FOLDER),
        autoescape=True,
        finalize=lambda value: harmless(value) if type(value) is str else value,  # not what is marked as safe
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = JSON
    environment.globals |= {
        "height": HEIGHT,
        "width": WIDTH,
        "effect_lines": effect_lines,
        "flagged": flagged,
        "fragment": fragment,
        "number": short,
        "in_percent": in_percent,
        "little_lines": little_lines,
        "percent": percent,
        "signed": signed,
        "pieces": pieces,
        "prediction_lines": prediction_lines,
        "snippets": snippets,
    }
    return environment
