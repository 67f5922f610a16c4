"""A page to search an index: the endpoint, the page in a real browser, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyro_rationale.cli.serve import serve
from pyro_rationale.data.document import make_document
from pyro_rationale.errors import ConfigError
from pyro_rationale.prediction.embedding import ModelEmbedder
from pyro_rationale.prediction.index import make_index
from pyro_rationale.serving.options import ServeOptions
from pyro_rationale.serving.search_app import SearchQueue, make_search_app
from tests.prediction.test_predictor import fake
from tests.serving.test_page import HOSTILE, is_sound, until
from tests.support.served import Reply, send, serving
from tests.support.small_fit import refusal
from tests.support.untrained_pairs import untrained_pairs, untrained_questions, untrained_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
TEXTS = {
    "printer": "my printer is broken, the paper stays in the tray",
    "phone": "the screen of my phone is dark",
    "<b>beer</b>": HOSTILE,
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "index"
    documents = [make_document(name, text) for name, text in TEXTS.items()]
    make_index(ModelEmbedder(untrained_questions()), documents, folder)
    return folder


@pytest.fixture(scope="module")
def address(indexed: Path) -> Iterator[str]:
    limits = ServeOptions(max_characters=1000)
    with serving(make_search_app(untrained_questions(), indexed, 2, limits)) as place:
        yield place


def find(address: str, **body: Any) -> Reply:
    return send(address, "/api/search", json.dumps(body).encode())


def test_hits_have_the_words_of_both_sides(address: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = send(address, "/openapi.json").json
    answer = schema["paths"]["/api/search"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    for text in (*TEXTS.values(), "?!...", "  "):
        reply = find(address, text=text)
        assert reply.status == 200
        jsonschema.validate(reply.json, {**answer, "components": schema["components"]})
        assert reply.json["query"]["text"] == text
        assert bool(reply.json["hits"]) == bool(reply.json["query"]["words"]) == (text in TEXTS.values())
    found = find(address, text=TEXTS["printer"]).json
    assert [hit["rank"] for hit in found["hits"]] == [1, 2]
    assert found["hits"][0]["id"] == "printer"
    assert found["hits"][0]["kept"] == found["query"]["kept"] != []
    assert len(find(address, text="printer", top=1).json["hits"]) == 1
    assert send(address, "/api/model").json["texts"] == len(TEXTS)


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [({"text": "a", "top": 0}, 422, "top"), ({"text": "a" * 1001}, 413, "longer than 1,000"), ({}, 422, "text"),
     ({"text": "a", "top": "2"}, 422, "top: Input should be a valid integer"), ({"text": "a", "tops": 2}, 422, "tops")],
)
def test_bad_questions_are_refused_in_one_line(address: str, body: dict[str, Any], status: int, line: str) -> None:
    reply = find(address, **body)
    assert reply.status == status
    assert line in reply.json["detail"]


def test_the_page_marks_both_sides(page: Page, address: str) -> None:
    page.goto(address)
    assert page.locator("#hits").is_hidden()
    page.fill("#text", TEXTS["printer"])
    until(page, "state.answer !== null")
    assert page.inner_text("#question") == TEXTS["printer"]
    marks = page.locator("#question mark").all_inner_texts()
    assert marks
    assert page.locator("#hits li").count() == 2
    first = page.locator("#hits li").first
    assert first.inner_text().startswith("1. printer score 1.00, probability")
    assert first.locator("mark").all_inner_texts() == marks
    page.fill("#text", HOSTILE)
    until(page, "text => state.text === text", HOSTILE)
    assert page.locator("#hits .passage").first.text_content() == HOSTILE
    assert page.locator("#hits img, #hits p b b, #question img").count() == 0
    is_sound(page)
    page.fill("#text", "zzqx qqwv")
    until(page, "state.text === 'zzqx qqwv'")
    doubt = find(address, text="zzqx qqwv").json["query"]["doubt"]
    assert doubt == "not to be relied on: words that the model does not know, and reads all alike: zzqx, qqwv"
    assert page.inner_text("#status").endswith(f" of 2 words count; {doubt}")
    page.click("#clear")
    until(page, "state.answer === null")
    assert page.locator("#hits").is_hidden()


def test_what_cannot_be_searched_is_refused(
    indexed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"--index: is about runs that rank texts; leave it out"):
        SearchQueue(fake(), indexed)
    with pytest.raises(ConfigError, match=r"made with another model"):
        SearchQueue(untrained_pairs(), indexed)
    assert "--index" in refusal(capfd, serve, "--run", untrained_run(), "--port", 0)
    assert "--top: is about a page that searches" in refusal(capfd, serve, "--run", untrained_run(), "--top", 3)
    assert "--samples: is about predictions" in refusal(
        capfd, serve, "--run", untrained_run(), "--index", indexed, "--samples", 3
    )
    none = indexed.with_name("none")
    assert str(none) in refusal(capfd, serve, "--run", untrained_run(), "--port", 0, "--index", none)
