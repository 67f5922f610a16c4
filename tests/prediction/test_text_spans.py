"""Stretches of text: where runs are, and what is shown of a text that was not read to its end."""

from __future__ import annotations

from pyro_rationale.data.document import make_document
from pyro_rationale.errors import harmless
from pyro_rationale.prediction.text_spans import bracketed, markdown, snippets, spans, visible


def test_a_run_holds_the_white_space_between_its_words() -> None:
    document = make_document("d", "A very\n  fine beer; fine.", (), 1000)
    mask = [token in ("very", "fine") for token in document.tokens]
    assert [document.text[a:b] for a, b in spans(document, mask)] == ["very\n  fine", "fine"]
    assert snippets(document, mask) == "very fine … fine"
    assert bracketed(document, mask, gold=[True] + [False] * (len(mask) - 1)) == "{A} [very\n  fine] beer; [fine]."


def test_markdown_is_one_line_in_which_signs_of_the_text_mean_nothing() -> None:
    document = make_document("d", "A *very*\n fine beer; <b> {fine} end", (), 7)
    kept = [token in ("very", "fine") for token in document.tokens]
    gold = [token in ("very", "beer") for token in document.tokens]
    assert markdown(document, kept) == r"A \***very**\* **fine** beer; …"
    assert markdown(document, kept, gold).startswith(r"A \*{**very**}\* **fine** {beer};")
    assert markdown(make_document("d", "good beer.", (), 9), (True, True, False)) == "**good beer**."
    assert markdown(make_document("d", "", (), 9), ()) == ""


def test_only_a_long_tail_is_cut() -> None:
    read = [(0, 4), (5, 9)]
    assert visible("good beer" + "x" * 400, read) == ("good beer" + "x" * 400, 0)
    assert visible("good beer" + "x" * 401, read) == ("good beer" + "x" * 200, 201)
    assert visible("\x1b", []) == ("\ufffd", 0)
    assert harmless("a\tb\u202e") == "a b\ufffd"
