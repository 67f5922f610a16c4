"""Columns with gold rationales: lists that are written as strings, and columns that hold something else."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import Corpus, DataOptions, load_corpus
from pyro_rationale.errors import RationaleError

TEXT = "so very good beer"


def write(path: Path, golds: Sequence[Any], column: str = "rationale", text: str = TEXT) -> Path:
    """A table of different texts, with these cells in turn."""
    rows = [{"text": f"{text} {i}", "y": i % 5, column: golds[i % len(golds)]} for i in range(12)]
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        path.write_text("\n".join(["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]))
    return path


def load(path: Path, **options: Any) -> Corpus:
    return load_corpus(DataOptions(data=str(path), target_column=("y",), **options))


def kept(corpus: Corpus) -> set[str | None]:
    """The gold words of each document, each once."""
    documents = [document for part in (corpus.train, corpus.dev, corpus.test) for document in part]
    words = (None if d.gold is None else " ".join(t for t, flag in zip(d.tokens, d.gold, strict=True) if flag)
             for d in documents)  # fmt: skip
    return set(words)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    "cell",
    ["[[3, 12]]", "[(3, 12)]", "((3, 7), (8, 12))", "[[3,7],[8,12]]", "0 1 1 0 0", "0,1,1,0,0", "[0, 1, 1, 0, 0]",
     "[0 1 1 0 0]"],
)  # fmt: skip
def test_a_list_may_be_written_as_a_string(tmp_path: Path, cell: str, cached: bool) -> None:
    options = {"cache": str(tmp_path / "cache")} if cached else {}
    assert kept(load(write(tmp_path / "a.tsv", [cell]), **options)) == {"very good"}
    assert kept(load(write(tmp_path / "b.tsv", [cell], "marks"), rationale_column="marks", **options)) == {"very good"}


def test_an_empty_list_marks_nothing_and_so_does_an_empty_span(tmp_path: Path) -> None:
    assert kept(load(write(tmp_path / "a.tsv", ["[]"]))) == {""}
    assert kept(load(write(tmp_path / "a.jsonl", [[[4, 4]]]))) == {""}
    assert kept(load(write(tmp_path / "b.tsv", ["", " "]))) == {None}


@pytest.mark.parametrize("cached", [False, True])
def test_a_column_of_texts_is_not_read_and_that_is_said(
    tmp_path: Path, cached: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.tsv", ["because it says so"])
    assert kept(load(path, cache=str(tmp_path / "cache") if cached else None)) == {None}
    (line,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert line.startswith(f"{path}: column 'rationale' holds 'because it says so'")
    assert "[[0, 4]]" in line


@pytest.mark.parametrize(
    ("name", "golds", "column", "named", "says"),
    [
        ("a.tsv", ["good beer"], "marks", True, "column 'marks' holds 'good beer' and its like"),
        ("a.tsv", ["[[3, 12]]", "very good"], "rationale", False, "line 3: its rationale is 'very good'"),
        ("a.tsv", ["[[3, 99]]"], "rationale", False, r"line 2: its rationale holds \[3, 99\]"),
        ("a.tsv", ["[[3, 12"], "marks", True, "column 'marks' holds"),
        ("a.tsv", ["[[3, 12]]]"], "marks", True, "column 'marks' holds"),
        ("a.jsonl", [[[[3, 12]], "very good"]], "rationales", False, "line 1: its rationale is 'very good'"),
        ("a.jsonl", [[[3, 12]], {"start": 3}], "rationale", False, "line 2: its rationale is {'start': 3}"),
    ],
)
def test_what_is_no_rationale_is_refused(
    tmp_path: Path, name: str, golds: list[Any], column: str, named: bool, says: str
) -> None:
    path = write(tmp_path / name, golds, column)
    with pytest.raises(RationaleError, match=says) as told:
        load(path, **({"rationale_column": column} if named else {}))
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("spans", "text", "warned"),
    [
        ([[3, 12]], TEXT, False),
        ([[4, 13]], TEXT, True),  # counted from 1
        ([[3, 11]], TEXT, True),  # the end is that of the last character
        ([[7, 16]], "\u00e9\u00e9\u00e9 very good beer", True),  # bytes
        ([[4, 6]], "\u6599\u7406" * 6, False),  # no spaces between words
        ([[0, 3], [4, 13]], "so, very-good beer", False),
    ],
)
def test_spans_that_end_inside_words_are_doubted(
    tmp_path: Path, spans: list[list[int]], text: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.jsonl", [spans], text=text)
    load(path)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("inside a word" in line and str(path) in line for line in lines) == warned, lines


def test_several_annotators_in_a_file_without_lists(tmp_path: Path) -> None:
    corpus = load(write(tmp_path / "a.jsonl", [["[[3, 7]]", [[3, 12]], None]], "rationales"))
    assert kept(corpus) == {"very good"}
    assert {len(document.maps or ()) for document in corpus.train} == {2}
