"""Labels: doubts about texts of which the model knows few words."""

from __future__ import annotations

import pytest

from pyro_rationale.prediction.labels import doubt_of_query, doubt_of_words

GERMAN = "das essen war schlecht , und der service langsam .".split()


@pytest.mark.parametrize(
    ("tokens", "unknown", "few"),
    [
        (GERMAN, 3, True),  # GloVe knows the others: "war", "und", "der"; and the marks tell nothing
        (GERMAN, 2, False),
        (["great", "lounge", "!", "\N{BEER MUG}"], 1, False),
        (["al", "mourjan", "lounge"], 1, False),
        (["mourjan", "lounge"], 1, True),
        (["\N{BEER MUG}"], 1, True),
        ([".", "!"], 0, False),
        ([], 0, False),
    ],
)
def test_a_third_of_the_words_may_be_unknown(tokens: list[str], unknown: int, few: bool) -> None:
    known = len(tokens) - unknown
    doubt = f"not to be relied on: the model knows {known} of {len(tokens)} words; was it fitted to texts of another"
    assert doubt_of_words(known, tokens).startswith(doubt) == few
    assert bool(doubt_of_words(known, tokens)) == few


def test_queries_are_doubted_where_texts_are() -> None:
    """A word that occurs twice is unknown twice, and a comma is no word of a query either."""
    assert doubt_of_query((), ["an", "old", "phone"]) == ""
    line = "words that the model does not know, and reads all alike: "
    assert doubt_of_query(("zzqx",), ["an", "old", "zzqx"]) == f"{line}zzqx"
    for tokens in (["old", "zzqx"], ["an", "old", "zzqx", "zzqx"], ["old", ",", "zzqx", "!"]):
        assert doubt_of_query(("zzqx",), tokens) == f"not to be relied on: {line}zzqx"
        assert doubt_of_words(len(tokens) - tokens.count("zzqx"), tokens) != ""
    many = tuple("abcdef")
    assert doubt_of_query(many, [*many, *["an"] * 14]) == f"{line}a, b, c, d, e and 1 more"
