"""The endpoint over HTTP: what it answers, what it says that it answers, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.serving.app import make_app
from pyro_rationale.serving.options import ServeOptions
from tests.prediction.test_predictor import fake
from tests.support.served import FEW, ask, send, served

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(fake(), ServeOptions(max_characters=1000, allow_host=("page.example",))) as place:
        yield place


def test_twenty_requests_at_once_are_all_answered(address: str) -> None:
    texts = [f"{'the ' * n}good" for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda text: ask(address, text), texts))
    assert [reply.status for reply in replies] == [200] * 20
    assert [reply.json["text"] for reply in replies] == texts


def test_answers_are_as_the_schema_says(address: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = send(address, "/openapi.json").json
    made = schema["paths"]["/api/predict"]["post"]
    answer = made["responses"]["200"]["content"]["application/json"]["schema"]
    for text, struck in (("good <b>bad</b>", ()), ("good bad", (0,)), ("", ())):
        reply = ask(address, text, struck)
        assert reply.status == 200
        jsonschema.validate(reply.json, {**answer, "components": schema["components"]})
    assert {"400", "408", "413", "415", "421", "422", "429", "500", "503"} <= made["responses"].keys()
    assert send(address, "/api/model").json["targets"][0]["scale"] == [1.0, 5.0]


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        (b"x" * 1_000_000, 413, "more than 16,096 bytes; send a shorter text"),
        (json.dumps({"text": "a" * 1001}).encode(), 413, "text: longer than 1,000 characters"),
        (b'{"text": 3}', 422, "text: Input should be a valid string"),
        (b"{}", 422, "text: Field required"),
        (b'{"text": "good", "strucks": [0]}', 422, "strucks: Extra inputs are not permitted"),
        (b'{"text": "good", "struck": [true]}', 422, "struck.0: Input should be a valid integer"),
        (b'{"text": "good", "struck": [7]}', 422, "struck: expected numbers of words, 0 to 0"),
        (b'{"text": " ", "struck": [0]}', 422, "struck: the text has no word"),
        (b'{"text": "\\ud800"}', 422, ""),
        (b"{", 422, "the body is not JSON: Expecting property name enclosed in double quotes at character 2"),
        (b'{"text": good}', 422, "the body is not JSON: Expecting value at character 10"),
        (b"", 422, "the body is empty; send JSON"),
        (b'{"text": "\xff"}', 400, "expected JSON, found bytes that are not UTF-8"),
        (b"[" * 8000 + b"]" * 8000, 400, "expected JSON, found values nested too deeply"),
        (b'{"text": 1' + b"0" * 5000 + b"}", 400, "expected JSON, found a number of too many digits"),
    ],
)
def test_bad_bodies_are_refused_in_one_line(address: str, body: bytes, status: int, line: str) -> None:
    reply = send(address, "/api/predict", body)
    assert reply.status == status
    assert line in reply.json["detail"]
    assert "\n" not in reply.json["detail"]


def test_pages_of_other_sites_cannot_use_it(address: str) -> None:
    body = b'{"text": "good"}'
    assert send(address, "/api/predict", body, {"Content-Type": "text/plain"}).status == 415
    assert send(address, "/api/predict", body, {}).status == 415
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    reply = send(address, "/api/predict", b"", asked, method="OPTIONS")
    assert reply.status >= 400
    assert not [name for name in reply.headers if name.startswith("access-control")]
    for host, status in (("evil.example", 421), ("page.example", 200)):
        assert send(address, "/", headers={"Host": host}).status == status


def test_the_page_loads_nothing_from_elsewhere_and_stays_out_of_frames(address: str) -> None:
    for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/script.js", "text/javascript")):
        reply = send(address, path)
        assert reply.status == 200
        assert reply.headers["content-type"].startswith(kind)
        assert reply.headers["x-content-type-options"] == "nosniff"
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert b"://" not in reply.body
    for path in ("/app.py", "/docs", "/index.html.j2", "/../app.py"):
        assert send(address, path).status == 404


def test_the_page_promises_no_share_of_words_to_short_texts() -> None:
    model = fake()
    model.config = replace(model.config, model=replace(model.config.model, rate=0.1))
    with served(model) as address:
        said = " ".join(send(address, "/").body.decode().split())
    share = "about 10 % in texts as long as those that it was fitted on, often more in short ones"
    assert f"from some of the words of a text, and marks them: {share}." in said


def test_the_page_says_what_is_to_be_doubted_of_the_whole_run() -> None:
    said = []
    for doubt in ("", "71 % of <the words> are shared"):
        with served(fake(), doubt=doubt) as address:
            said.append(" ".join(send(address, "/").body.decode().split()))
    assert "On test texts" not in said[0]
    assert "On test texts, 71 % of &lt;the words&gt; are shared." in said[1]


def test_too_many_requests_are_told_when_to_come_again() -> None:
    with served(fake(), ServeOptions(max_per_minute=1)) as address:
        replies = [ask(address, "good") for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 429]
    assert 1 <= int(replies[1].headers["retry-after"]) <= 60
    assert replies[1].json["detail"].startswith("too many requests; try again in ")


def test_an_error_of_the_server_is_a_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fake()
    monkeypatch.setattr(model, "documents", lambda texts: 1 / 0)
    with served(model) as address:
        reply = ask(address, "good")
    assert reply.status == 500
    assert reply.json["detail"] == "the server could not read this text; its log says why"


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fastapi", None)
    with pytest.raises(ConfigError, match=r"serving needs fastapi: pip install"):
        make_app(fake(), FEW)
