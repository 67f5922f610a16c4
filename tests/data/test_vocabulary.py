"""Words and their numbers; a saved list comes back, a damaged one is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from pyro_rationale.errors import RunError


def documents(*texts: str) -> list[Document]:
    return [Document(f"row {i}", text, tuple(text.split()), ()) for i, text in enumerate(texts)]


def test_frequent_words_first_and_ties_in_alphabetical_order() -> None:
    vocabulary = Vocabulary.build(documents("b a a c", "c b a d", "e"))
    assert vocabulary.words == ("<pad>", "<unk>", "a", "b", "c")
    assert len(vocabulary) == 5
    assert "d" not in vocabulary
    assert "b" in vocabulary
    assert vocabulary.encode(("c", "d", "a")) == [4, UNKNOWN, 2]


def test_the_order_of_documents_does_not_matter() -> None:
    texts = ["z y x", "x y", "w w z"]
    assert Vocabulary.build(documents(*texts)) == Vocabulary.build(documents(*reversed(texts)))


@pytest.mark.parametrize(("size", "kept"), [(None, 4), (5, 3), (3, 1), (2, 0), (0, 0)])
def test_largest_size_counts_the_special_words(size: int | None, kept: int) -> None:
    assert len(Vocabulary.build(documents("a a b b c c d d"), max_size=size)) == 2 + kept


def test_further_words_leave_numbers_as_they_are() -> None:
    vocabulary = Vocabulary(["b", "a"])
    more = vocabulary.extended(["c", "a", "", "<unk>", "d", "c"])
    assert more.words == ("<pad>", "<unk>", "b", "a", "c", "d")
    assert vocabulary.extended(["c", "d"], max_size=5).words[2:] == ("b", "a", "c")
    assert vocabulary.extended(["c", "d"], max_size=3) == vocabulary
    assert more.unknown_of(("x", "a", "y", "x", "d")) == ("x", "y")


def test_coverage_counts_running_words() -> None:
    documents = [Document("a", "", ("good", "good", "xyzzy"), ()), Document("b", "", ("<pad>",), ())]
    assert Vocabulary(["good", "bad"]).coverage(documents) == 0.5
    assert Vocabulary(["good"]).coverage([]) == 1.0


def test_no_text_can_write_padding() -> None:
    vocabulary = Vocabulary.build(documents("<pad> <unk> <pad> <unk> a a"), min_count=1)
    assert vocabulary.words == ("<pad>", "<unk>", "a")
    assert vocabulary.encode(("<pad>", "<unk>", "a")) == [UNKNOWN, UNKNOWN, 2]
    assert PADDING not in vocabulary.encode(("<pad>", "", "\0"))


@pytest.mark.parametrize("words", [["a", "a"], ["<pad>"], ["<unk>"], [""]])
def test_impossible_word_lists_are_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="distinct"):
        Vocabulary(words)


def test_a_saved_vocabulary_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    strange = ["caf\u00e9", "\u2028", 'say "x"', "\\", "\ud800", "<b>", "a b"]
    saved = Vocabulary(strange)
    saved.save(path)
    assert Vocabulary.load(path) == saved
    assert [p.name for p in tmp_path.iterdir()] == ["vocabulary.json"]


def test_saving_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary(["a"]).save(path)
    Vocabulary(["b"]).save(path)
    assert Vocabulary.load(path).words[2:] == ("b",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format": "another 2", "words": []}',
        b'{"words": ["a"]}',
        json.dumps({"format": "pyro_rationale vocabulary 1"}).encode(),
        json.dumps({"format": "pyro_rationale vocabulary 1", "words": "abc"}).encode(),
        json.dumps({"format": "pyro_rationale vocabulary 1", "words": ["a", 1]}).encode(),
        json.dumps({"format": "pyro_rationale vocabulary 1", "words": ["a", "a"]}).encode(),
    ],
)
def test_a_damaged_file_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(RunError) as error:
        Vocabulary.load(path)
    assert str(path) in str(error.value)
    assert "fit again" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_half_written_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary(["a", "b", "c"]).save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError):
            Vocabulary.load(path)


def test_a_missing_file_is_a_run_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none\.json: no such file; is this a run folder"):
        Vocabulary.load(tmp_path / "none.json")
