"""Corpora that are refused before training begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyro_rationale.errors import DataError
from pyro_rationale.training.prepare import prepare_run
from tests.support.small_fit import small, table


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
