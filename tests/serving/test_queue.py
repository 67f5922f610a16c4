"""Requests at once: read together, none lost, and the fault of one no fault of others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.serving.queue import PredictionQueue, QueueFullError, StruckWordError
from tests.prediction.test_predictor import fake
from tests.support.untrained_pairs import untrained_questions

OPTIONS = ExplainOptions(samples=20)
TEXTS = [f"the {'good ' * (n % 7)}maybe {'bad ' * (n % 3)}the" for n in range(20)]


def together(queue: PredictionQueue, *requests: tuple[Any, ...]) -> list[Any]:
    """All asked before the first is answered; then the queue is closed."""

    async def work() -> list[Any]:
        asked = [asyncio.ensure_future(queue.explain(*request)) for request in requests]
        await asyncio.sleep(0)
        queue.start()
        found = await asyncio.gather(*asked, return_exceptions=True)
        await asyncio.to_thread(queue.close)
        return list(found)

    return asyncio.run(work())


def test_twenty_at_once_get_what_each_gets_alone() -> None:
    queue = PredictionQueue(fake(), OPTIONS)
    found = together(queue, *((text,) for text in TEXTS))
    assert queue.read == len(TEXTS)
    for text, answer in zip(TEXTS, found, strict=True):
        (alone,) = together(PredictionQueue(fake(), OPTIONS), (text,))
        assert answer["text"] == text
        assert answer["targets"][0]["kept"] == alone["targets"][0]["kept"]
        assert answer["targets"][0]["value"] == pytest.approx(alone["targets"][0]["value"], abs=1e-6)


def test_the_fault_of_one_text_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fake()
    whole = model.documents

    def documents(texts: list[str]) -> Any:
        if "fault" in texts:
            raise RuntimeError("not this one")
        return whole(texts)

    monkeypatch.setattr(model, "documents", documents)
    found = together(PredictionQueue(model, OPTIONS), ("good",), ("fault",), ("bad", (5,)), ("bad", (0,)), ("",))
    assert found[0]["targets"][0]["kept"] == [True]
    assert isinstance(found[1], RuntimeError)
    assert isinstance(found[2], StruckWordError)
    assert found[3]["targets"] == found[4]["targets"] == []


def test_who_comes_to_a_full_queue_is_turned_away() -> None:
    found = together(PredictionQueue(fake(), OPTIONS, waiting=2), ("good",), ("bad",), ("the",))
    assert [type(answer) for answer in found] == [dict, dict, QueueFullError]
    assert "try again" in str(found[2])


def test_an_answer_that_nobody_waits_for_is_not_made() -> None:
    queue = PredictionQueue(fake(), OPTIONS)

    async def work() -> Any:
        gone, other = (asyncio.ensure_future(queue.explain(text)) for text in ("good", "bad"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        queue.start()
        return await other

    assert asyncio.run(work())["text"] == "bad"
    queue.close()
    assert queue.read == 1


def test_few_texts_are_read_together_by_a_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = PredictionQueue(fake(), OPTIONS)
    many = queue.at_once
    monkeypatch.setattr(queue, "fitted", SimpleNamespace(config=SimpleNamespace(model=SimpleNamespace(pretrained="x"))))
    assert 1 < queue.at_once < many


def test_intervals_that_cannot_be_made_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="--interval conformal"):
        PredictionQueue(fake(), ExplainOptions(interval="conformal"))


def test_runs_that_rank_texts_are_pointed_to_search() -> None:
    with pytest.raises(ConfigError, match=r"ranks texts.*pyro_rationale\.search"):
        PredictionQueue(untrained_questions(), OPTIONS)
