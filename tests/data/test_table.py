"""Tables by path: the meaning of their columns; and faults, each one line with file, row and remedy."""

from __future__ import annotations

import gzip
import json
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import Corpus, DataOptions, Document, load_corpus
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import ConfigError, DataError, RationaleError
from pyro_rationale.optional import install_command

ROWS = [(f"text number {i} is fine", str(1 + i % 5)) for i in range(20)]


def write(
    path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = ("text", "y"), separator: str = ","
) -> Path:
    lines = [separator.join(row) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def load(path: Path, *targets: str, **options: Any) -> Corpus:
    spec = options.pop("spec", None)
    return load_corpus(DataOptions(data=str(path), target_column=targets or ("y",), **options), spec)


def everything(corpus: Corpus) -> list[Document]:
    """All documents in the order of the file."""
    documents = [*corpus.train, *corpus.dev, *corpus.test]
    return sorted(documents, key=lambda d: int(d.id.split()[1]))


# ------------------------------------------------------------------------------------------------ what is read


def test_ratings_from_a_csv(tmp_path: Path) -> None:
    corpus = load(write(tmp_path / "a.csv", ROWS))
    assert corpus.spec == TargetSpec("ordinal", ("y",), ((1.0, 5.0),), levels=(5,))
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (16, 2, 2)
    first = everything(corpus)[0]
    assert (first.id, first.tokens, first.targets) == ("line 2", ("text", "number", "0", "is", "fine"), (1.0,))
    assert [first.text[a:b] for a, b in first.offsets] == ["text", "number", "0", "is", "fine"]


def test_the_same_seed_gives_the_same_split(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ROWS)
    assert load(path, split_seed=4) == load(path, split_seed=4)
    assert load(path, split_seed=4).test != load(path, split_seed=5).test


def test_copies_of_a_text_stay_together(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [(f"text {i // 4}", str(i % 5)) for i in range(200)])
    corpus = load(path)
    homes = [{d.text for d in part} for part in (corpus.train, corpus.dev, corpus.test)]
    assert sum(map(len, homes)) == len(set().union(*homes))


@pytest.mark.parametrize(
    ("labels", "task", "expected"),
    [
        (["0", "1"], "auto", TargetSpec("binary", ("y",), classes=("0", "1"))),
        (["1.0", "0"], "auto", TargetSpec("binary", ("y",), classes=("0", "1"))),
        (["good", "bad"], "auto", TargetSpec("binary", ("y",), classes=("bad", "good"))),
        (["b", "a", "c"], "auto", TargetSpec("multiclass", ("y",), classes=("a", "b", "c"))),
        (["10", "9", "2"], "multiclass", TargetSpec("multiclass", ("y",), classes=("2", "9", "10"))),
        (["1", "2"], "auto", TargetSpec("regression", ("y",), ((1.0, 2.0),))),
        (["1", "2"], "binary", TargetSpec("binary", ("y",), classes=("1", "2"))),
        (["0", "1"], "regression", TargetSpec("regression", ("y",), ((0.0, 1.0),))),
        (["-1e1", " 7 "], "auto", TargetSpec("regression", ("y",), ((-10.0, 7.0),))),
        (["-1e1", "0", "10"], "auto", TargetSpec("ordinal", ("y",), ((-10.0, 10.0),), levels=(3,))),
        (["-1e1", "0", "10"], "regression", TargetSpec("regression", ("y",), ((-10.0, 10.0),))),
    ],
)
def test_what_a_column_is_taken_for(tmp_path: Path, labels: list[str], task: str, expected: TargetSpec) -> None:
    rows = [(f"text {i}", labels[i % len(labels)]) for i in range(24)]
    corpus = load(write(tmp_path / "a.csv", rows), task=task)
    assert corpus.spec == expected
    second = everything(corpus)[1].targets[0]
    assert second == (expected.classes.index(f"{labels[1]}") if expected.classes else float(labels[1]))


def test_a_given_range_makes_ratings_of_zeros_and_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [(f"text {i}", str(i % 2)) for i in range(20)])
    assert load(path, target_range=(0.0, 5.0)).spec == TargetSpec("regression", ("y",), ((0.0, 5.0),))


def test_several_aspects_may_be_left_unrated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [(f"text {i}", str(i % 5), "" if i % 3 else str(i % 4)) for i in range(20)]
    path = write(tmp_path / "a.csv", [*rows, ("nothing rated", "", "")], ("text", "food", "staff"))
    with caplog.at_level(logging.WARNING):
        corpus = load(path, "food", "staff")
    documents = everything(corpus)
    assert corpus.spec.names == ("food", "staff")
    assert corpus.spec.ranges == ((0.0, 4.0), (0.0, 3.0))
    assert len(documents) == 20
    assert math.isnan(documents[1].targets[1])
    assert documents[3].targets == (3.0, 3.0)
    assert "left out 1 of 21 rows that rate none of food, staff" in caplog.text


def test_rows_without_the_rating_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An empty cell is a rating that nobody gave; most rows without one are another column."""
    rows = [(f"text {i}", str(i % 5) if i < 20 else "") for i in range(25)]
    path = write(tmp_path / "a.csv", rows)
    with caplog.at_level(logging.WARNING):
        assert len(everything(load(path))) == 20
    assert "left out 5 of 25 rows that rate none of y" in caplog.text


def test_several_binary_aspects(tmp_path: Path) -> None:
    rows = [(f"text {i}", str(i % 2), str(i // 2 % 2)) for i in range(20)]
    spec = load(write(tmp_path / "a.csv", rows, ("text", "a", "b")), "a", "b").spec
    assert spec == TargetSpec("binary", ("a", "b"), classes=("0", "1"))


def test_formats_agree(tmp_path: Path) -> None:
    """Equal rows from every format, compressed or not, are equal documents."""
    csv = write(tmp_path / "a.csv", ROWS)
    tsv = write(tmp_path / "a.tsv", ROWS, separator="\t")
    semicolons = write(tmp_path / "b.csv", ROWS, separator=";")
    marked = tmp_path / "c.csv"
    marked.write_bytes(b"\xef\xbb\xbf" + csv.read_bytes().replace(b"\n", b"\r\n"))
    packed = tmp_path / "d.csv.gz"
    packed.write_bytes(gzip.compress(csv.read_bytes()))
    objects = tmp_path / "a.jsonl"
    objects.write_text("\n".join(json.dumps({"text": t, "y": int(y)}) for t, y in ROWS), encoding="utf-8")
    expected = load(csv)
    for path in (tsv, semicolons, marked, packed):
        found = load(path)
        assert (found.spec, found.train, found.test) == (expected.spec, expected.train, expected.test), path.name
    found = load(objects)
    assert [d.tokens for d in everything(found)] == [d.tokens for d in everything(expected)]
    assert everything(found)[0].id == "line 1"


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="reading Parquet is an extra")
    import pyarrow.parquet as pq

    texts = [[*t.split(), "Indeed"] for t, _ in ROWS]
    table = pa.table({"text": texts, "y": [float(y) for _, y in ROWS], "z": [None, *range(19)]})
    pq.write_table(table, tmp_path / "a.parquet")
    corpus = load(tmp_path / "a.parquet", "y", "z")
    first = everything(corpus)[0]
    assert (first.id, first.tokens[-1], first.text.split()[-1]) == ("row 1", "indeed", "Indeed")
    assert first.targets[0] == 1.0
    assert math.isnan(first.targets[1])


def test_quoted_fields_and_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = ["text,y", '"two', 'lines, and ""quotes""",3', "", *(f"more {i},{i}" for i in range(12))]
    path.write_text("\n".join(lines), encoding="utf-8")
    documents = everything(load(path))
    assert documents[0].text == 'two\nlines, and "quotes"'
    assert [d.id for d in documents[:2]] == ["line 2", "line 5"]


def test_tab_separated_texts_may_hold_bare_quotes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", [(f'"so" they say {i}', str(i % 5)) for i in range(20)], separator="\t")
    assert everything(load(path))[0].text == '"so" they say 0'


def test_texts_are_cut_but_kept_whole_for_display(tmp_path: Path) -> None:
    long = " ".join(f"word{i}" for i in range(3000))
    documents = everything(load(write(tmp_path / "a.csv", [(long, "1"), *ROWS]), max_words=7))
    assert documents[0].tokens == tuple(f"word{i}" for i in range(7))
    assert documents[0].text == long


def test_files_of_their_own_for_dev_and_test(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", ROWS)
    dev = write(tmp_path / "b.csv", [("a dev text", "0")])
    test = write(tmp_path / "c.csv", [("a test text", "9"), ("another", "2")])
    both = load(train, dev_data=str(dev), test_data=str(test))
    assert (len(both.train), len(both.dev), len(both.test)) == (20, 1, 2)
    assert both.spec.ranges == ((0.0, 9.0),)
    one = load(train, test_data=str(test))
    assert (len(one.train), len(one.dev), len(one.test)) == (18, 2, 2)
    other = load(train, dev_data=str(dev))
    assert (len(other.train), len(other.dev), len(other.test)) == (18, 1, 2)


def test_a_fitted_run_says_what_columns_mean(tmp_path: Path) -> None:
    spec = TargetSpec("regression", ("y",), ((0.0, 10.0),))
    path = write(tmp_path / "a.csv", [("one text", "3")])
    corpus = load_corpus(DataOptions(data=str(path)), spec)
    assert corpus.spec == spec
    assert [d.targets for d in everything(corpus)] == [(3.0,)]
    named = TargetSpec("binary", ("y",), classes=("negative", "positive"))
    path = write(tmp_path / "b.csv", [("one", "positive"), ("two", "1"), ("three", "0")])
    assert [d.targets[0] for d in everything(load(path, spec=named))] == [1.0, 1.0, 0.0]


# ------------------------------------------------------------------------------------------------ gold rationales


@pytest.mark.parametrize(
    ("text", "gold", "expected"),
    [
        (["So", "very", "good", "!"], [[1, 3]], (False, True, True, False)),
        (["So", "very", "good", "!"], [0, 0, 1, 0], (False, False, True, False)),
        ("So very good!", [[3, 12]], (False, True, True, False)),
        ("so very good !", "0 1 1 0", (False, True, True, False)),
        ("so very good !", [], (False,) * 4),
        ("so very good !", "because it says so", None),
        ("so very good !", None, None),
    ],
)
def test_rationales_beside_the_text(tmp_path: Path, text: Any, gold: Any, expected: Any) -> None:
    rows = [{"text": text, "y": i % 5, "rationale": gold} for i in range(12)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    document = everything(load(path))[0]
    assert document.tokens == ("so", "very", "good", "!")
    assert document.gold == expected


def test_flags_in_a_tab_separated_file(tmp_path: Path) -> None:
    rows = [(f"very good beer{i}", str(i % 2), "0 1 0") for i in range(12)]
    path = write(tmp_path / "a.tsv", rows, ("text", "label", "rationale"), "\t")
    assert everything(load(path, "label"))[3].gold == (False, True, False)


# ------------------------------------------------------------------------------------------------ bad tables

UNRATED = "unrated,\n"
TEN = "".join(f"text {i},{i % 5}\n" for i in range(10))
LABELLED = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(10))

BAD_FILES: list[tuple[str, bytes | None, dict[str, Any], str]] = [
    ("a.csv", None, {}, "no such file"),
    ("a.csv", b"", {}, "is empty"),
    ("a.csv", b" \n \n", {}, "is empty"),
    ("a.csv", b"text,y\n", {}, "no rows below"),
    ("a.csv", b"text,y\n\x89PNG\x00\x01,3\n", {}, "line 2: holds a zero byte"),
    ("a.csv", "text,y\na,1\n".encode("utf-16"), {}, "is UTF-16; save it as UTF-8"),
    ("a.csv", b"text,y\na,1\n", {"encoding": "utf-16"}, "start with BOM); give --encoding utf-16-le or"),
    ("a.csv", "text,y\nfine,1\ncaf\u00e9,2\n".encode("latin-1"), {}, "line 3: byte 0xe9 is not UTF-8"),
    ("a.csv.gz", b"text,y\na,1\n", {}, "no gzip archive"),
    ("a.csv.gz", gzip.compress(b"text,y\n" + b"a,1\n" * 9)[:-9], {}, "cut short or damaged"),
    ("a.docx", b"text", {}, "rename it to .csv"),
    ("a.xlsx", b"PK\x03\x04", {}, "save it as CSV from the spreadsheet program"),
    ("a.XLS", b"\xd0\xcf", {}, "save it as CSV from the spreadsheet program"),
    ("a.ods", b"PK\x03\x04", {}, "save it as CSV from the spreadsheet program"),
    ("a.csv.zip", b"PK\x03\x04", {}, "unpack it first"),
    ("a.csv.bz2", b"BZh9", {}, "unpack it first"),
    ("a.csv.xz", b"\xfd7zXZ\x00", {}, "unpack it first"),
    ("a.tar.gz", gzip.compress(b"text,y\n"), {}, "unpack it first"),
    ("a.pkl", b"\x80\x04", {}, "write it as CSV or Parquet there (DataFrame.to_csv)"),
    ("a.csv", b"PK\x03\x04\x14\x00\x06\x00", {}, "is a spreadsheet or a zip archive, whatever its name says"),
    ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00", {}, "is a spreadsheet; save it as CSV"),
    ("a.csv", b"PAR1\x15\x04", {}, "is Parquet, whatever its name says; rename it to .parquet"),
    ("a.csv", f"text,y\n{TEN}ragged\n".encode(), {}, "line 12: has 1 field where the header has 2"),
    ("a.csv", f"text,y\n{TEN}a, b, 3\n".encode(), {}, "line 12: has 3 fields"),
    ("a.csv", f'text,y\n{TEN}"no end,3\n{TEN}'.encode(), {}, "line 12: a quotation mark opens here"),
    ("a.csv", f'text,y\n{TEN}"an" end,3\n'.encode(), {}, "line 12: is not well quoted"),
    ("a.csv", f"text,y\n{TEN}  ,3\n".encode(), {}, "line 12: the text in 'text' is empty"),
    ("a.csv", f"text,y\n{TEN}\u200b\u200b,3\n".encode(), {}, "line 12: the text holds no word"),
    ("a.csv", f"text,y\n{TEN}{UNRATED * 11}".encode(), {}, "11 of its 21 rows have nothing in 'y'"),
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
    ("a.csv", f"text,y\n{TEN}".encode(), {"target_column": ("text",)}, "text is the column of the texts"),
    (
        "a.csv",
        f"text,y\n{TEN}".encode(),
        {"target_column": ("y", "z", "y")},
        "--target-column: names y twice; name each target once",
    ),
    (
        "a.csv",
        b"text,y\n" + b" ,1\n" * 10,
        {},
        "column 'text' is empty in all 10 rows; name another with --text-column",
    ),
    ("a.csv", b"text,y,y\n" + b"a,1,2\n" * 10, {}, "2 columns are named 'y'"),
    (
        "a.csv",
        ("text,y\n" + "".join(f"{i}.5,{i % 5}\n" for i in range(10))).encode(),
        {},
        "column 'text' holds numbers, such as 0.5; name another --text-column",
    ),
    ("a.csv", b"text,y\n" + b"a,yes\n" * 10, {}, "holds one class only (yes)"),
    ("a.csv", b"text,y\n" + b'a,"two\nlines"\n' * 10, {}, r"holds one class only (two\nlines)"),
    ("a.csv", b"text,y\n" + b"a,1\n" * 10, {"task": "binary"}, "holds one class only (1)"),
    ("a.csv", b"text,y\n" + b"a,3\n" * 10, {}, "every rating in column 'y' is 3"),
    ("a.csv", b"text,y\n" + b"a,3\n" * 10, {"target_range": (1.0, 5.0)}, "every rating in column 'y' is 3"),
    ("a.csv", b"text,y\n" + b"a,\n" * 10, {}, "column 'y' is empty in all 10 rows; name another with --target-column"),
    ("a.csv", b"text,y\na,1\nb,2\n", {}, "2 of its 2 rows can be used; too few"),
    ("a.csv", b"text,y\na,4\n", {}, "1 of its 1 row can be used; too few: it takes 10 or more"),
    ("a.csv", b"text,y\na,yes\n", {}, "1 of its 1 row can be used; too few: it takes 10 or more"),
    ("a.csv", f"text,y\n{TEN}".encode(), {"task": "binary"}, "holds 5 classes"),
    ("a.csv", f"text,y\n{LABELLED}".encode(), {"task": "regression"}, "holds no number"),
    (
        "a.csv",
        ("text,cls,y\n" + "".join(f"text {i},{'abc'[i % 3]},{i % 5}\n" for i in range(10))).encode(),
        {"target_column": ("cls", "y")},
        "--target-column: labels (cls) and numbers (y) cannot be predicted together; fit once for cls and once for y",
    ),
    (
        "a.csv",
        ("text,cls,y\n" + "".join(f"text {i},{'abc'[i % 3]},{i % 5}/5\n" for i in range(10))).encode(),
        {"target_column": ("cls", "y")},
        "--target-column: labels (cls) and numbers (y) cannot be predicted together",
    ),
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
    ("a.jsonl", b'[{"text": "a", "y": 1}', {}, "is a JSON array that cannot be read"),
    ("a.jsonl", b'{"text": "a", "y": [1]}\n', {}, "line 1: 'y' is [1], neither a number nor a label"),
    ("a.jsonl", b'{"text": 3, "y": 1}\n', {}, "line 1: 'text' is 3, not a text"),
    ("a.jsonl", b'{"text": ["a", 3], "y": 1}\n', {}, "line 1: 'text' is a list"),
    ("a.jsonl", b'{"text": "\\ud83d", "y": 1}\n', {}, "line 1: the text in 'text' holds half a character"),
    ("a.jsonl", b'{"text": "a"}\n{"text": "b", "y": 1}\n', {}, "1 of its 2 rows can be used; too few"),
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
    with pytest.raises(DataError, match=re.escape(install_command("parquet"))):
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
    assert len(caplog.records) == 2
    assert "left out 1 of 17 rows that rate none of y" in caplog.text
    assert "left out 5 of 17 rows, first line 12: has 1 field" in caplog.text


def test_texts_that_say_that_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    remedy = "leave them out if nothing was written there"
    for texts, said in (
        (["good", "nan", " NULL", "12", "bad"], f"8 of 20 texts are NULL, nan, first line 3; {remedy}"),
        (["None", *["a none of them", "nil nil"] * 2], f"4 of 20 texts are None, first line 2; {remedy}"),
    ):
        lines = [f"{text},{i % 5}\n" for i, text in enumerate(texts * 4)]
        (tmp_path / "a.csv").write_text("text,y\n" + "".join(lines))
        run = DataOptions(data=str(tmp_path / "a.csv"), target_column=("y",))
        spec = load(tmp_path / "a.csv").spec
        for known in (None, spec):  # of a fit, and of texts that a run is evaluated on
            caplog.clear()
            corpus = load_corpus(run, known)
            assert [record.getMessage() for record in caplog.records] == [f"{tmp_path / 'a.csv'}: {said}"]
        assert sum(map(len, (corpus.train, corpus.dev, corpus.test))) == 20
        assert load_corpus(replace(run, cache=str(tmp_path / "cache"))).train
        assert caplog.records[-1].getMessage() == f"{tmp_path / 'a.csv'}: {said}"


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


def test_targets_of_a_run_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,y,z\na,1,2\n", encoding="utf-8")
    spec = TargetSpec("regression", ("y", "z"), ((0.0, 5.0),) * 2)
    with pytest.raises(ConfigError, match="--target-column: the run predicts y, z, in this order; name them in it"):
        load(path, "z", "y", spec=spec)
