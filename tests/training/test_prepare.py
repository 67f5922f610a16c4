"""Refusals before training begins, and fits in which some words are no evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.build import starting_prior
from pyro_rationale.data import Document, make_document
from pyro_rationale.data.sentences import sentence_starts
from pyro_rationale.data.word_classes import Exclusion, is_punctuation
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.options import DecodeOptions, PredictOptions
from pyro_rationale.prediction.posterior_draws import inspect_documents
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.training.prepare import build_controls, prepare_run
from pyro_rationale.training.rate_control import LONG, STEADY, AspectControls, RateControl
from tests.support.small_fit import fit_small, sixteen, small, table


@pytest.mark.parametrize(
    ("texts", "min_count", "message"),
    [
        (["good food", "bad food", "good view"], 1, "3 different training texts are too few to split dev or test off"),
        ([a + b for a in "bcdfgh" for b in "aeiou"], 2, "no word occurs 2 times in training texts; lower --min-count"),
    ],
)
def test_too_little_to_train_on(tmp_path: Path, texts: list[str], min_count: int, message: str) -> None:
    rows = [f"{texts[i % len(texts)]},{i % 5}" for i in range(30)]
    data = table(tmp_path / "a.csv", "text,y", rows)
    config = small(data=str(data), target_column=("y",), min_count=min_count)
    with pytest.raises(DataError, match=message):
        prepare_run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_cache_may_be_named_where_a_fit_is_resumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"the {word} room {i},{i % 5}" for i in range(60) for word in ("good", "bad")]
    config = small(data=str(table(tmp_path / "a.csv", "text,y", rows)), target_column=("y",), min_count=1)
    prepare_run(config, tmp_path / "run")
    prepare_run(config.changed(cache=str(tmp_path / "cache")), tmp_path / "run", resume=True)
    assert any((tmp_path / "cache").iterdir())
    assert not caplog.records


@pytest.mark.parametrize(("words", "options", "steady"), [
    (LONG, {"rate_as": "target"}, True), (LONG - 1, {"rate_as": "target"}, False),
    (LONG, {"rate_as": "target", "unit": "sentence"}, False), (LONG, {"rate_as": "limit"}, False),
])  # fmt: skip
def test_long_texts_are_steered_by_their_trend(words: int, options: dict[str, Any], steady: bool) -> None:
    """Every one of several masks is, each by a control of its own; not whole sentences, nor a mere limit."""
    config = small(**options)
    corpus = replace(sixteen(), train=[make_document(f"{i}", "good " * words, (1.0,)) for i in range(4)])
    controls = build_controls(config, starting_prior(config, 1.0), 2, corpus)
    assert isinstance(controls, AspectControls)
    assert controls.controls[0] is not controls.controls[1]
    for control in controls.controls:
        assert isinstance(control, RateControl)
        assert all(getattr(control, name) == value for name, value in STEADY.items()) == steady
        assert (control.damping > 0.0) == steady


@pytest.mark.parametrize(("guide", "nonempty"), [("chain", True), ("relaxed", False)])
def test_excluded_words_end_no_run(tmp_path: Path, guide: str, nonempty: bool) -> None:
    folder = tmp_path / "run"
    run, metrics = fit_small(folder, guide=guide, nonempty=nonempty, exclude="punctuation", span=3.0)
    fitted = FittedModel.load(folder, "cpu")
    assert fitted.vocabulary.excluded == Exclusion(punctuation=True)
    documents = [*run.corpus.dev, make_document("!", "... !!! ???")]
    masks, _ = decode_all(fitted, documents, DecodeOptions("mode"))
    for document, mask in zip(documents[:-1], masks, strict=False):
        around = [False, *map(bool, mask), False]
        for word, (before, on, behind) in zip(document.tokens, windowed(around), strict=True):
            assert not (on and is_punctuation(word)) or (before and behind)
    assert any(masks[-1]) == nonempty
    assert metrics.test["mse"] > 0


@pytest.mark.parametrize(
    "options",
    [
        {"guide": "chain", "nonempty": True, "any_rate": 0.5, "anneal": 2},
        {"guide": "relaxed"},
        {"guide": "recurrent", "tau": None},
        {"guide": "hardkuma", "tau": None, "cache": "cache"},
    ],
    ids=lambda options: options["guide"],
)
def test_sentences_are_kept_whole(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = tmp_path / "run"
    if "cache" in options:
        options = {**options, "cache": str(tmp_path / "cache")}
    run, metrics = fit_small(folder, unit="sentence", rate=0.3, **options)
    fitted = FittedModel.load(folder, "cpu")
    documents = [*run.corpus.dev, make_document("an empty one", "")]

    def is_whole(document: Document, mask: Sequence[bool]) -> bool:
        starts = [*sentence_starts(document).tolist(), len(document.tokens)]
        return all(len(set(mask[a:b])) <= 1 for a, b in pairwise(starts))

    assert any(len(sentence_starts(document)) > 2 for document in documents)
    for rule in ("agreeing", "mode", "threshold", "sample"):
        masks, _ = decode_all(fitted, documents, DecodeOptions(decode=rule))
        assert all(map(is_whole, documents, masks))
    for reading in predict(fitted, documents, PredictOptions(samples=20)):
        assert is_whole(reading.document, reading.mode)
        assert all(is_whole(reading.document, other.mask) for other in reading.alternatives)
        assert len(set(reading.inclusion)) <= len(sentence_starts(reading.document))
    inspected = next(inspect_documents(fitted, documents, 30))
    assert all(is_whole(inspected.document, mask) for mask in [*inspected.guide.z, *inspected.prior.z])
    assert np.isfinite(inspected.weights.log_weight).all()
    alone, together = (list(predict(fitted, documents, PredictOptions(), batch_size=size)) for size in (1, 4))
    assert [reading.mode for reading in alone] == [reading.mode for reading in together]
    assert metrics.test["mse"] > 0


def test_what_does_not_go_with_sentences() -> None:
    with pytest.raises(ConfigError, match=r"^--exclude is about single words; with --unit sentence leave it out"):
        small(unit="sentence", guide="chain", exclude="punctuation")
    with pytest.raises(ConfigError, match=r"^--unit: expected one of word, clause, sentence"):
        small(unit="letter")


def windowed(flags: list[bool]) -> list[tuple[bool, bool, bool]]:
    return list(zip(flags, flags[1:], flags[2:], strict=False))


def test_what_cannot_leave_words_out() -> None:
    with pytest.raises(ConfigError, match=r"^--exclude: --guide hardkuma cannot leave words out; take .*chain"):
        small(guide="hardkuma", exclude="punctuation")
    with pytest.raises(ConfigError, match=r"^--norm l1: with --exclude words do not all cost the same"):
        small(norm="l1", exclude="punctuation")
