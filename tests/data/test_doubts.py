"""Targets that are read with a doubt, or refused: ids for ratings, labels that are one, files on other scales."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import Corpus, DataOptions, load_corpus
from pyro_rationale.errors import RationaleError


def write(path: Path, cells: Sequence[Any], count: int = 40) -> str:
    """A table of different texts, with these cells in turn."""
    rows = [f"{path.stem} {i} text\t{cells[i % len(cells)]}" for i in range(count)]
    path.write_text("\n".join(["text\ty", *rows]) + "\n", encoding="utf-8")
    return str(path)


def load(path: str, **options: Any) -> Corpus:
    return load_corpus(DataOptions(data=path, target_column=("y",), **options))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (range(1, 41), "numbers the rows, each with another one of 1 to 40"),
        (range(1_700_000_000, 1_700_400_000, 10_000), "holds times"),
        ([f"{i % 9 + 1}/12/24" for i in range(40)], "holds dates"),
    ],
)
def test_ids_and_times_are_no_ratings(tmp_path: Path, cells: Sequence[Any], says: str, cached: bool) -> None:
    path = write(tmp_path / "a.tsv", cells)
    options = {"cache": str(tmp_path / "cache")} if cached else {}
    with pytest.raises(RationaleError, match=says) as told:
        load(path, **options)
    assert path in str(told.value)
    assert "--task" in str(told.value)
    assert load(path, task="multiclass" if "/" in str(cells[0]) else "regression", **options).train


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["good", "go\u200bod", "bad"], r"good, go\\u200bod look alike"),
        (["good", '"good', "good.", "bad"], "look alike"),
        (["Yes", "yes", "no", "NO"], "NO, no; Yes, yes look alike"),
        (["True", "False", "1", "0"], "0, 1, False, True are classes of their own; write yes in one way"),
        (["yes", "no", "n"], "write yes in one way"),
        (["yes", "no"], None),
        (["A+", "A-", "A", "B"], None),
        (["!", ".", "?"], None),
    ],
)
def test_labels_that_are_one(tmp_path: Path, labels: list[str], says: str | None, caplog: Any) -> None:
    load(write(tmp_path / "a.tsv", labels))
    lines = warnings(caplog)
    assert [line for line in lines if says and re.search(says, line)] if says else not lines, lines


@pytest.mark.parametrize(
    ("ratings", "says"),
    [
        ([1, 2, 3, 4, 5, -1], "'y' is -1 (as in 6 rows)"),
        ([1, 2, 3, 4, 5, 999], "'y' is 999 (as in 6 rows)"),
        ([1, 2, 3, 4, 5, 9, 9], "'y' is 9 (as in "),
        ([1, 2, 3, 4, 5, 0], None),
        ([0, 3, 6, 9], None),
        ([-1, 0, 1], None),
        ([0, 5, 10], None),
        ([-2, -1, 1, 2], None),
    ],
)
def test_codes_for_no_answer_may_be_frequent(tmp_path: Path, ratings: list[int], says: str | None, caplog: Any) -> None:
    load(write(tmp_path / "a.tsv", ratings))
    assert [line for line in warnings(caplog) if "stands for no answer" in line and (says or "") in line] or not says
    assert says or not warnings(caplog)


@pytest.mark.parametrize("cached", [False, True])
def test_a_label_of_one_row_beside_frequent_ones(tmp_path: Path, cached: bool, caplog: Any) -> None:
    labels = ["good", "bad"] * 15 + ["and so on"]
    load(write(tmp_path / "a.tsv", labels, 31), cache=str(tmp_path / "cache") if cached else None)
    (line,) = warnings(caplog)
    assert line.startswith(f"{tmp_path / 'a.tsv'}, line 32: 'y' is and so on, as in no other row")
    caplog.clear()
    load(write(tmp_path / "b.tsv", [*"abcdefghij", *"abc"], 13))  # all are rare
    assert not warnings(caplog)


@pytest.mark.parametrize(
    ("own", "others", "says"),
    [
        (["pos", "neg"], ["pos", "neg", "neutral"], "6 of 20 labels of 'y' (neutral) stand nowhere in"),
        (["pos", "neg", "neutral"], ["pos", "neg"], None),
        ([1, 2, 3, 4, 5], [0, 20, 80, 95], "'y' lies between 0 and 95, and in"),
        ([0, 3, 7, 10], [0.0, 0.3, 0.7, 1.0], "'y' lies between 0 and 1, and in"),
        ([1, 2, 3, 4, 5], [1, 3, 5], None),
        ([1, 2, 3, 4, 5], [5], None),
    ],
)
@pytest.mark.parametrize("which", ["dev_data", "test_data"])
def test_files_of_one_fit_hold_the_same(
    tmp_path: Path, own: list[Any], others: list[Any], says: str | None, which: str, caplog: Any
) -> None:
    path = write(tmp_path / "a.tsv", own)
    load(path, **{which: write(tmp_path / "b.tsv", others, 20)})
    told = [line for line in warnings(caplog) if line.startswith(f"{tmp_path / 'b.tsv'}: ")]
    assert len(told) == (says is not None), told
    assert (says or "") in "".join(told)


def test_a_test_file_with_other_labels_altogether(tmp_path: Path) -> None:
    path, other = write(tmp_path / "a.tsv", ["pos", "neg"]), write(tmp_path / "b.tsv", ["Pos", "Neg"], 20)
    with pytest.raises(RationaleError, match=r"'y' is Neg, Pos, and in .* it is neg, pos; write all labels in one way"):
        load(path, test_data=other)
