"""Tables by path: what their columns are taken for. Those that cannot be used: test_bad_tables.py."""

from __future__ import annotations

import gzip
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import Corpus, DataOptions, Document, load_corpus
from pyro_rationale.data.corpus import TargetSpec

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
    assert corpus.spec == TargetSpec("regression", ("y",), ((1.0, 5.0),))
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


def test_several_binary_aspects(tmp_path: Path) -> None:
    rows = [(f"text {i}", str(i % 2), str(i // 2 % 2)) for i in range(20)]
    spec = load(write(tmp_path / "a.csv", rows, ("text", "a", "b")), "a", "b").spec
    assert spec == TargetSpec("binary", ("a", "b"), classes=("0", "1"))


def test_formats_agree(tmp_path: Path) -> None:
    """The same rows from every format, compressed or not, are the same documents."""
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


def test_cutting_early_and_late_give_the_same_words(tmp_path: Path) -> None:
    from pyro_rationale.data.document import make_document
    from pyro_rationale.data.tokenizers.words import tokenize

    text = " ".join(f"don't stop-{i} at antidisestablishmentarianism's door..." for i in range(300))
    tokens, offsets = tokenize(text)
    for count in (1, 2, 3, 10, 101, 10_000):
        document = make_document("a", text, (), count)
        assert (document.tokens, document.offsets) == (tokens[:count], offsets[:count])


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
