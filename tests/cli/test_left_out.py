"""Words that a transformer could not read are told of at the end of a command, in words and with a remedy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyro_rationale.cli.explain import explain
from pyro_rationale.cli.left_out import left_out, telling_left_out
from pyro_rationale.fitted import FittedModel
from tests.support.small_fit import fit_small, whole
from tests.support.tiny_bert import make_tiny_bert


def test_pieces_that_do_not_fit_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bert = make_tiny_bert(tmp_path / "bert", ("the", "good"), positions=8)
    options: dict[str, Any] = {"pretrained": str(bert), "encoder": "transformer", "documents": 24, "steps": 2}
    fit_small(tmp_path / "run", guide="chain", anneal=1, rate=0.3, span=3.0, **options)
    fitted = FittedModel.load(tmp_path / "run")
    before = left_out(fitted)
    with caplog.at_level(logging.WARNING), telling_left_out(fitted):
        fitted.predict("an extraordinarily wonderful glass of wheat that nobody would have expected")
    pieces, words = (now - then for now, then in zip(left_out(fitted), before, strict=True))
    assert words >= 1
    assert f"{words:,} different words are so long" in caplog.text
    assert (f"{pieces:,} pieces of words that were to be read" in caplog.text) == (pieces > 0)
    caplog.clear()
    encoder: Any = fitted.model.encoder
    encoder.cut_pieces += 3
    with caplog.at_level(logging.WARNING), telling_left_out(fitted):
        encoder.cut_pieces += 1234
    assert "1,234 pieces of words that were to be read" in caplog.text
    assert "fit with a lower --max-words, or --rate" in caplog.text


def test_nothing_is_said_without_a_transformer(caplog: pytest.LogCaptureFixture) -> None:
    assert left_out(FittedModel.load(whole())) == (0, 0)
    end = CliRunner().invoke(explain, ["--run", str(whole()), "a good beer"], catch_exceptions=False)
    assert end.exit_code == 0
    assert "pieces" not in caplog.text
