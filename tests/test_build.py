"""The words that networks know: frequent ones of the training texts, and those whose given vectors stay as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pyro_rationale import build
from pyro_rationale.build import build_vocabulary
from pyro_rationale.config import ModelOptions
from pyro_rationale.data.cache.dataset import count_words
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.errors import DataError

DOCUMENTS = [make_document(text, text) for text in ("good beer , good", "rare beer", "unheard good beer")]


def options(size: int = 100, frozen: bool = True, source: str | None = None) -> ModelOptions:
    return replace(ModelOptions(), vocabulary=size, freeze_vectors=frozen, vectors=source)


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "vectors.txt"
    path.write_text("the 1 2\nGOOD 1 2\nparis 1 2\nrare 1 2\nthe 3 4\n")
    return str(path)


def words(given: ModelOptions) -> list[str]:
    return list(build_vocabulary(given, DOCUMENTS).words[2:])


def test_frozen_vectors_make_rare_words_known_and_words_to_come(source: str) -> None:
    assert words(options(source=source)) == ["beer", "good", "rare", "the", "paris"]
    assert words(options(5, source=source)) == ["beer", "good", "rare"]
    assert words(options(4, source=source)) == ["beer", "good"]


def test_few_texts_make_few_words_of_a_list_known(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transformer reads each of them, which would take longer than to fit the texts."""
    (path := Path(source)).write_text("".join(f"{word} 1 2\n" for word in ("the", "rare", *"abcd")))
    assert words(options(source=source)) == ["beer", "good", "rare", "the", *"abcd"]
    monkeypatch.setattr(build, "TO_COME", 1)
    assert words(options(source=str(path))) == ["beer", "good", "rare", "the", "a"]


def test_training_words_are_counted_once(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    def count(documents: Sequence[Document]) -> Counter[str]:
        counted.append(len(documents))
        return count_words(documents)

    for place in ("build", "data.vocabulary"):
        monkeypatch.setattr(f"pyro_rationale.{place}.count_words", count, raising=False)
    assert words(options(source=source)) == ["beer", "good", "rare", "the", "paris"]
    assert counted == [len(DOCUMENTS)]


def test_vectors_that_are_trained_know_words_of_training_alone(source: str) -> None:
    assert words(options(frozen=False, source=source)) == ["beer", "good"]
    assert words(options(frozen=False)) == ["beer", "good"]


def test_a_transformer_reads_every_word_of_the_texts(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(build, "is_transformer", lambda name: name == "minilm")
    assert words(options(source="minilm")) == ["beer", "good", ",", "rare", "unheard"]
    assert words(options(source=f"{source}+minilm")) == ["beer", "good", ",", "rare", "unheard", "the", "paris"]


def test_a_source_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"a\0b")
    with pytest.raises(DataError, match=r"binary, line 1: not a text file of word vectors"):
        build_vocabulary(options(source=str(tmp_path / "binary")), DOCUMENTS)
    with pytest.raises(DataError, match="none"):
        build_vocabulary(options(source=str(tmp_path / "none")), DOCUMENTS)
