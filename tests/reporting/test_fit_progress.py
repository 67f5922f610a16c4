"""Progress of a fit: one bar for all of it, with the time left, and few lines."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from pyro_rationale.reporting.fit_progress import MOST_LINES, PREPARING, FitProgress, explained
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.training.history import EpochRecord, StepRecord

EPOCHS, BATCHES = 30, 10


def run(pretrained: str | None = None) -> Any:
    """A fit as far as its progress is concerned."""
    config = SimpleNamespace(unit="word", model=SimpleNamespace(pretrained=pretrained),
                             train=SimpleNamespace(warmup_texts="masked", head_start="none"))  # fmt: skip
    fitted = SimpleNamespace(config=config, task=SimpleNamespace(error_name="squared error"))
    trainer = SimpleNamespace(batches=range(BATCHES), epoch=0, position=0)
    return SimpleNamespace(fitted=fitted, trainer=trainer, epochs=EPOCHS, history=[], corpus=SimpleNamespace(test=()))


def progress(monkeypatch: pytest.MonkeyPatch, terminal: bool, **options: Any) -> tuple[FitProgress, list[float]]:
    """The progress, after its introduction, and a clock to turn."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(FitProgress, "_introduce", lambda *values: None)
    made = FitProgress(Terminal(file=io.StringIO(), width=80, force_terminal=terminal, no_color=True), **options)
    return made, now


def said(made: FitProgress) -> list[str]:
    return made.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_bar_is_of_the_whole_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    made, now = progress(monkeypatch, True, reader=True)
    fit, task, shares = run("minilm"), made.bar.tasks[0], []
    made.on_fit_start(fit)
    for done in (0, 500, 1000):
        now[0] += 10
        made.on_features_progress(fit, done, 1000)
        shares.append(task.percentage)
    assert task.description == "reading with minilm"
    assert "left of this" in task.fields["figures"]
    for fit.trainer.epoch in range(EPOCHS):
        for fit.trainer.position in range(1, BATCHES + 1):
            now[0] += 1
            made.on_step_end(fit, StepRecord(1.0, 0.25, 0.0, 8))
        shares.append(task.percentage)
        if fit.trainer.epoch == EPOCHS // 2:
            assert task.description == "training 16/30"
            assert "about 4 min left  kept 25.0 %" in task.fields["figures"]  # training, the reader and measuring
    made.on_fit_end(fit)
    for done in (1, 75, 150):
        now[0] += 30
        made.on_reader_progress(done, 150)
        shares.append(task.percentage)
    assert task.description == "the encoder on whole texts, step 150 of 150"
    made.on_test_progress(9, 9)
    assert task.description == "measuring"
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert 90.0 < shares[-1] < 100.0


def test_few_epochs_are_lines_and_what_went_wrong_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: dict[bool, list[str]] = {}
    for verbose in (False, True):
        made, _ = progress(monkeypatch, False, verbose=verbose)
        fit = run()
        made.on_fit_start(fit)
        for number in range(1, EPOCHS + 1):
            event = "collapse (empty masks): back to epoch 4" if number == 5 else "best"
            made.on_epoch_end(fit, EpochRecord(number, 10 * number, 1.0, 0.2, 0.1, 0.0, 0.5, 0.25, 0.125, event=event))
        lines[verbose] = said(made)
    assert MOST_LINES // 2 < len(lines[False]) <= MOST_LINES
    assert len(lines[True]) == EPOCHS
    told = "epoch  5/30  dev error 0.2500  keeps 12.5 % of the words (target 10.0 %)  collapse (empty masks)"
    assert any(line.startswith(told) for line in lines[False])
    assert lines[False][-1].startswith("epoch 30/30")


@pytest.mark.parametrize(
    ("bests", "last", "listed"),
    [
        ((10,), 30, [1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 30]),
        ((10, 12), 30, [1, 4, 7, 10, 12, 13, 16, 19, 22, 25, 28, 30]),
        ((11, 12, 13), 15, [1, 4, 7, 10, 13]),  # the better one has a line already
        ((14,), 15, [1, 4, 7, 10, 13, 14]),  # training ends early
    ],
)
def test_the_epoch_that_is_kept_has_a_line(
    monkeypatch: pytest.MonkeyPatch, bests: tuple[int, ...], last: int, listed: list[int]
) -> None:
    made, _ = progress(monkeypatch, False)
    fit = run()
    made.on_fit_start(fit)
    for number in range(1, last + 1):
        event = "best" if number in bests else ""
        made.on_epoch_end(fit, EpochRecord(number, 10 * number, 1.0, 0.2, 0.1, 0.0, 0.5, 0.25, 0.125, event=event))
    made.on_fit_end(fit)
    assert [int(line.split()[1].split("/")[0]) for line in said(made)] == listed


def test_without_a_terminal_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    made, now = progress(monkeypatch, False)
    fit = run("minilm")
    made.on_fit_start(fit)
    for done in range(0, 1001, 10):
        now[0] += 2
        made.on_features_progress(fit, done, 1000)
    first, *others = said(made)
    assert first == "reading 1,000 words with minilm, once"
    assert 2 <= len(others) <= 4
    assert all(line.startswith("reading with minilm: ") and line.endswith(" of this  1,000 words") for line in others)


def test_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    made, now = progress(monkeypatch, False, quiet=True)
    fit = run()
    made.on_member_start(0, 2, 0.0)
    made.on_fit_start(fit)
    now[0] += 100
    made.on_step_end(fit, StepRecord(1.0, 0.25, 0.0, 8))
    made.on_epoch_end(fit, EpochRecord(1, 1, 1.0, 0.2, 0.1, 0.0, 0.5))
    assert said(made) == []


@pytest.mark.parametrize("terminal", [True, False])
def test_what_begins_before_the_first_step_is_said(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    due: list[Mock] = []

    def timer(*asked: Any) -> Mock:
        due.append(Mock(asked=asked))
        return due[-1]

    monkeypatch.setattr("threading.Timer", timer)
    made, _ = progress(monkeypatch, terminal)
    made.on_preparation("reading the texts")
    made.on_preparation("loading minilm")
    assert made.bar.tasks[0].description == "loading minilm"
    assert [one.cancel.called for one in due] == ([] if terminal else [True, False])
    made.stop()
    assert all(one.cancel.called for one in due)
    for one in due:
        seconds, say, words = one.asked
        assert seconds == PREPARING
        say(*words)
    assert said(made) == ([] if terminal else ["reading the texts", "loading minilm"])


def test_a_fit_that_begins_again_says_how_much_longer_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    made, now = progress(monkeypatch, True)
    fit = run()
    made.on_fit_start(fit)

    def until(step: int) -> str:
        """The time left at that step; each takes two seconds."""
        while fit.step < step:
            fit.step += 1
            now[0] += 2
            fit.trainer.epoch, fit.trainer.position = divmod(fit.step, BATCHES)
            made.on_step_end(fit, StepRecord(1.0, 0.25, 0.0, 8))
        return str(made.bar.tasks[0].fields["figures"])

    def again(event: str = "memorised the training set: restarted from a new initialisation") -> str:
        """The line about an epoch that ends with a restart."""
        record = EpochRecord(fit.step // BATCHES, fit.step, 1.0, 0.2, 0.1, 0.0, 0.5, 0.25, 0.125, event=event)
        fit.history.append(record)
        fit.seconds, fit.epochs = 2.0 * fit.step, fit.step // BATCHES + EPOCHS
        made.on_epoch_end(fit, record)
        return " ".join(" ".join(said(made)).split())

    fit.step = 0
    assert "about 8 min left" in until(90)
    assert again().endswith("it only takes longer: 3 min more, at most 10 min from now)")
    assert "about 10 min left" in until(91)
    assert "about 9 min left" in until(150)
    assert again().endswith("it only takes longer: 2 min more, at most 10 min from now)")


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        ("memorised the training set: restarted from a new initialisation", "nothing to do"),
        ("collapse (empty masks): back to epoch 4, half the learning rate, half the pace", "nothing to do"),
        ("collapse (empty masks): left as it is after 3 recoveries", ""),
        ("best", ""),
    ],
)
def test_what_looks_worse_than_it_is_is_explained(event: str, meaning: str) -> None:
    told = explained(event)
    assert told.startswith(event)
    assert meaning in told
    assert (told == event) == (not meaning)


def test_no_target_is_said_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for verbose in (False, True):
        made, _ = progress(monkeypatch, False, verbose=verbose)
        fit = run()
        made.on_fit_start(fit)
        made.on_epoch_end(fit, EpochRecord(1, 10, 1.0, 0.2, math.nan, 0.0, 0.5, 0.25, 0.125, event="best"))
        assert "target" not in said(made)[-1]
