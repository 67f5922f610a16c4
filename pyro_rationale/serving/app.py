"""The web application: a page, `POST /api/predict` and the schema of that, `GET /openapi.json`."""
# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pyro_rationale import __version__
from pyro_rationale.errors import harmless
from pyro_rationale.fitted import FittedModel
from pyro_rationale.optional import optional
from pyro_rationale.prediction.information import LITTLE, little_line
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.reporting.html.render import base_style
from pyro_rationale.serving.limits import Application, Guard, RateLimit
from pyro_rationale.serving.options import ServeOptions
from pyro_rationale.serving.queue import PredictionQueue, QueueFullError, RequestQueue, StruckWordError
from pyro_rationale.serving.records import describe_model

if TYPE_CHECKING:
    from fastapi import FastAPI

EXTRA = "serve"
KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
REFUSED = (400, 408, 413, 415, 421, 422, 429, 500, 503)


def check_installed() -> None:
    """Make sure that the libraries of the extra are there.

    Raises:
        ConfigError: one is not.
    """
    for name in ("fastapi", "uvicorn"):
        optional(name, "serving needs", EXTRA)


def make_app(
    fitted: FittedModel, options: ExplainOptions, limits: ServeOptions | None = None, doubt: str = ""
) -> Application:
    """The application of one run, with its limits around it.

    Args:
        fitted: a run that does not rank texts.
        options: how much is drawn and said about each text.
        limits: of requests.
        doubt: about all rationales of the run, which the page says above them; empty for none.

    Raises:
        ConfigError: FastAPI is not installed, or the run ranks texts.
    """
    check_installed()
    from fastapi import HTTPException
    from fastapi.responses import JSONResponse
    from pydantic import BaseModel, ConfigDict, Field

    limits = limits or ServeOptions()
    queue = PredictionQueue(fitted, options)
    facts = describe_model(fitted)
    most = limits.max_characters

    class Text(BaseModel):
        """A text to explain."""

        model_config = ConfigDict(extra="forbid", strict=True)  # a misspelt field does not go by unnoticed

        text: str = Field(description="the text", max_length=most)
        struck: list[int] = Field([], description="numbers of words that are left out, from 0", max_length=most)

    class Word(BaseModel):
        """A word of the text."""

        start: int = Field(description="its first character")
        end: int = Field(description="the character behind its last")
        struck: bool = Field(description="whether it was left out")
        known: bool = Field(description="whether the model knows it; it reads all others as one and the same")

    class SpanOfWords(BaseModel):
        """A run of kept words, and what it does to the prediction of one target, in `unit`."""

        words: list[int]
        text: str
        effect: float = Field(description="Shapley value, or the reverse of `removed` beyond ten spans")
        removed: float = Field(description="change when it is removed, over drawn rationales that keep it")
        alone: float = Field(description="change when it is all that is kept")
        share: float = Field(description="share of the drawn rationales that keep all of it")

    class OtherMask(BaseModel):
        """Another rationale of the text."""

        kept: list[bool]
        text: str
        probability: float = Field(description="that the guide gives to this rationale")
        prediction: float | str
        prediction_probability: float | None = Field(description="of the class in `prediction`")

    class TargetPrediction(BaseModel):
        """Prediction and rationale of one target."""

        name: str
        letter: str | None = Field(description="that marks its words where there are several targets")
        value: float | None = Field(description="a rating")
        label: str | None = Field(description="or a class")
        probabilities: dict[str, float] | None = Field(description="of classes, or of levels of a rating")
        interval: list[float] | None = Field(description="low and high end, with probability `level`")
        set: list[str] | None = Field(description="classes that hold the true one with probability `level`")
        from_rationale: float | str = Field(description="the prediction from the kept words alone")
        from_rationale_probability: float | None = Field(description="of the class in `from_rationale`")
        information: float | None = Field(
            description="nats that the kept words add to what is said of an unread text; null in runs of older versions"
        )
        inclusion: list[float] = Field(description="probability under the guide that each word is kept")
        kept: list[bool] = Field(description="the rationale: the most probable one that agrees with the prediction")
        unit: str = Field(description="of the effects of spans")
        least_effect: float = Field(description="smaller effects of spans are hardly any")
        spans: list[SpanOfWords]
        alternatives: list[OtherMask]

    class Explained(BaseModel):
        """An explained text; `targets` is empty where it has no word."""

        text: str
        words: list[Word]
        unread: int = Field(description="characters behind the last word that is read")
        known: int = Field(description="words that the model knows")
        doubt: str = Field(description="a warning where it knows too few to predict much from them; else empty")
        level: float
        targets: list[TargetPrediction]

    told = {"little": little_line(["{names}"]), "least": LITTLE}  # the page's script puts the names in
    page = page_of("index.html.j2", facts=harmless_facts(facts), most=most, level=options.level, doubt=doubt, **told)
    app = bare_app(str(facts["run"]), queue, page, ("style.css", "shared.js", "script.js"), most)

    @app.get("/api/model")
    async def model() -> dict[str, Any]:
        """Describe the model: its targets, and how it reads."""
        return facts

    @app.post("/api/predict", response_model=Explained, responses=refusals())
    async def predict(request: Text) -> JSONResponse:
        """Predict a text, and mark the words that the prediction rests on."""
        try:
            return JSONResponse(await queue.explain(request.text, request.struck))
        except StruckWordError as problem:
            raise HTTPException(422, str(problem)) from None

    return guarded(app, limits)


def guarded(app: Application, limits: ServeOptions) -> Application:
    """An application with the limits of requests around it; a character takes 12 bytes of JSON at most."""
    return Guard(app, limits.allow_host, 12 * limits.max_characters + 4096, RateLimit(limits.max_per_minute))


def page_of(name: str, **values: Any) -> str:
    """A page of the folder `page`, filled in."""
    loader = PackageLoader("pyro_rationale.serving", "page")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return pages.get_template(name).render(version=__version__, **values)


def refusals() -> dict[int | str, dict[str, Any]]:
    """Schemas of the answers that refuse a request."""
    from pydantic import BaseModel

    class Problem(BaseModel):
        """Why a request was refused, in one line."""

        detail: str

    return {code: {"model": Problem} for code in REFUSED}


def bare_app(run: str, queue: RequestQueue, page: str, files_of_page: Collection[str], most: int) -> "FastAPI":
    """An application with a page, whose queue is open while it runs, and which says in one line what is wrong.

    Args:
        run: name of the run.
        queue: of requests.
        page: HTML.
        files_of_page: style sheet and scripts.
        most: characters of a text.
    """
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse, Response

    folder = files("pyro_rationale.serving") / "page"
    static = {name: (folder / name).read_bytes() for name in files_of_page}
    static["style.css"] = base_style().encode() + static["style.css"]

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        queue.start()
        yield
        queue.close()

    # The interactive pages of FastAPI load their scripts from elsewhere, so they are left out.
    app = FastAPI(title=f"pyro_rationale: {run}", version=__version__, docs_url=None, redoc_url=None, lifespan=running)
    app.state.queue = queue

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/{name}.{kind}", include_in_schema=False)
    async def file(name: str, kind: str) -> Response:
        path = f"{name}.{kind}"
        if path not in static:
            raise HTTPException(404, "no such page")
        return Response(static[path], media_type=KINDS[kind])

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, problem: RequestValidationError) -> JSONResponse:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        if first["type"] == "json_invalid":
            line = f"the body is not JSON: {first['ctx']['error']} at character {first['loc'][-1] + 1}"
            return JSONResponse({"detail": line[:200]}, 422)
        if first["type"] == "missing" and not where:
            return JSONResponse({"detail": "the body is empty; send JSON"}, 422)
        if first["type"] == "string_too_long":
            return JSONResponse({"detail": f"{where}: longer than {most:,} characters; send a shorter text"}, 413)
        return JSONResponse({"detail": f"{where + ': ' if where else ''}{first['msg']}"[:200]}, 422)

    @app.exception_handler(400)
    async def unreadable(request: Request, problem: Exception) -> JSONResponse:
        causes = {UnicodeDecodeError: "bytes that are not UTF-8", RecursionError: "values nested too deeply"}
        kinds = (found for kind, found in causes.items() if isinstance(problem.__cause__, kind))
        return JSONResponse({"detail": f"expected JSON, found {next(kinds, 'a number of too many digits')}"}, 400)

    @app.exception_handler(QueueFullError)
    async def full(request: Request, problem: QueueFullError) -> JSONResponse:
        return JSONResponse({"detail": str(problem)}, 503, {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def failed(request: Request, problem: Exception) -> JSONResponse:
        return JSONResponse({"detail": "the server could not read this text; its log says why"}, 500)

    return app


def harmless_facts(facts: Any) -> Any:
    """Facts whose names, which come from files of strangers, hold no control characters."""
    if isinstance(facts, dict):
        return {name: harmless_facts(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [harmless_facts(value) for value in facts]
    return harmless(facts) if isinstance(facts, str) else facts
