"""Digests of rows: what changes them, and that Arrow files have those of the corpus in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.data.document import make_document
from pyro_rationale.data.row_digests import row_digests
from tests.support.planted_pairs import linked_pairs
from tests.support.small_fit import table

ROWS = [f"the {word} room was quiet,{i % 5}" for i, word in enumerate("abcdefghijklmnop")]


def digests(path: Path, rows: list[str], **options: Any) -> dict[str, str]:
    where = DataOptions(data=str(table(path, "text,y", rows)), target_column=("y",))
    return row_digests(load_corpus(replace(where, **options)))


@pytest.mark.parametrize(
    ("old", "new"), [(",1", ",2"), ("the b room", "b the room"), ("quiet", "quite"), ("a room", "A room")]
)
def test_a_changed_row_is_noticed(tmp_path: Path, old: str, new: str) -> None:
    rows = list(ROWS)
    before = digests(tmp_path / "a.csv", rows)
    assert digests(tmp_path / "b.csv", rows) == before
    place = next(i for i, row in enumerate(rows) if old in row)
    rows[place] = rows[place].replace(old, new)
    after = digests(tmp_path / "b.csv", rows)
    assert len([split for split in before if before[split] != after[split]]) == 1


def test_only_the_split_that_matters_is_hashed(tmp_path: Path) -> None:
    corpus = load_corpus(DataOptions(documents=8))
    assert row_digests(corpus, ["dev"]) == {"dev": row_digests(corpus)["dev"]}
    assert row_digests(replace(corpus, dev=corpus.dev[::-1]), ["dev"]) != row_digests(corpus, ["dev"])


def test_gold_rationales_and_targets_count() -> None:
    corpus = load_corpus(DataOptions(documents=8))
    first, *others = corpus.train
    assert first.gold is not None
    before = row_digests(corpus)["train"]
    for other in (replace(first, gold=first.gold[::-1]), replace(first, gold=None), replace(first, targets=(0.123,))):
        assert row_digests(replace(corpus, train=(other, *others)))["train"] != before


@pytest.mark.parametrize("data", ["synthetic", "table"])
def test_arrow_files_have_those_of_the_corpus_in_memory(tmp_path: Path, data: str) -> None:
    pytest.importorskip("pyarrow")
    options = DataOptions(documents=12)
    if data == "table":
        rows = [
            {"text": f"the {word} room", "y": i % 3, "rationale": [[0, 3]] if i % 2 else None}
            for i, word in enumerate("abcdefghijklmnop")
        ]
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        options = DataOptions(data=str(tmp_path / "a.jsonl"), target_column=("y",))
    cached = load_corpus(replace(options, cache=str(tmp_path / "cache")))
    assert row_digests(cached) == row_digests(load_corpus(options))


def test_a_changed_pair_is_noticed_though_the_texts_are_the_same() -> None:
    documents = [make_document(f"d{i}", f"question {i}") for i in range(40)]
    links = [(2 * i, 2 * i + 1) for i in range(20)]
    before = row_digests(linked_pairs(documents, links))
    assert row_digests(linked_pairs(documents, links)) == before
    first = linked_pairs(documents, links).queries["train"][0]
    turned = [(b, a) if a == first.document else (a, b) for a, b in links]
    after = row_digests(linked_pairs(documents, turned))
    assert [split for split in before if after[split] != before[split]] == ["train"]
