"""Tables that cannot be used: each fault is one line that names the file, the row and the remedy."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import Corpus, DataOptions, Document, load_corpus
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import ConfigError, DataError, RationaleError

TEN = "".join(f"text {i},{i % 5}\n" for i in range(10))
LABELLED = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(10))

BAD_FILES: list[tuple[str, bytes | None, dict[str, Any], str]] = [
    ("a.csv", None, {}, "no such file"),
    ("a.csv", b"", {}, "is empty"),
    ("a.csv", b" \n \n", {}, "is empty"),
    ("a.csv", b"text,y\n", {}, "no rows below"),
    ("a.csv", b"text,y\n\x89PNG\x00\x01,3\n", {}, "line 2: holds a zero byte"),
    ("a.csv", "text,y\na,1\n".encode("utf-16"), {}, "is UTF-16; save it as UTF-8"),
    ("a.csv", "text,y\nfine,1\ncaf\u00e9,2\n".encode("latin-1"), {}, "line 3: byte 0xe9 is not UTF-8"),
    ("a.csv.gz", b"text,y\na,1\n", {}, "no gzip archive"),
    ("a.csv.gz", gzip.compress(b"text,y\n" + b"a,1\n" * 9)[:-9], {}, "cut short or damaged"),
    ("a.docx", b"text", {}, "rename it to .csv"),
    ("a.csv", f"text,y\n{TEN}ragged\n".encode(), {}, "line 12: has 1 fields where the header has 2"),
    ("a.csv", f"text,y\n{TEN}a, b, 3\n".encode(), {}, "line 12: has 3 fields"),
    ("a.csv", f'text,y\n{TEN}"no end,3\n{TEN}'.encode(), {}, "line 12: a quotation mark opens here"),
    ("a.csv", f'text,y\n{TEN}"an" end,3\n'.encode(), {}, "line 12: is not well quoted"),
    ("a.csv", f"text,y\n{TEN}  ,3\n".encode(), {}, "line 12: the text in 'text' is empty"),
    ("a.csv", f"text,y\n{TEN}\u200b\u200b,3\n".encode(), {}, "line 12: the text holds no word"),
    ("a.csv", f"text,y\n{TEN}unrated,\n".encode(), {}, "line 12: 'y' is empty"),
    ("a.csv", f"text,y\n{TEN}bad,good\n".encode(), {}, "line 12: 'y' is 'good', not a number"),
    ("a.csv", f"text,y\n{TEN}bad,nan\n".encode(), {}, "line 12: 'y' is 'nan', not a finite number"),
    ("a.csv", f"text,y\n{TEN}bad,-inf\n".encode(), {}, "line 12: 'y' is '-inf', not a finite number"),
    ("a.csv", f"text,y\n{LABELLED}bad,nan\n".encode(), {}, "line 12: 'y' is 'nan', not a finite number"),
    (
        "a.csv",
        f"text,y\n{TEN}high,9\n".encode(),
        {"target_range": (0.0, 5.0)},
        "line 12: 'y' is 9, outside the range",
    ),
    ("a.csv", f"text,y\n{TEN}".encode(), {"target_column": ("z",)}, "no column 'z', only text, y"),
    (
        "a.csv",
        f"text,Rating\n{TEN}".encode(),
        {"target_column": ("rating",)},
        "did you mean --target-column Rating?",
    ),
    (
        "a.csv",
        f"text,staff_service\n{TEN}".encode(),
        {"target_column": ("staff",)},
        "did you mean --target-column staff_",
    ),
    ("a.csv", f"review,y\n{TEN}".encode(), {"text_column": "reviews"}, "did you mean --text-column review?"),
    ("a.csv", f"review,y\n{TEN}".encode(), {}, "name a column with --text-column; it has review, y"),
    ("a.csv", f"text,y\n{TEN}".encode(), {"target_column": ()}, "name a column with --target-column"),
    ("a.csv", f"text,y\n{TEN}".encode(), {"target_column": ("text",)}, "names a column twice"),
    ("a.csv", b"text,y,y\n" + b"a,1,2\n" * 10, {}, "2 columns are named 'y'"),
    ("a.csv", b"text,y\n" + b"a,yes\n" * 10, {}, "holds one class only (yes)"),
    ("a.csv", b"text,y\n" + b'a,"two\nlines"\n' * 10, {}, r"holds one class only (two\nlines)"),
    ("a.csv", b"text,y\n" + b"a,1\n" * 10, {"task": "binary"}, "holds one class only (1)"),
    ("a.csv", b"text,y\n" + b"a,3\n" * 10, {}, "every rating in column 'y' is 3"),
    ("a.csv", b"text,y\n" + b"a,\n" * 10, {}, "line 2: 'y' is empty"),
    ("a.csv", b"text,y\na,1\nb,2\n", {}, "2 of its 2 rows can be used; too few"),
    ("a.csv", f"text,y\n{TEN}".encode(), {"task": "binary"}, "holds 5 classes"),
    ("a.csv", f"text,y\n{LABELLED}".encode(), {"task": "regression"}, "holds no number"),
    ("a.csv", f"text,y\n{LABELLED}".encode(), {"target_range": (0.0, 1.0)}, "--target-range is for ratings"),
    (
        "a.csv",
        f"text,y\n{TEN}".encode(),
        {"target_range": (5.0, 1.0)},
        "expected a lowest rating below the highest",
    ),
    ("a.csv", ("text,y\n" + "".join(f"a,label{i}\n" for i in range(60))).encode(), {}, "60 labels"),
    ("a.jsonl", b'{"text": "a", "y": 1}\n{"text": \n', {}, "line 2: is not JSON"),
    ("a.jsonl", b'{"text": "a", "y": 1}\n[1, 2]\n', {}, "line 2: holds [1, 2] where an object"),
    ("a.jsonl", b'[{"text": "a", "y": 1}]', {}, "is a JSON array"),
    ("a.jsonl", b'{"text": "a", "y": [1]}\n', {}, "line 1: 'y' is [1], neither a number nor a label"),
    ("a.jsonl", b'{"text": 3, "y": 1}\n', {}, "line 1: 'text' is 3, not a text"),
    ("a.jsonl", b'{"text": ["a", 3], "y": 1}\n', {}, "line 1: 'text' is a list"),
    ("a.jsonl", b'{"text": "\\ud83d", "y": 1}\n', {}, "line 1: the text in 'text' holds half a character"),
    ("a.jsonl", b'{"text": "a"}\n{"text": "b", "y": 1}\n', {}, "line 1: 'y' is empty"),
    (
        "a.jsonl",
        b'{"text": ["a"], "y": 1, "rationale": [[0, 2]]}\n{"text": "b", "y": 2}',
        {},
        "expected [start, end]",
    ),
    ("a.jsonl", b'{"text": ["a"], "y": 1, "rationale": [1, 0]}\n{"text": "b", "y": 2}', {}, "2 flags for 1 words"),
    ("a.csv", f"text,y\n{TEN}".encode(), {"dev_data": "missing.csv"}, "missing.csv: no such file"),
    ("a.csv", f"text,y\n{TEN}".encode(), {"max_words": 0}, "--max-words"),
]


def load(path: Path, *targets: str, **options: Any) -> Corpus:
    spec = options.pop("spec", None)
    return load_corpus(DataOptions(data=str(path), target_column=targets or ("y",), **options), spec)


def everything(corpus: Corpus) -> list[Document]:
    """All documents in the order of the file."""
    documents = [*corpus.train, *corpus.dev, *corpus.test]
    return sorted(documents, key=lambda d: int(d.id.split()[1]))


@pytest.mark.parametrize(("name", "content", "options", "message"), BAD_FILES, ids=[row[3] for row in BAD_FILES])
def test_bad_files_are_one_line(
    tmp_path: Path, name: str, content: bytes | None, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RationaleError) as caught:
        load_corpus(DataOptions(**{"data": str(path), "target_column": ("y",), **options}))
    said = str(caught.value)
    assert message in said
    assert "\n" not in said
    assert len(said) < 300 + len(str(path))
    assert name in said or said.startswith(("--", options.get("dev_data", "--")))


def test_a_parquet_file_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="reading Parquet is an extra")
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match="is no Parquet file"):
        load(path)


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"pip install 'pyro_rationale\[parquet\]'"):
        load(tmp_path / "a.parquet")


def test_folders_and_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(DataError, match="did you mean vader-movies"):
        load_corpus(DataOptions(data="vader-movie"))


def test_bad_rows_can_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = "only one field\n ,3\nno rating,\nno number,good\nnot finite,inf\ntoo high,17\n"
    path = tmp_path / "a.csv"
    path.write_text(f"text,y\n{TEN}{bad}last,2\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        corpus = load(path, skip_bad_rows=True, target_range=(0.0, 5.0))
    assert [d.id for d in everything(corpus)] == [f"line {i}" for i in [*range(2, 12), 18]]
    assert len(caplog.records) == 1
    assert "left out 6 of 17 rows, first line 12: has 1 fields" in caplog.text


def test_a_quotation_mark_that_never_closes_is_not_one_bad_row(tmp_path: Path) -> None:
    """It swallows the rest of the file: leaving that out silently would lose most of the data."""
    path = tmp_path / "a.csv"
    path.write_text(f'text,y\n{TEN}"no end,3\n{TEN}', encoding="utf-8")
    with pytest.raises(DataError, match="line 12: a quotation mark opens here"):
        load(path, skip_bad_rows=True)


@pytest.mark.parametrize(
    ("spec", "row", "error", "message"),
    [
        (TargetSpec("regression", ("y",), ((0.0, 5.0),)), "a,7", DataError, "outside the range 0 to 5"),
        (TargetSpec("binary", ("y",), classes=("no", "yes")), "a,maybe", DataError, "none of the classes no, yes"),
        (TargetSpec("multiclass", ("y",), classes=("0", "b", "c")), "a,1", DataError, "none of the classes"),
        (TargetSpec("regression", ("y", "z"), ((0.0, 5.0),) * 2), "a,1", ConfigError, "name as many"),
    ],
)
def test_a_file_that_does_not_fit_the_run(
    tmp_path: Path, spec: TargetSpec, row: str, error: type[Exception], message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"text,y\n{row}\n", encoding="utf-8")
    with pytest.raises(error, match=message):
        load(path, spec=spec)
