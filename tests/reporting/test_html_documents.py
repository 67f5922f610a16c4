"""Documents of the report: words, spans, effects and classes, as the page's script gets them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import harmless
from pyro_rationale.reporting.html import render
from pyro_rationale.reporting.html.charts import prediction_charts
from pyro_rationale.reporting.html.payload import effect_lines, little_lines, pack, pieces, runs, short, signed
from tests.support.report_pages import BINARY, CLASSES, NASTY, RATING, contents, parse, read, speaking


@pytest.mark.parametrize("text", ["Good, bad!  And   ugly", "\U0001f600 a \U0001f600b\U00020000 c", *NASTY])
def test_words_are_found_again_where_scripts_count(text: str) -> None:
    """Scripts count in UTF-16 units."""
    packed = pack(read(text))
    units = packed["t"].encode("utf-16-le")
    end, words = 0, []
    for gap, length in zip(packed["o"][::2], packed["o"][1::2], strict=True):
        words.append(units[2 * (end + gap) : 2 * (end + gap + length)].decode("utf-16-le"))
        end += gap + length
    document = read(text).document
    assert words == [harmless(text)[a:b] for a, b in document.offsets]
    assert packed["p"] == [i % 21 * 5 for i in range(len(words))]


def test_pieces_are_the_text_and_look_as_they_should() -> None:
    one = read("good, bad and ugly")  # good , bad and ugly: kept 0 and 3, gold 0 to 2, at 0, 5, ... 20 %
    found = [(piece.text, piece.classes) for piece in pieces(one, RATING)]
    assert found == [
        ("good", "k g"), (",", "s1 g"), (" ", "g"), ("bad", "s1 g"), (" ", ""),
        ("and", "s2 k"), (" ", ""), ("ugly", "s2"),
    ]  # fmt: skip
    assert "".join(text for text, _ in found) == one.document.text
    joined = replace(one, kept=(True,) * 5, inclusion=(1.0, 1.0, 0.4, 1.0, 1.0))
    found = [(piece.text, piece.classes) for piece in pieces(joined, RATING)]
    assert found == [
        ("good,", "s10 k g"), (" bad", "s4 k g"), (" ", "s4 k"), ("and ugly", "s10 k"),
    ]  # fmt: skip  # a gap is as pale as the paler of its neighbours: no holes in a run
    assert [p.text for p in pieces(read(""), RATING)] == []


def test_spans_are_for_and_against() -> None:
    """Words 0 and 3 are kept; the first speaks for, the second against."""
    one = speaking(read("good bad and ugly"))
    assert [p.classes for p in pieces(one, RATING) if p.text in ("good", "ugly")] == ["k for g", "s2 k against"]
    assert pack(one)["c"] == [[[1, -0.5, 1]], [[-1, 0.5, -1]]]
    assert list(effect_lines(one, RATING)) == [
        ("good", "taste +1 (\N{MINUS SIGN}0.500 if removed, +1 alone)"),
        ("ugly", "taste \N{MINUS SIGN}1 (+0.500 if removed, \N{MINUS SIGN}1 alone)"),
    ]
    assert list(effect_lines(read("good"), RATING)) == []
    assert "the span raises the rating" in render(contents("good"))
    assert "log odds of the predicted label" in render(contents("good", spec=BINARY))
    assert "the span raises" not in render(replace(contents(), documents=(read("good"),)))


def test_a_span_that_does_next_to_nothing_is_neither_for_nor_against() -> None:
    """An effect of +0.003 on a scale of 0 to 1 was blue, though the span alone made -0.067."""
    one = speaking(read("good bad and ugly"))
    found = one.contributions
    assert found is not None
    first, second = found.spans

    def looks(*effects: float, spec: TargetSpec = RATING) -> list[str]:
        spans = tuple(replace(part, shapley=(e,)) for part, e in zip((first, second), effects, strict=True))
        shown = replace(one, contributions=replace(found, spans=spans))
        return [p.classes for p in pieces(shown, spec) if p.text in ("good", "ugly")]

    assert looks(0.099, -0.099) == ["k g", "s2 k"]  # below 2 % of 0 to 5
    assert looks(0.1, -0.1) == ["k for g", "s2 k against"]
    assert looks(0.039, -0.039, spec=BINARY) == ["k g", "s2 k"]
    assert looks(0.04, -0.04, spec=BINARY) == ["k for g", "s2 k against"]
    page = render(contents("good"))
    assert parse(page).data()["least"] == [0.1]
    assert "by 2 % of its scale or more" in page


def test_targets_have_rationales_of_their_own() -> None:
    """The words of both are underlined; each has its spans, and what these do, under its letter."""
    spec = replace(RATING, names=("taste", "look"), ranges=RATING.ranges * 2)
    one = replace(speaking(read("good bad and ugly")), probability=0.05)
    rows = [replace(one, document=replace(one.document, aspect=i)) for i in (0, 1)]
    both = replace(one, values=(2.5, 3.0), predicted=(2.5, 3.0), interval=((1.0, 4.0),) * 2, probability=None)
    both = replace(both, document=replace(one.document, targets=(3.0, 1.0)), aspects=tuple(rows), contributions=None)
    packed = pack(both)
    assert packed["m"] == [[[0, 1, 3, 4], [[[1, -0.5, 1]], [[-1, 0.5, -1]]], "5 %", [0, 5, 10, 15]]] * 2
    assert "c" not in packed
    assert [text for text, _ in effect_lines(both, spec)] == ["A good", "A ugly", "B good", "B ugly"]
    assert [said.split()[0] for _, said in effect_lines(both, spec)] == ["taste", "taste", "look", "look"]
    page = render(replace(contents(), spec=spec, documents=(both,), sections=()))
    assert "B ugly" in page
    assert [(p.text, p.letters) for p in pieces(both, RATING) if p.kept] == [("good", "AB"), ("ugly", "AB")]
    other = replace(both, aspects=(rows[0], replace(rows[1], kept=(False, False, True, True))), kept=(True, False) * 2)
    other = replace(other, kept=(True, False, True, True))
    marked = [(p.text, p.letters, p.classes) for p in pieces(other, RATING) if p.kept]
    assert marked == [("good", "A", "k t0 g"), ("and", "B", "s1 k t1 g"), ("ugly", "AB", "s2 k tt")]
    assert [p.classes for p in pieces(other, spec) if p.text.strip() == "bad"] == ["g"]  # no shade without a letter


def test_targets_that_the_kept_words_say_little_about_are_named() -> None:
    """In one line, or one for each target that has words of its own; nothing in runs of older versions."""
    spec = replace(RATING, names=("taste", "look & feel"), ranges=RATING.ranges * 2)
    one = read("good bad and ugly")
    two = replace(one, values=(2.5, 3.0), predicted=(2.5, 3.0), interval=((1.0, 4.0),) * 2)
    two = replace(two, document=replace(one.document, targets=(3.0, 1.0)), information=(0.0, 0.099))
    own = replace(two, aspects=(two, two))
    more = ": predicted nearly as for a text not read"
    assert pack(two)["l"] == pack(own)["l"] == [0, 1]
    assert little_lines(two, spec) == [f"taken together, these words say little about taste, look & feel{more}"]
    said = "taken together, these words say little about"
    assert little_lines(own, spec) == [f"{said} {name}{more}" for name in spec.names]
    assert pack(replace(two, information=(0.1, 0.099)))["l"] == [1]
    page = parse(render(replace(contents(), spec=spec, documents=(two,), sections=())))
    assert [e.text for e in page.all("p") if e.attributes.get("class") == "little"] == little_lines(two, spec)
    assert page.data()["little"] == f"taken together, these words say little about {{names}}{more}"
    for told in (None, (0.1, 2.0)):
        silent = replace(own, information=told)
        assert "l" not in pack(silent)
        assert little_lines(silent, spec) == []


def test_a_long_tail_that_was_not_read_is_cut() -> None:
    one = read("good beer")
    document = replace(one.document, text="good beer" + " and more" * 100)
    packed = pack(replace(one, document=document))
    assert packed["t"] == document.text[:209]
    assert packed["u"] == len(document.text) - 209
    assert list(pieces(replace(one, document=document), RATING))[-1].classes == "un"


def test_what_is_not_known_is_not_there() -> None:
    one = read("good beer", gold=False)
    bare = replace(one, document=replace(one.document, targets=(float("nan"),)), interval=None, alternatives=())
    assert pack(bare).keys() == {"i", "t", "o", "p", "k", "v"}
    page = render(replace(contents(), documents=(bare,), quality=(), sections=(), diagnostics=()))
    for absent in ("<svg", "no gold word", "largest error", "<table"):
        assert absent not in page
    assert "unknown" in page
    assert runs((True, True, False, True)) == [0, 2, 3, 4]
    assert runs(()) == []
    with pytest.raises(ValueError, match="one per word of row 0"):
        pack(replace(one, kept=(True,)))


@pytest.mark.parametrize("spec", [BINARY, CLASSES], ids=["binary", "classes"])
def test_classes_are_named(spec: TargetSpec) -> None:
    page = parse(render(contents("good beer", spec=spec)))
    said = [e.text for e in page.all("dd")]
    assert {"binary": "negative (75 %)", "multiclass": "stout (70 %)"}[spec.kind] in said
    assert spec.classes[1] in said
    assert page.data()["classes"] == list(spec.classes)
    assert list(prediction_charts([read("good beer", spec=spec)], spec)) == []


def test_numbers_have_three_digits_and_no_exponent() -> None:
    assert [short(value) for value in (4.0, 0.5, 1.234, 999.7, 12345.6)] == ["4", "0.500", "1.23", "1000", "12346"]
    assert [signed(value) for value in (0.25, -0.0, -0.25)] == ["+0.250", "+0", "\N{MINUS SIGN}0.250"]
