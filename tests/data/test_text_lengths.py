"""How much of each text is read, where nobody says."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pyro_rationale.data import Corpus, DataOptions, load_corpus
from pyro_rationale.data.document import make_document
from pyro_rationale.data.text_lengths import cut_to, fitting_length
from pyro_rationale.tasks import TargetSpec

SPEC = TargetSpec("regression", ("y",), ranges=((0.0, 1.0),))


def corpus(*lengths: int) -> Corpus:
    gold = ["1 " * n for n in lengths]
    documents = [
        make_document(str(i), "word " * n, (0.5,), rationales=[marks, marks])
        for i, (n, marks) in enumerate(zip(lengths, gold, strict=True))
    ]
    return Corpus("mine", SPEC, documents, (), ())


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [((), 256), ((10, 20), 256), ((256,), 256), ((269,), 256), ((270,), 320), ((1000,) * 3, 960), ((3000,), 1024)],
)
def test_at_most_a_twentieth_of_all_words_is_cut_off(lengths: tuple[int, ...], expected: int) -> None:
    whole = corpus(*lengths)
    assert fitting_length(whole) == expected
    kept = [len(document.tokens) for document in cut_to(whole, expected).train]
    assert kept == [min(n, expected) for n in lengths]
    if expected < 1024:
        assert sum(kept) >= 0.95 * sum(lengths)


def test_flags_are_cut_with_their_words() -> None:
    document = cut_to(corpus(300), 256).train[0]
    assert document.gold is not None
    assert document.maps is not None
    assert {len(part) for part in (document.tokens, document.offsets, document.gold, *document.maps)} == {256}


def table(path: Path, words: int) -> Path:
    rows = [f"{'word ' * words}{i},{i % 5}" for i in range(30)]
    path.write_text("\n".join(["text,y", *rows, "a,"]) + "\n")
    return path


@pytest.mark.parametrize("words", [20, 400, 2000])
@pytest.mark.parametrize("cache", [False, True])
def test_a_table(words: int, cache: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = DataOptions(
        data=str(table(tmp_path / "a.csv", words)), target_column=("y",), skip_bad_rows=True,
        cache=str(tmp_path / "c") if cache else None,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        read = load_corpus(options)
    assert read.max_words == {20: 256, 400: 384, 2000: 1024}[words]
    assert max(len(document.tokens) for document in read.train) == min(words + 1, read.max_words)
    left_out = [message for message in caplog.messages if "1 of 31 rows" in message]
    assert len(left_out) == 1  # told once, however often it is read
    cut = [message for message in caplog.messages if "are not read" in message]
    assert len(cut) == (words > 20)
    again = load_corpus(DataOptions(**{**vars(options), "max_words": read.max_words}))
    assert [d.tokens for d in again.test] == [d.tokens for d in read.test]
