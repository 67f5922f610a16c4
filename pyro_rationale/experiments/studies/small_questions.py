"""The questions once more, on a table that is learnt in seconds: what `notebooks/05_open_questions.ipynb` shows.

The table holds invented reviews of meals. One word of each, at a random place, carries the rating; the staff gets a
word from the same list, so that a word alone does not tell whether it counts; everything else is talk. It is so much
smaller than the planted reviews that a fit takes five seconds, and easier: what fails here fails anywhere, and what
works here need not work on them. The figures to go by are those of the whole study (`docs/research/questions.md`).
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from pyro_rationale.experiments.studies.cells import Study
from pyro_rationale.experiments.studies.common import Row
from pyro_rationale.experiments.studies.question_variants import (
    CHAIN,
    MUPROP,
    PAPER,
    QUESTIONS,
    RELAXED,
    RLOO,
    Flags,
    Question,
    Variant,
)
from pyro_rationale.experiments.studies.questions import RULE_QUESTION, answer
from pyro_rationale.storage import replacing

STARS = {"awful": 1, "dull": 2, "ordinary": 3, "good": 4, "superb": 5}
NOISE = 0.3  # standard deviation of a rating around its word's stars
TALK = (
    *("we came by bus with a friend", "it was raining all day", "the table stood by the door", "my aunt paid for us"),
    *("the menu is short and in blue ink", "a dog slept under the chair", "we had booked a week before"),
    "somebody played the piano",
)
SAID = 5  # clauses of talk in one review
TABLE = "meals.jsonl"
BASE: Flags = {
    **{"text_column": "text", "target_column": ("stars",), "rate": 0.06, "nats": 50.0, "hidden": 16, "embedding": 16},
    **{"batch_size": 32, "learning_rate": 1e-2, "steps": 250, "anneal": 100, "threads": 1},
}


def _variants(number: int, *names: str) -> tuple[Variant, ...]:
    """Variants of the whole study's question, by the beginnings of their names, in this order."""
    known = QUESTIONS[number].variants
    return tuple(next(variant for variant in known if variant.name.startswith(name)) for name in names)


# The variants of each question that differ most: twelve fits in all, for one of several questions is fitted once.
SMALL: dict[int, Question] = {
    number: Question(QUESTIONS[number].title, variants, QUESTIONS[number].columns)
    for number, variants in {
        1: (PAPER, *_variants(1, "independent, muprop, K = 2"), MUPROP),
        2: (RELAXED, CHAIN),
        3: _variants(3, "independent, RLOO, exact", "independent, RLOO, sampled", "independent, RLOO, constant"),
        4: _variants(4, "relaxed, exact", "relaxed, L2"),
        5: _variants(5, "relaxed, last", "relaxed, exact"),
        6: QUESTIONS[6].variants,
        7: (RELAXED, MUPROP, RLOO, CHAIN),
    }.items()
}


def write_meals(path: Path, documents: int, seed: int = 0) -> None:
    """Write invented reviews as JSON lines: `text` (words), `stars`, and `rationale`, a 1 for the word that counts.

    Nobody can predict `stars` with an expected squared error below `NOISE ** 2`.
    """
    chance = Random(seed)
    with replacing(path) as partial, open(partial, "w", encoding="utf-8") as file:
        for _ in range(documents):
            food, staff = chance.choice(list(STARS)), chance.choice(list(STARS))
            clauses = [("the food was", food), ("the staff was", staff)]
            clauses += [(talk, "") for talk in chance.sample(TALK, SAID)]
            chance.shuffle(clauses)
            words, rationale = [], []
            for clause, opinion in clauses:
                said = f"{clause} {opinion}".split()
                words += said
                rationale += [0] * (len(said) - 1) + [int(clause == "the food was")]
            stars = round(STARS[food] + chance.gauss(0.0, NOISE), 2)
            file.write(json.dumps({"text": words, "stars": stars, "rationale": rationale}) + "\n")


def small_study(folder: Path, documents: int = 800, **flags: Any) -> Study:
    """The study of a new table of meals in a folder; cells are fitted when an answer needs them.

    Args:
        folder: of the table and of all cells.
        documents: in the table.
        flags: in place of those of `BASE`, for example fewer `steps`.
    """
    write_meals(folder / TABLE, documents)
    return Study(folder, {**BASE, "data": str(folder / TABLE), **flags})


def small_answer(study: Study, number: int) -> list[Row]:
    """Answer of one seed to a question: a row per variant, or per variant and rule, as in the whole study."""
    return answer(SMALL[number], study, 1, by_rule=number == RULE_QUESTION)
