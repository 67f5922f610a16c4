"""Words, and the characters they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_rationale.data.tokenizers import TOKENIZERS
from pyro_rationale.data.tokenizers.words import tokenize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The head WAS Lovely.", "the head was lovely ."),
        ("Don't, can’t, isn't it's I'm they've", "do n't , ca n't , is n't it 's i 'm they 've"),
        ("n't N'T", "n't n't"),
        ("rock'n'roll", "rock ' n ' roll"),
        ("a well-made film -- or not — so…", "a well - made film -- or not -- so ..."),
        ("Wait... what?! No!!!!", "wait ... what ? ! no !"),
        (
            "3.5 of 4,000 at 11:30, 90s, 1st, 5-star, $9.99",
            "3.5 of 4,000 at 11:30 , 90s , 1st , 5 - star , $ 9.99",
        ),
        ("ends in 7.", "ends in 7 ."),
        ("one<br /><BR/>two <b>", "one two < b >"),
        ("“quoted” ‘single’ snake_case __init__", "\" quoted \" ' single ' snake _ case _ init _"),
        ("zero\u200bwidth \ufeffmark\x00 soft\u00ad", "zero width mark soft"),
        ("Cafe\u0301 na\u00efve Stra\u00dfe", "cafe\u0301 na\u00efve stra\u00dfe"),
        ("\u4e2d\u6587 ok", "\u4e2d \u6587 ok"),
        ("", ""),
        (" \t\n\u00a0", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert list(tokenize(text)[0]) == expected.split()


def test_offsets_point_at_the_words() -> None:
    text = "It's \u201cGOOD\u201d\u2026 <br/>don't!!"
    tokens, offsets = tokenize(text)
    assert [text[a:b] for a, b in offsets] == ["It", "'s", "\u201c", "GOOD", "\u201d", "\u2026", "do", "n't", "!!"]
    assert len(tokens) == len(offsets)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_ordered_disjoint_tokens_that_cover_its_letters(text: str) -> None:
    tokens, offsets = tokenize(text)
    assert len(tokens) == len(offsets)
    assert all(token and not token.isspace() for token in tokens)
    ends = [0, *(end for _, end in offsets)]
    assert all(before <= start < end <= len(text) for before, (start, end) in zip(ends, offsets, strict=False))
    covered = {i for start, end in offsets for i in range(start, end)}
    if "<br" not in text.lower():
        assert all(i in covered for i, c in enumerate(text) if c.isalnum())
    assert not any(c.isspace() for i, c in enumerate(text) if i in covered)


@given(st.lists(st.sampled_from("head don't 3.5 ... ! , it's the -- caf\u00e9 o'clock".split()), max_size=12))
def test_tokens_are_their_own_tokens(words: list[str]) -> None:
    """Reading the tokens again changes nothing, so that a text once tokenized can be stored and read back."""
    tokens, _ = tokenize(" ".join(words))
    assert tokenize(" ".join(tokens))[0] == tokens


def test_the_first_tokens_are_those_of_the_whole_text() -> None:
    text = " ".join(f"don't stop-{i} at <br/> antidisestablishmentarianism's door..." for i in range(300))
    tokens, offsets = tokenize(text)
    for limit in (0, 1, 2, 3, 10, 101, 10_000, None):
        assert tokenize(text, limit) == (tokens[:limit], offsets[:limit])


def test_the_former_import_path_still_works() -> None:
    from pyro_rationale.data.tokenize import tokenize as former

    assert former is tokenize is TOKENIZERS["words"]
