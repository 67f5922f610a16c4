"""Sums over the steps of an epoch, and the names of collapses."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.errors import RunError
from pyro_rationale.training.history import EpochRecord, StepRecord, StepTotals, collapse, read_history

RATE = 0.1


def record(**figures: Any) -> EpochRecord:
    """An epoch with nothing wrong."""
    values = {"epoch": 1, "step": 3, "loss": 0.5, "rate": 0.1, "target": 0.1, "field": 1.0, "flatness": 0.2}
    return EpochRecord(**{**values, "dev_empty": 0.0, **figures})


@pytest.mark.parametrize(
    ("figures", "arrived", "told"),
    [
        ({}, True, ""),
        ({"rate": 0.009}, True, "empty masks"),
        ({"rate": 0.009}, False, "empty masks"),  # far below any target on the way down
        ({"rate": 0.011}, True, ""),
        ({"dev_empty": 0.95}, False, "empty masks"),  # soft masks that no word survives
        ({"dev_empty": 0.85}, True, ""),
        ({"rate": 0.6}, True, "full masks"),
        ({"rate": 0.5}, True, ""),  # too many, yet it may still come down
        ({"rate": 0.75}, False, ""),  # as it should be at the start
        ({"flatness": 0.99}, True, "flat masks"),
        ({"flatness": 0.99}, False, ""),  # every guide starts flat
        ({"flatness": 0.9}, True, ""),
    ],
)
def test_a_collapse_has_a_name(figures: dict[str, Any], arrived: bool, told: str) -> None:
    assert collapse(record(**figures), RATE, arrived) == told


def test_a_high_rate_is_no_collapse_where_it_is_asked_for() -> None:
    assert collapse(record(rate=0.95), 0.9, annealed=True) == ""
    assert collapse(record(rate=0.3, dev_empty=1.0), 0.1, annealed=False, start=0.35) == ""  # undecided
    assert collapse(record(rate=0.3, dev_empty=1.0), 0.1, annealed=False, start=0.75) == "empty masks"
    assert collapse(record(rate=0.05, dev_empty=1.0), 0.1, annealed=False, start=0.35) == "empty masks"
    assert collapse(record(rate=0.3, dev_empty=1.0), 0.1, annealed=True, start=0.35) == "empty masks"
    assert collapse(record(rate=0.85), 0.3, annealed=True) == ""  # less than thrice the rate
    assert collapse(record(rate=0.95), 0.3, annealed=True) == "full masks"


def test_the_share_of_the_steps_after_a_warm_up() -> None:
    totals = StepTotals()
    for _ in range(3):
        totals.add(StepRecord(loss=1.0, rate=1.0, entropy=0.0, documents=10, warmup=1.0))
    mean = totals.mean()
    whole = record(rate=mean.rate, warmup=mean.warmup)
    assert (whole.untrained, whole.kept != whole.kept) == (True, True)
    totals.add(StepRecord(loss=1.0, rate=0.4, entropy=0.1, documents=10))
    mean = totals.mean()
    part = record(rate=mean.rate, warmup=mean.warmup)
    assert (part.untrained, part.warmup) == (False, 0.75)
    assert part.rate == pytest.approx(0.85)
    assert part.kept == pytest.approx(0.4)
    assert record(rate=0.3).kept == 0.3  # of a version that did not count the warm-up


def test_epoch_averages_are_weighted_by_documents() -> None:
    totals = StepTotals()
    assert totals.mean() == StepRecord(0.0, 0.0, 0.0, 0)
    totals.add(StepRecord(loss=1.0, rate=0.5, entropy=0.2, documents=30))
    totals.add(StepRecord(loss=4.0, rate=0.2, entropy=0.8, documents=10))
    mean = totals.mean()
    assert (mean.loss, mean.rate, mean.entropy) == pytest.approx((1.75, 0.425, 0.35))
    assert mean.documents == 40


@pytest.mark.parametrize(
    "line",
    ["[" * 100_000, "[]", "{}", '{"epoch": 1, "epoch": 2}', '{"loss": []}', '{"step": "x"}', '{"event": 3}', "1e9"],
)
def test_a_damaged_history_is_refused_in_one_line(tmp_path: Path, line: str) -> None:
    path, good = tmp_path / "epochs.jsonl", asdict(record(event="empty masks"))
    path.write_text(json.dumps(good), encoding="utf-8")
    assert read_history(path)[0].event == "empty masks"
    spoilt = json.dumps({**good, **json.loads(line)}) if line.startswith('{"') and "epoch" not in line else line
    path.write_text(json.dumps(good) + "\n" + spoilt, encoding="utf-8")
    with pytest.raises(RunError, match=r"epochs.jsonl: not a history of this version \(.*\); fit again"):
        read_history(path)


def test_a_folder_without_a_history_has_no_epochs(tmp_path: Path) -> None:
    assert read_history(tmp_path / "epochs.jsonl") == []
