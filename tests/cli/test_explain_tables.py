"""Tables of `explain` on a terminal: lines that are broken below their column, spans as long as they are."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Group
from rich.text import Text

from pyro_rationale.cli.explain import described, explain
from pyro_rationale.cli.explain_tables import Hanging, effect_table
from pyro_rationale.data import DataOptions
from pyro_rationale.data.document import make_document
from pyro_rationale.prediction.contributions import Contribution, Contributions
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.reporting.terminal import Terminal
from tests.prediction.test_aspect_faces import fitted as two_aspects  # noqa: F401
from tests.prediction.test_predictor import fake
from tests.support.commands import ended
from tests.support.untrained_run import untrained


def printed(*lines: Text, width: int = 80) -> list[str]:
    """Lines of a terminal."""
    console = Terminal(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    console.print(Group(*lines))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_line_goes_on_below_the_end_of_its_head() -> None:
    line = Hanging("for  +1.2  ", "some words that are too many for a line")
    assert str(line) == "for  +1.2  some words that are too many for a line"
    assert printed(line, width=30) == ["for  +1.2  some words that are", "           too many for a line"]
    assert printed(line, width=60) == [str(line)]
    sentence = Hanging("", "a sentence that goes on", style="dim")
    assert printed(sentence, width=12) == ["a sentence", "  that goes", "  on"]
    assert printed(Hanging("a head of many words: ", "and the rest"), width=14) == [
        "a head of", "  many words:", "  and the rest",
    ]  # fmt: skip
    assert printed(Hanging("h ", "x" * 30), width=12) == ["h " + "x" * 10, "  " + "x" * 10, "  " + "x" * 10]
    styled = Hanging(Text("for ", style="bold"), Text("some words", style="underline"), style="dim")
    assert [str(span.style) for span in styled.spans] == ["bold", "underline"]
    assert printed(Hanging("", "")) == [""]


@pytest.mark.parametrize("width", [1, 2, 5])
def test_no_terminal_is_too_narrow(width: int) -> None:
    lines = printed(Hanging("head ", "some words"), width=width)
    assert max(map(len, lines)) <= width
    assert "".join("".join(lines).split()) == "headsomewords"


def test_a_span_of_many_words_is_shown_whole() -> None:
    """Its end was cut at 80 letters, and what was left began again at the left edge."""
    words = " ".join(f"word{n}" for n in range(20))
    document = make_document("text 1", words)
    part = Contribution(0, 20, (-1.0,), (-1.0,), (1.0,), (1.0,), 1.0)
    found = Contributions((part,), (0.0,), (1.0,))
    *_, row = effect_table(document, found, ["stars"], plain=True)
    assert str(row).endswith(words)
    first, *others = printed(row)
    column = first.index("word0")
    assert first.startswith("for ")
    assert len(others) > 1
    assert all(line[:column].isspace() and line[column:].startswith("word") for line in others)


def test_nothing_of_a_reading_is_wider_than_the_terminal() -> None:
    text = make_document("text 1", "good maybe the bad " * 12)
    (reading,) = predict(fake(), [text], ExplainOptions(samples=20))
    for width in (40, 80):
        lines = printed(*described(reading, fake().task, 0.9), width=width)
        assert max(len(line.rstrip()) for line in lines) <= width


def test_the_meaning_of_columns_is_told_once(two_aspects: object) -> None:  # noqa: F811
    fitted = two_aspects
    (reading,) = predict(fitted, [make_document("text 1", "the bad maybe the good")], ExplainOptions(samples=20))  # type: ignore[arg-type]
    shown = [str(line) for line in described(reading, fitted.task, 0.9)]  # type: ignore[attr-defined]
    assert sum(line.strip() == "effect  removed    alone" for line in shown) == 2
    meanings = [line for line in shown if line.startswith(("effect: its part", "one span:"))]
    assert len(meanings) == len(set(meanings)) >= 1


def test_one_text_has_no_heading_on_a_terminal(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = untrained(tmp_path / "run", "relaxed", DataOptions(documents=40))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    _, one, _ = ended(capfd, explain, "--run", run, "--threads", "1", "fine beer")
    _, two, _ = ended(capfd, explain, "--run", run, "--threads", "1", "fine beer", "dull beer")
    assert "fine" in one
    assert "text 1" not in one
    assert "text 1" in two
    assert "text 2" in two
