"""Words that rationales are not about, and how batches say which they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pyro_rationale.data import Vocabulary, encode_batch, make_document
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import joined
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.data.vocabulary import UNKNOWN
from pyro_rationale.data.word_classes import Exclusion, is_punctuation, parse_classes
from pyro_rationale.errors import ConfigError, RunError

SPEC = TargetSpec("regression", ("y",), ((0.0, 1.0),))
PLAIN = Exclusion(punctuation=True, words=frozenset(["the", "'s"]))


def test_punctuation_is_what_unicode_calls_so() -> None:
    assert all(map(is_punctuation, [".", "!!!", "…", "--", "«", "、", "¿", "_", "%"]))
    assert not any(map(is_punctuation, ["", "a.", "5", "😀", "$", "+", "n't"]))


def test_stop_words_spare_what_can_be_evidence() -> None:
    pytest.importorskip("sklearn")
    excluded = Exclusion.of(["stopwords"])
    words = ["The", "room", "was", "n't", "very", "clean", ",", "it", "'s", "not", "without", "and"]
    assert [w for w, out in zip(words, excluded(words), strict=True) if out] == ["The", "was", "it", "'s", "and"]
    assert Exclusion.of(["punctuation"])([",", "the"]) == [1, 0]
    assert Exclusion.of(["punctuation", "stopwords"])([",", "the"]) == [1, 1]


def test_marks_that_end_a_sentence_are_barriers() -> None:
    excluded = Exclusion.of(["sentence-ends", "punctuation"])
    assert excluded(["Good", ",", "cheap", ".", "...", "!", "\u3002", "-"]) == [0, 1, 0, 2, 2, 2, 2, 1]
    assert Exclusion.of(["sentence-ends"])([",", "?"]) == [0, 2]


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("It 's not easy to have space", [1, 1, 4, 3, 1, 1, 0]),
        ("It was n't a very good seat", [1, 1, 4, 1, 1, 3, 0]),
        ("is n't too bad but small", [1, 4, 1, 3, 1, 0]),
        ("never really very clean", [4, 1, 1, 3]),
        ("not very .", [4, 3, 2]),  # about nothing else
        ("very good , really", [0, 0, 1, 0]),
        ("No legroom", [4, 3]),
        ("I think not . Good", [1, 0, 0, 2, 0]),  # about nothing
        ("not", [0]),
        ("no , no , great", [0, 1, 4, 1, 3]),
        ("not in the , of seat", [0, 1, 1, 1, 1, 0]),  # too far away
    ],
)
def test_a_negation_is_about_the_next_word_that_says_something(words: str, kinds: list[int]) -> None:
    pytest.importorskip("sklearn")
    excluded = Exclusion.of(["punctuation", "stopwords", "sentence-ends", "cut-negations"])
    assert excluded(words.split()) == kinds


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("full-length seats", [4, 1, 3, 0]),
        ("They didn't serve food", [1, 4, 5, 3, 0]),  # "didn't serve" or more, never "n't serve"
        ("I think they didn't.", [1, 0, 1, 4, 3, 2]),
        ("not in-depth", [4, 5, 1, 3]),  # neither "in-depth" nor "not in"
        ("the staff's lounge", [1, 4, 3, 0]),
        ("it's we'll", [1, 1, 1, 1]),  # says nothing
        ("hours - looks", [0, 1, 0]),  # a dash
        ("a self-service-desk -", [1, 4, 1, 5, 1, 3, 1]),
        ("good,bad food/drink fast--cheap", [0, 1, 0, 0, 1, 0, 0, 1, 0]),  # words that merely touch
        ("\u83dc\u5f88\u597d\u3002", None),  # no white space in this script
        ("-good- n't", [1, 0, 1, 0]),
        ("", []),
    ],
)
def test_what_is_written_as_one_word_is_not_cut(text: str, kinds: list[int] | None) -> None:
    pytest.importorskip("sklearn")
    classes = ["punctuation", "stopwords", "sentence-ends", "cut-negations"]
    before, excluded = Exclusion.of(classes), Exclusion.of([*classes, "cut-words"])
    document = make_document("a", text)
    found = excluded(document.tokens, joined(document.offsets))
    assert found == (before(document.tokens) if kinds is None else kinds)
    assert excluded(document.tokens) == before(document.tokens)  # nothing is known of white space


def test_names_of_classes() -> None:
    assert parse_classes("punctuation, stopwords") == ("punctuation", "stopwords")
    assert parse_classes("none") == ()
    message = r"^--exclude: expected one of punctuation, stopwords, sentence-ends, cut-negations, cut-words, none, got"
    for bad in ("", "stopword", "punctuation,,", "none,stopwords"):
        with pytest.raises(ConfigError, match=message):
            parse_classes(bad)


def test_a_batch_says_which_words_are_excluded() -> None:
    documents = [make_document("a", "The soup's off!!", (0.5,)), make_document("b", "", (0.5,))]
    batch = encode_batch(documents, Vocabulary(["soup"], PLAIN), SPEC)
    assert batch.excluded is not None
    assert documents[0].tokens == ("the", "soup", "'s", "off", "!")
    torch.testing.assert_close(batch.excluded, torch.tensor([[1, 0, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.uint8))
    assert int(batch.tokens[1, 0]) == UNKNOWN
    assert encode_batch(documents, Vocabulary(["soup"]), SPEC).excluded is None


def test_a_vocabulary_keeps_its_exclusion(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    classes = Exclusion(punctuation=True, sentence_ends=True), Exclusion(negations=True), Exclusion(written_words=True)
    for exclusion in (PLAIN, *classes):
        Vocabulary(["soup"], exclusion).save(path)
        assert Vocabulary.load(path).excluded == exclusion
    Vocabulary(["soup"], PLAIN).save(path)
    older = path.read_text().replace('"sentence_ends": false', '"other": 0')  # of before there were such classes
    for later in ("negations", "written_words"):
        older = older.replace(f'"{later}": false', f'"not {later}": 0')
    path.write_text(older)
    assert Vocabulary.load(path).excluded == PLAIN
    assert OpenVocabulary.of(Vocabulary.load(path)).excluded == PLAIN
    Vocabulary(["soup"]).save(path)
    assert Vocabulary.load(path).excluded is None
    path.write_text('{"format": "pyro_rationale vocabulary 1", "words": ["soup"], "excluded": {"words": 3}}')
    with pytest.raises(RunError, match="damaged"):
        Vocabulary.load(path)
