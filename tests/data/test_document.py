"""Documents: from a text or from words, cut, with the rationales that stand beside them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_rationale.data import DataOptions
from pyro_rationale.data.document import agreed, document_maker, flags_of, highest, make_document, spans_of
from pyro_rationale.data.tokenizers.unicode import tokenize


def test_the_first_words_are_those_of_the_whole_text() -> None:
    text = " ".join(f"don't stop-{i} at antidisestablishmentarianism's door..." for i in range(300))
    tokens, offsets = tokenize(text)
    for count in (1, 2, 3, 10, 101, 10_000):
        document = make_document("a", text, (), count)
        assert (document.tokens, document.offsets) == (tokens[:count], offsets[:count])
    options = DataOptions(max_words=3)
    assert document_maker(options)("a", text).tokens == tokens[:3]


def test_words_that_are_cut_already_are_taken_as_they_are() -> None:
    document = make_document("a", ["Well-made", "(So", "ß"], (1, 2), 2)
    assert (document.text, document.tokens, document.targets) == ("Well-made (So ß", ("well-made", "(so"), (1, 2))
    assert [document.text[a:b] for a, b in document.offsets] == ["Well-made", "(So"]


@pytest.mark.parametrize("words", [None, 0, 1, 2, 9])
@pytest.mark.parametrize(
    ("text", "rationale", "expected"),
    [
        ("So very good!", [[3, 7], (8, 9)], (False, True, True, False)),  # characters; a word that a span touches
        ("So very good !", [0, 1, 1, 0], (False, True, True, False)),
        ("So very good !", " 0 1 1 0 ", (False, True, True, False)),
        (["So", "very", "good", "!"], [[1, 2], [3, 4]], (False, True, False, True)),
        (["So", "very", "good", "!"], [True, False, False, False], (True, False, False, False)),
        (["So", "very", "good", "!"], [], (False,) * 4),
        ("So very good!", "why not", None),
        ("So very good!", None, None),
    ],
)
def test_one_rationale(text: Any, rationale: Any, expected: tuple[bool, ...] | None, words: int | None) -> None:
    document = make_document("a", text, max_words=words, rationales=[rationale])
    assert document.gold == (None if expected is None else expected[:words])
    assert document.maps is None


def test_several_rationales_make_maps_and_gold() -> None:
    document = make_document("a", ["so", "so", "good"], rationales=[[1, 1, 0], None, [[2, 3]], "1 0 0"])
    assert document.maps == ((True, True, False), (False, False, True), (True, False, False))
    assert document.gold == (True, False, False)
    with pytest.raises(ValueError, match="give all in one way"):
        make_document("a", "so good!", rationales=[[[0, 2]], [1, 1]])
    for wrong, message in (([2], "holds 2, expected"), ([[0, 9]], "within 0 and 8"), (7, "is 7, not a list")):
        with pytest.raises(ValueError, match=message):
            make_document("a", "so good!", rationales=[wrong])


@given(st.lists(st.booleans()))
def test_spans_are_the_inverse_of_flags(flags: list[bool]) -> None:
    spans = list(spans_of(flags))
    assert flags_of(spans, len(flags)) == tuple(flags)
    assert all(a < b for a, b in spans)
    assert all(before < after for (_, before), (after, _) in pairwise(spans))


def test_what_annotators_agree_on() -> None:
    one, two, three = (True, True, False), (True, False, False), (False, True, True)
    assert agreed([one]) == one
    assert agreed([one, two]) == (True, True, False)
    assert agreed([one, two, three]) == (True, True, False)
    assert agreed([one, two, three, three]) == (True, True, True)
    assert make_document("d", "no maps", (), 9).gold is None


@pytest.mark.parametrize(("count", "expected"), [(0, [0, 0, 0, 0]), (2, [1, 1, 0, 0]), (9, [1, 1, 1, 1])])
def test_of_equal_scores_the_earlier_words_are_highest(count: int, expected: list[int]) -> None:
    assert highest([0.5, 0.9, 0.5, 0.5], count).tolist() == list(map(bool, expected))
