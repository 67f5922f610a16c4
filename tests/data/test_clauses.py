"""Where clauses begin, and what may be kept or dropped as a whole."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pyro_rationale.data.clauses import SHORTEST, clause_starts
from pyro_rationale.data.document import make_document
from pyro_rationale.data.sentences import sentence_starts
from pyro_rationale.data.units import UNITS, unit_starts


def clauses(text: str) -> list[str]:
    document = make_document("1", text)
    starts = [*clause_starts(document).tolist(), len(document.tokens)]
    return [" ".join(document.tokens[a:b]) for a, b in pairwise(starts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The seats were hard and narrow. Never again.", ["the seats were hard and narrow .", "never again ."]),
        ("It is not easy to have space but the crew was kind.",
         ["it is not easy to have space", "but the crew was kind ."]),
        ("Clean, quiet, and warm, it was a good room for the price.",  # nothing shorter than four words
         ["clean , quiet ,", "and warm , it was a good room for the price ."]),
        ("We waited for an hour at the desk and nobody came to help us.",
         ["we waited for an hour at the desk", "and nobody came to help us ."]),
        ("The bed was soft and the bath was warm.", ["the bed was soft and the bath was warm ."]),  # too short to part
        ("The room (on the third floor) had a view of the harbour.",
         ["the room ( on the third floor )", "had a view of the harbour ."]),
        ("", [""]),
    ],
)  # fmt: skip
def test_clauses(text: str, expected: list[str]) -> None:
    found = clauses(text)
    assert found == expected


def test_clauses_part_sentences() -> None:
    text = "Small, worn and cold, but cheap; we liked it. Though the staff was rude, we would come again, would you?"
    document = make_document("1", text)
    starts = clause_starts(document).tolist()
    assert set(sentence_starts(document).tolist()) <= set(starts)
    assert min(b - a for a, b in pairwise(starts)) >= SHORTEST


def test_units_by_their_names() -> None:
    document = make_document("1", "The bed was soft, but the bath was cold. Never again.")
    assert UNITS == ("word", "clause", "sentence")
    assert len(unit_starts(document, "clause")) == 3
    assert len(unit_starts(document, "sentence")) == 2
