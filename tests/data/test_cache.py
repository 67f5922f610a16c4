"""Corpora kept as Arrow files: the same documents, splits, words, copies and batches as in memory; made once."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import pickle
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pyro_rationale.build import target_summary
from pyro_rationale.cli.prepare import prepare
from pyro_rationale.data import BucketedBatches, Corpus, DataOptions, Vocabulary, load_corpus
from pyro_rationale.data import duplicates as leaks
from pyro_rationale.data.batching import encode_batch
from pyro_rationale.data.cache.arrow import ArrowFile, Damaged, write_arrow
from pyro_rationale.data.cache.columns import pack
from pyro_rationale.data.cache.dataset import ArrowDocuments
from pyro_rationale.data.document import Document
from pyro_rationale.data.duplicates import summary
from pyro_rationale.data.vectors import WordVectors
from pyro_rationale.data.word_classes import Exclusion
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.optional import install_command

pytest.importorskip("pyarrow")

ROWS = [
    {"text": "The soup came cold; nobody minded!", "food": "3", "staff": "4.5"},
    {"text": "Don't go -- it's “awful”… <br /> really", "food": "1", "staff": ""},
    {"text": "the soup came cold nobody minded", "food": "4", "staff": "4"},
    {"text": "naïve ☃ 寿司 !!!", "food": "5", "staff": "2"},
    *({"text": f"row {i} was {'good' if i % 2 else 'bad'} , very", "food": str(1 + i % 5), "staff": "3"}
      for i in range(40)),
]  # fmt: skip


def mapped(options: DataOptions, folder: Path) -> Corpus:
    return load_corpus(replace(options, cache=str(folder / "cache")))


def batches(corpus: Corpus, epoch: int = 1) -> list[dict[str, Any]]:
    vocabulary = Vocabulary.build(corpus.train)
    vocabulary.excluded = Exclusion(punctuation=True, words=frozenset(["the", "was", "do"]), written_words=True)
    made = BucketedBatches(corpus.train, vocabulary, corpus.spec, 7, seed=3)
    return [{item.name: getattr(batch, item.name) for item in fields(batch)} for batch in made.epoch(epoch)]


def assert_same(held: Corpus, mapped: Corpus) -> None:
    """Everything that a fit asks of a corpus."""
    assert isinstance(mapped.train, ArrowDocuments)
    assert (held.spec, held.leaks, held.noise_floor) == (mapped.spec, mapped.leaks, mapped.noise_floor)
    for split in ("train", "dev", "test"):
        assert repr(list(getattr(held, split))) == repr(list(getattr(mapped, split)))  # NaN is not equal to itself
    assert Vocabulary.build(held.train) == Vocabulary.build(mapped.train)
    assert target_summary(held.train, held.spec) == target_summary(mapped.train, mapped.spec)
    for one, other in zip(batches(held), batches(mapped), strict=True):
        for name, value in one.items():
            found = other[name]
            assert value is found or torch.equal(value.nan_to_num(-1), found.nan_to_num(-1)), name


def written(folder: Path, kind: str, rows: Sequence[dict[str, Any]] = ROWS) -> Path:
    """The rows as a file of some kind."""
    path = folder / f"reviews.{kind}"
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif kind.startswith("jsonl"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "jsonl.gz", "parquet"])
def test_a_table_is_the_same_from_disk(kind: str, tmp_path: Path) -> None:
    options = DataOptions(data=str(written(tmp_path, kind)), target_column=("food", "staff"), max_words=6)
    held = load_corpus(options)
    for _ in range(2):  # made, then found
        assert_same(held, mapped(options, tmp_path))
    assert len(list((tmp_path / "cache").glob("[!.]*"))) == 2


def test_classes_gold_and_several_annotators_are_the_same_from_disk(tmp_path: Path) -> None:
    rows = [
        {"text": "one two three four".split(), "tone": tone, "rationale": [[0, 1 + i % 3]], "rationales": maps}
        for i, (tone, maps) in enumerate([("bad", None), ("fair", None), ("good", [[[0, 1]], [[0, 2]], [[3, 4]]])] * 8)
    ]
    options = DataOptions(data=str(written(tmp_path, "jsonl", rows)), target_column=("tone",))
    corpus = mapped(options, tmp_path)
    assert_same(load_corpus(options), corpus)
    assert sum(document.maps is not None for document in corpus.train) > 3
    assert isinstance(corpus.train, ArrowDocuments)
    assert all(d.gold is None and d.maps is None and d.targets == () for d in corpus.train.unlabelled())
    of_a_run = DataOptions(data=options.data, cache=str(tmp_path / "cache"))
    assert repr(list(load_corpus(of_a_run, corpus.spec).dev)) == repr(list(corpus.dev))


def test_a_text_without_words_has_one_flag_from_disk_as_in_memory(tmp_path: Path) -> None:
    """It is read as one unknown word."""
    documents = [Document(f"{i}", "", (), (), (float(i),), gold=(), opinion=()) for i in range(2)]
    write_arrow(tmp_path / "empty.arrow", [pack(documents)], {})
    from_disk = ArrowDocuments(ArrowFile(tmp_path / "empty.arrow"), np.arange(2), np.array([[0.0], [1.0]]))
    vocabulary = Vocabulary.build([Document("", "a", ("a",), ((0, 1),))])
    vocabulary.excluded = Exclusion(punctuation=True)
    spec = load_corpus(DataOptions(documents=20)).spec
    one, other = (next(BucketedBatches(some, vocabulary, spec, 2).epoch(0)) for some in (documents, from_disk))
    for item in ("tokens", "gold", "opinion", "excluded"):
        assert getattr(one, item).shape == getattr(other, item).shape == (2, 1), item
        assert torch.equal(getattr(one, item), getattr(other, item)), item


def test_files_of_their_own_for_dev_and_test(tmp_path: Path) -> None:
    whole, part = written(tmp_path, "csv"), written(tmp_path, "jsonl", ROWS[:12])
    for dev, test in ((str(part), None), (None, str(part)), (str(part), str(part))):
        options = DataOptions(data=str(whole), dev_data=dev, test_data=test, target_column=("food",))
        assert_same(load_corpus(options), mapped(options, tmp_path))


def test_unrated_documents_are_one_stratum_on_disk_too(tmp_path: Path) -> None:
    """The split keeps the shares of each class; NaN, which equals nothing, must not make a class of each document."""
    rows = [{"text": f"row {i}", "a": "" if i % 3 else str(i % 2), "b": str(i // 2 % 2)} for i in range(60)]
    options = DataOptions(data=str(written(tmp_path, "csv", rows)), target_column=("a", "b"))
    held = load_corpus(options)
    assert held.spec.kind == "binary"
    assert_same(held, mapped(options, tmp_path))
    assert (len(held.train), len(held.dev), len(held.test)) == (48, 6, 6)


@pytest.mark.parametrize("aspect", [None, "all"])
def test_planted_reviews_are_the_same_from_disk(aspect: str | None, tmp_path: Path) -> None:
    options = DataOptions(documents=60, aspect=aspect, max_words=80)
    assert_same(load_corpus(options), mapped(options, tmp_path))


def test_any_number_of_processes_writes_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_rationale.data.cache.build.CHUNK", 9)
    options = DataOptions(data=str(written(tmp_path, "csv")), target_column=("food",))
    one, two = (mapped(replace(options, workers=n), tmp_path / str(n)) for n in (1, 2))
    assert_same(load_corpus(options), two)
    assert isinstance(one.train, ArrowDocuments)
    assert isinstance(two.train, ArrowDocuments)
    assert one.train.file.spellings == two.train.file.spellings
    assert len(two.train.file.bounds) == 6  # 44 rows, 9 to a batch
    with pytest.raises(ConfigError, match="--workers: expected at least 1"):
        mapped(replace(options, workers=0), tmp_path)


def test_slices_positions_and_pickles(tmp_path: Path) -> None:
    documents = mapped(DataOptions(documents=20), tmp_path).train
    assert isinstance(documents, ArrowDocuments)
    whole = list(documents)
    assert documents[-1] == whole[19]
    assert list(documents[3:9:2]) == whole[3:9:2]
    assert list(documents[::-1]) == whole[::-1]
    assert list(documents.taken(np.array([7, 7, 0]))) == [whole[7], whole[7], whole[0]]
    assert list(pickle.loads(pickle.dumps(documents))) == whole
    with pytest.raises(IndexError):
        documents[20]
    vocabulary = Vocabulary.build(whole)
    spec = mapped(DataOptions(documents=20), tmp_path).spec
    one, other = (encode_batch(some, vocabulary, spec) for some in (documents[:4], whole[:4]))
    assert torch.equal(one.tokens, other.tokens)
    known = torch.arange(len(vocabulary)) % 3 == 0
    vectors = WordVectors(torch.zeros(len(vocabulary), 1), known, 0.0)
    running = [known[i] for document in whole for i in vocabulary.encode(document.tokens)]
    assert vectors.token_coverage(documents, vocabulary) == pytest.approx(sum(map(float, running)) / len(running))


Change = Callable[[Path, Path], None]


def _touch(source: Path, arrow: Path) -> None:
    source.write_text(source.read_text() + "another row entirely,2,2\n")


def _cut(source: Path, arrow: Path) -> None:
    arrow.write_bytes(arrow.read_bytes()[:-40])


def _same_size(source: Path, arrow: Path) -> None:
    arrow.write_bytes(bytes(arrow.stat().st_size))


def _half_json(source: Path, arrow: Path) -> None:
    facts = arrow.with_suffix(".json")
    facts.write_text(facts.read_text()[:100])


def _another(source: Path, arrow: Path) -> None:
    facts = json.loads(arrow.with_suffix(".json").read_text())
    arrow.with_suffix(".json").write_text(json.dumps(facts | {"stamp": "of another file"}))


def _old(source: Path, arrow: Path) -> None:
    facts = json.loads(arrow.with_suffix(".json").read_text())
    arrow.with_suffix(".json").write_text(json.dumps(facts | {"format": 0}))


def _spelling(source: Path, arrow: Path) -> None:
    facts = arrow.with_suffix(".json")
    facts.write_text(facts.read_text().replace('"soup"', '"soap"'))


def _nested(source: Path, arrow: Path) -> None:
    arrow.with_suffix(".json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_touch, "its source has changed since"),
        (_cut, "damaged (of "),
        (_same_size, "damaged ("),
        (_half_json, "damaged (its JSON file is unreadable"),
        (_another, "damaged (its JSON file differs from what was written"),
        (_spelling, "damaged (its JSON file differs from what was written"),
        (_nested, "damaged (its JSON file is unreadable"),
        (_old, "damaged (of format 0, not 2"),
    ],
)
def test_what_does_not_match_is_said_in_a_line_and_made_again(
    change: Change, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = DataOptions(data=str(written(tmp_path, "csv")), target_column=("food", "staff"))
    with caplog.at_level(logging.WARNING):
        mapped(options, tmp_path)
        assert not caplog.messages
        (arrow,) = (tmp_path / "cache").glob("*.arrow")
        change(Path(options.data), arrow)
        assert_same(load_corpus(options), mapped(options, tmp_path))
        assert len(caplog.messages) == 1
        assert said in caplog.messages[0]
        assert caplog.messages[0].startswith(f"{arrow}: ")
        mapped(options, tmp_path)
    assert len(caplog.messages) == 1


def test_one_changed_bit_anywhere_is_found_before_anything_is_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether `prepare` or `fit` opens the file; offsets of lists were once followed first, into nowhere."""
    options = DataOptions(data=str(written(tmp_path, "csv")), target_column=("food", "staff"))
    held = load_corpus(options)
    mapped(options, tmp_path)
    (arrow,) = (tmp_path / "cache").glob("*.arrow")
    random = np.random.default_rng(0)
    for path in (arrow, arrow.with_suffix(".json")):
        for _ in range(12):
            content = bytearray(path.read_bytes())
            place = int(random.integers(8 * len(content) - 8))  # but not the end of the line of the JSON file
            content[place // 8] ^= 1 << place % 8
            path.write_bytes(content)
            with pytest.raises(Damaged):
                ArrowFile(arrow)
            caplog.clear()
            assert_same(held, mapped(options, tmp_path))
            assert [message.partition(" (")[0] for message in caplog.messages] == [f"{arrow}: damaged"]
    flags = ["--data", options.data, "--target-column", "food", "--target-column", "staff"]
    arrow.write_bytes(arrow.read_bytes()[::-1])
    caplog.clear()
    assert CliRunner().invoke(prepare, [*flags, "--cache", str(tmp_path / "cache")]).exit_code == 0
    assert caplog.messages == [f"{arrow}: damaged (of another checksum than when it was written); making it again"]
    assert_same(held, mapped(options, tmp_path))


def test_a_file_that_another_process_replaces_goes_on_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyro_rationale.data.cache.arrow._CHUNKS", 1)  # maps it anew for each record batch
    monkeypatch.setattr("pyro_rationale.data.cache.build.CHUNK", 9)
    options = DataOptions(data=str(written(tmp_path, "csv")), target_column=("food",))
    documents = mapped(options, tmp_path).train
    before, pickled = list(documents), pickle.dumps(documents)
    written(tmp_path, "csv", [{**row, "text": f"not {row['text']}"} for row in ROWS])
    assert list(mapped(options, tmp_path).train) != before
    assert list(documents) == before
    with pytest.raises(DataError, match="replaced by another process meanwhile; start again"):
        pickle.loads(pickled)


def test_words_that_the_file_does_not_have_are_one_line(tmp_path: Path) -> None:
    documents = mapped(DataOptions(documents=20), tmp_path).train
    assert isinstance(documents, ArrowDocuments)
    documents.file.spellings = documents.file.spellings[:3]
    questions: list[Callable[[], object]] = [lambda: documents[0], documents.count_words]
    for ask in (*questions, lambda: documents.encode(0, np.arange(3))):
        with pytest.raises(DataError, match=r"\.arrow: damaged .*; delete it"):
            ask()


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*rest: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_rationale.data.corpora.synthetic.pack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mapped(DataOptions(documents=20), tmp_path)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_faulty_rows_stop_it_or_are_left_out_and_counted_at_every_load(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [*ROWS[:20], {"text": " ", "food": "3", "staff": "3"}, {"text": "so so", "food": "lots", "staff": "3"}]
    options = DataOptions(data=str(written(tmp_path, "csv", [*rows, *ROWS[20:]])), target_column=("food", "staff"))
    for load in (load_corpus, lambda o: mapped(o, tmp_path)):
        with pytest.raises(DataError, match="line 22: the text in 'text' is empty; mend the row"):
            load(options)
    skipping = replace(options, skip_bad_rows=True)
    with caplog.at_level(logging.WARNING):
        held = load_corpus(skipping)
        for _ in range(2):
            assert_same(held, mapped(skipping, tmp_path))
    first, other = "line 22: the text in 'text' is empty", "line 23: 'food' is 'lots', not a number"
    assert caplog.messages == [f"{options.data}: left out 2 of 46 rows, first {first}; 1 like {other}"] * 3
    with pytest.raises(DataError, match="line 22: the text in 'text' is empty; mend the row"):
        mapped(options, tmp_path)  # made already, with rows left out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_column": ("fod",)}, "has no column 'fod'.*--target-column food"),
        ({}, "name a column with --target-column"),
        ({"target_column": ("text",)}, "text is the column of the texts"),
        ({"target_column": ("food", "food")}, "names food twice"),
        ({"target_column": ("food",), "text_column": "void"}, "'void' is empty in all 44 rows.*--text-column"),
        ({"target_column": ("void",)}, "'void' is empty in all 44 rows.*--target-column"),
        ({"target_column": ("void", "blank")}, "'void', 'blank' are empty in all 44 rows.*--target-column"),
        ({"target_column": ("food",), "task": "binary"}, "binary has two"),
        ({"data": "nowhere.csv", "target_column": ("food",)}, "nowhere.csv: no such file"),
    ],
)
def test_mistakes_are_the_same_lines_as_in_memory(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows = [{**row, "void": " ", "blank": ""} for row in ROWS]
    asked = replace(DataOptions(data=str(written(tmp_path, "csv", rows))), **options)
    errors = []
    for load in (load_corpus, lambda o: mapped(o, tmp_path)):
        with pytest.raises((DataError, ConfigError), match=message) as problem:
            load(asked)
        errors.append((type(problem.value), str(problem.value)))
    assert errors[0] == errors[1]


def test_among_very_many_documents_only_exact_copies_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = "the waiter came and the soup was cold and the bread was old and we left"
    alike = [{"text": f"{near} {i % 3}", "food": "2", "staff": "2"} for i in range(9)]
    rows = [*ROWS, {**ROWS[4], "food": "5"}, *alike]
    options = DataOptions(data=str(written(tmp_path, "csv", rows)), target_column=("food",))
    everything = load_corpus(options).leaks
    monkeypatch.setattr(leaks, "MOST", 30)
    held, found = load_corpus(options), mapped(options, tmp_path)
    assert everything is not None
    assert held.leaks is not None
    assert held.leaks == found.leaks
    assert not held.leaks.near
    assert everything.near
    assert everything.train.near + everything.test.near + everything.dev.near > 0
    assert held.leaks.train.exact == everything.train.exact > 0
    assert held.leaks.train.near == 0
    assert "near copies are not looked for among more than 30 documents" in summary(found)
    dropping = replace(options, drop_leaks=True)
    assert_same(load_corpus(dropping), mapped(dropping, tmp_path))


def test_prepare_says_what_is_there(tmp_path: Path) -> None:
    flags = ["--documents", "20", "--cache", str(tmp_path)]
    for _ in range(2):
        found = CliRunner().invoke(prepare, flags)
        assert found.exit_code == 0, found.output
        assert "synthetic" in found.output
        assert "copies: none" in found.output
    for words, message in ((flags[:2], "--cache: name the folder"), (["--data", "beer:x", *flags], "no such file")):
        problem = CliRunner().invoke(prepare, words).exception
        assert isinstance(problem, (ConfigError, DataError))
        assert message in str(problem)


def test_a_library_that_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=f"--cache: Arrow files need pyarrow; {re.escape(install_command('parquet'))}"):
        mapped(DataOptions(documents=20), tmp_path)


def _load(options: DataOptions) -> int:
    return len(load_corpus(options).train)


def test_of_several_processes_one_makes_it_and_leftovers_go(tmp_path: Path) -> None:
    options = DataOptions(documents=300, cache=str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    with ProcessPoolExecutor(3, get_context("forkserver")) as pool:
        assert list(pool.map(_load, [options] * 3)) == [300] * 3
    (arrow,) = (tmp_path / "cache").glob("*.arrow")
    stamp, left = json.loads(arrow.with_suffix(".json").read_text())["stamp"], arrow.with_name(f".{arrow.name}.killed")
    left.touch()
    mapped(options, tmp_path)
    assert json.loads(arrow.with_suffix(".json").read_text())["stamp"] == stamp
    assert left.exists()  # perhaps somebody's work in progress
    arrow.unlink()
    mapped(options, tmp_path)
    assert not left.exists()
