"""Tables of human attention maps in miniature, and tables with several annotators' rationales."""

from __future__ import annotations

import csv
import json
from html import escape
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import Corpus, DataOptions, Document, load_corpus
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import DataError

COLUMNS = ("Input.label", "Input.text", "Answer.Q1Answer", "Answer.html_output")
TEXT = "Fish & chips  were GREAT, really."


def html(text: str, *marked: int) -> str:
    """HTML in the form of the annotators' page: a span per word, and an empty one at the end."""
    words = [
        f'<span class="active">{escape(word)}</span>' if i in marked else f"<span>{escape(word)}</span>"
        for i, word in enumerate(text.split())
    ]
    return " ".join([*words, "<span></span>"])


def rows(text: str, label: int | str, *maps: str) -> list[tuple[Any, ...]]:
    return [(label, text, "yes", one) for one in maps]


def reviews(count: int) -> list[tuple[Any, ...]]:
    texts = [f"Review number {i} is here." for i in range(count)]
    return [row for i, text in enumerate(texts) for row in rows(text, i % 2, html(text, 1), html(text, 1, 2))]


def write(path: Path, records: list[tuple[Any, ...]], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *records])
    return path


def load(path: Path, prefix: str = "yelp-hat:", **options: Any) -> Corpus:
    return load_corpus(DataOptions(data=f"{prefix}{path}", **options))


def everything(corpus: Corpus) -> list[Document]:
    return sorted([*corpus.train, *corpus.dev, *corpus.test], key=lambda d: int(d.id.split()[-1]))


def marked(document: Document, flags: tuple[bool, ...] | None) -> list[str]:
    return [word for word, flag in zip(document.tokens, flags or (), strict=True) if flag]


@pytest.mark.parametrize("prefix", ["yelp-hat:", ""])
def test_a_folder(tmp_path: Path, prefix: str) -> None:
    flags = "0 0 0 0 0 1"
    write(tmp_path / "ham_part1(50words).csv", reviews(10))
    write(tmp_path / "ham_part2.csv", rows(TEXT, 1, html(TEXT, 0, 4), html(TEXT, 4), flags))
    corpus = load(tmp_path, prefix)
    assert corpus.spec == TargetSpec("binary", ("label",), classes=("0", "1"))
    documents = everything(corpus)
    assert len(documents) == 11
    [one] = [d for d in documents if d.text == TEXT]
    assert one.id == "ham_part2.csv line 2"
    assert one.tokens == ("fish", "&", "chips", "were", "great", ",", "really", ".")
    assert one.maps is not None
    assert [marked(one, map) for map in one.maps] == [["fish", "great", ","], ["great", ","], ["really", "."]]
    assert marked(one, one.gold) == ["great", ","]
    assert one.targets == (1.0,)
    first = next(d for d in documents if d.id == "ham_part1(50words).csv line 2")
    assert [marked(first, map) for map in first.maps or ()] == [["number"], ["number", first.tokens[2]]]


def test_a_file_and_annotators_in_two_files(tmp_path: Path) -> None:
    one, two = tmp_path / "a.csv", tmp_path / "b.csv"
    write(one, reviews(10))
    write(two, reviews(10))
    assert {len(d.maps or ()) for d in everything(load(one))} == {2}
    assert {len(d.maps or ()) for d in everything(load(tmp_path))} == {4}


@pytest.mark.parametrize(
    "left",
    ['gre<i class="x">a</i>t', '<i class="icon"></i>great', 'great<i class="x" id="a">close</i>', "gr<b>ea</b> t"],
)
def test_what_browser_extensions_leave_inside_a_word(tmp_path: Path, left: str) -> None:
    maps = [f'<span>the</span> <span class="active">{left}</span> <span>beer</span> <span></span>',
            f"<span>the</span> <span>{left}</span> <span class='active'>beer</span>"]  # fmt: skip
    path = write(tmp_path / "a.csv", [*reviews(10), *rows("the great beer", 1, *maps)])
    [document] = [d for d in everything(load(path)) if d.text == "the great beer"]
    assert document.maps == ((False, True, False), (False, False, True))


BAD = [
    ((1, " ", "yes", ""), "the text in 'Input.text' is empty"),
    (("", "good", "yes", "1"), "'Input.label' is empty"),
    ((0, "Review number 1 is here.", "yes", "1 0 0 0 0"), "'Input.label' is '0', unlike line 4 of the same text"),
    ((1, "good beer", "yes", "{}"), "its map has 0 words and its text 2"),
    ((1, "good beer", "yes", "1"), "its map has 1 words and its text 2"),
    ((1, "good beer", "yes", html("good wine", 1)), "its map has the word 'wine', which is not at that place"),
    ((1, "a beer", "yes", "<span>a</span> <span>wi<i>n</i>e</span>"), "its map has the word 'wine', which is not at"),
    ((1, "good beer"), "has 2 fields where the header has 4"),
]


@pytest.mark.parametrize(("row", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_rows_are_one_line(tmp_path: Path, row: tuple[Any, ...], message: str) -> None:
    path = write(tmp_path / "a.csv", [*reviews(10), row])
    with pytest.raises(DataError) as caught:
        load(path)
    assert f"{path}, line 22: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(everything(load(path, skip_bad_rows=True))) == 10


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.csv file"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"has not one column 'Answer\.html_output'"):
        load(write(tmp_path / "a.csv", [(1, "b", "yes")], COLUMNS[:3]))
    with pytest.raises(DataError, match="too few to split"):
        load(write(tmp_path / "a.csv", reviews(2)))


# ------------------------------------------------------------------------------ several annotators in any table


def table(path: Path, **last: Any) -> Path:
    """Ten rows and one more, of which the maps are looked at."""
    lines = [{"text": f"text {i}", "y": i % 3} for i in range(10)]
    path.write_text("\n".join(json.dumps(line) for line in [*lines, {"y": 1, **last}]), encoding="utf-8")
    return path


def last(path: Path, **options: Any) -> Document:
    corpus = load_corpus(DataOptions(data=str(path), target_column=("y",), **options))
    return max([*corpus.train, *corpus.dev, *corpus.test], key=lambda d: int(d.id.split()[1]))


@pytest.mark.parametrize(
    ("text", "rationales"),
    [
        ("Good beer, bad foam", [[[0, 9]], [[5, 9], [11, 14]], []]),  # characters
        (["Good", "beer", ",", "bad", "foam"], [[[0, 2]], [[1, 2], [3, 4]], []]),  # words
        (["Good", "beer", ",", "bad", "foam"], [[1, 1, 0, 0, 0], "0 1 0 1 0", [0, 0, 0, 0, 0]]),  # flags
    ],
)
def test_maps_in_json_lines(tmp_path: Path, text: Any, rationales: list[Any]) -> None:
    document = last(table(tmp_path / "a.jsonl", text=text, rationales=rationales))
    assert document.tokens == ("good", "beer", ",", "bad", "foam")
    assert document.maps is not None
    assert [marked(document, map) for map in document.maps] == [["good", "beer"], ["beer", "bad"], []]
    assert marked(document, document.gold) == ["beer"]


def test_one_map_none_and_other_peoples_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    one = last(table(path, text="good beer", rationales=[[[0, 4]]]))
    assert (one.gold, one.maps) == ((True, False), None)
    for own in ([], "because it is good", ["because", "it is good"], None):
        document = last(table(path, text="good beer", rationales=own))
        assert (document.gold, document.maps) == (None, None)


@pytest.mark.parametrize(
    ("rationales", "message"),
    [
        ([[[0, 4]], [1, 0, 0]], "its rationale has 3 flags for 2 words"),
        ([[[0, 4]], [[0, 44]]], "its rationale holds [0, 44], expected [start, end] within 0 and 10"),
        ([[[0, 4]], [1, 0]], "one of its rationales has flags and another has spans"),
        ([[[0, 4]], {"a": 1}], "its rationale is {'a': 1}, not a list"),
    ],
)
def test_bad_maps_are_one_line(tmp_path: Path, rationales: list[Any], message: str) -> None:
    path = table(tmp_path / "a.jsonl", text="good-beers", rationales=rationales)
    if "flags for" in message or "flags and" in message:
        path = table(path, text="good beer!", rationales=rationales)
    with pytest.raises(DataError) as caught:
        last(path)
    assert f"{path}, line 11: {message}" in str(caught.value)
