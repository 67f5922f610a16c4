"""The web application of a run that ranks texts: a page to search an index, and `POST /api/search`."""
# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.embedding import ModelEmbedder
from pyro_rationale.prediction.index import POOL, Index, check_model
from pyro_rationale.prediction.retrieval import search_each
from pyro_rationale.serving.app import bare_app, check_installed, guarded, harmless_facts, page_of, refusals
from pyro_rationale.serving.limits import Application
from pyro_rationale.serving.options import ServeOptions
from pyro_rationale.serving.queue import Request, RequestQueue


class SearchQueue(RequestQueue):
    """Searches an index for many requests; what a request gives beside its text is the number of hits.

    Args:
        fitted: a run that ranks texts.
        folder: of the index.

    Raises:
        ConfigError: the run ranks no texts, or the index is of another model.
        RunError: the index cannot be read.
    """

    def __init__(self, fitted: FittedModel, folder: Path) -> None:
        if not fitted.task.of_pairs:
            raise ConfigError("--index: is about runs that rank texts; leave it out")
        super().__init__(fitted)
        self.embedder, self.index = ModelEmbedder(fitted), Index.load(folder)
        check_model(self.index, self.embedder, folder)

    def _made(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        documents = self.fitted.documents([request.text for request in requests])
        most = max(request.given for request in requests)
        try:
            found = search_each(self.embedder, self.index, documents, most)
        finally:
            self.fitted.forget_texts()  # of strangers, for as long as the server runs
        self.read += len(requests)
        records = [hits.record() for hits in found]
        return [
            {**record, "hits": record["hits"][: request.given]}
            for request, record in zip(requests, records, strict=True)
        ]


def make_search_app(
    fitted: FittedModel, folder: Path, top: int = 10, limits: ServeOptions | None = None
) -> Application:
    """The application of one run and one index, with its limits around it.

    Args:
        fitted: a run that ranks texts.
        folder: of the index.
        top: texts found per question.
        limits: of requests.

    Raises:
        ConfigError: FastAPI is not installed, the run ranks no texts, or the index is of another model.
        RunError: the index cannot be read.
    """
    check_installed()
    from fastapi.responses import JSONResponse
    from pydantic import BaseModel, ConfigDict, Field

    limits = limits or ServeOptions()
    queue, most, usual = SearchQueue(fitted, folder), limits.max_characters, top
    facts = {
        "run": fitted.name,
        "texts": len(queue.index),
        "rate": fitted.config.model.rate,
        "max_words": fitted.config.data.max_words,
    }

    class Question(BaseModel):
        """A text to search for."""

        model_config = ConfigDict(extra="forbid", strict=True)  # a misspelt field does not go by unnoticed

        text: str = Field(description="the text", max_length=most)
        top: int = Field(usual, description="texts to find", ge=1, le=POOL)

    class Marked(BaseModel):
        """A text with the words that its place rests on."""

        text: str
        kept: list[list[int]] = Field(description="kept stretches: first character, and the one behind the last")
        rationale: str = Field(description="the kept stretches on one line")
        words: int
        words_kept: int

    class Found(Marked):
        """A text of the index."""

        rank: int
        id: str
        score: float = Field(description="cosine of both vectors")
        probability: float = Field(description=f"its share among the best {POOL} texts")

    class Asked(Marked):
        """The text to search for."""

        unknown: list[str] = Field(description="words that the model does not know, and reads all alike")
        doubt: str = Field(description="a line that names them, and warns where they are many; else empty")

    class Answer(BaseModel):
        """Texts of the index, best first; none for a text without a word."""

        query: Asked
        hits: list[Found]

    page = page_of("search.html.j2", facts=harmless_facts(facts), most=most)
    app = bare_app(str(facts["run"]), queue, page, ("style.css", "shared.js", "search.js"), most)

    @app.get("/api/model")
    async def model() -> dict[str, Any]:
        """Describe the model and the index."""
        return facts

    @app.post("/api/search", response_model=Answer, responses=refusals())
    async def find(request: Question) -> JSONResponse:
        """Find the texts most like a text, with the words on both sides that this rests on."""
        return JSONResponse(await queue.ask(request.text, request.top))

    return guarded(app, limits)
