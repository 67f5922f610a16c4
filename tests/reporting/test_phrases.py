"""Phrases that go with low and with high ratings: which ones, and how they are counted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import make_document, spans_of
from pyro_rationale.prediction.contributions import Contribution, Contributions
from pyro_rationale.prediction.predictor import Prediction
from pyro_rationale.reporting.phrases import PhraseGroup, function_words, phrase_groups
from tests.support.report_pages import BINARY, RATING, read


def kept(text: str, value: float, effects: tuple[float, ...] = (), spec: TargetSpec = RATING) -> Prediction:
    """A reading that keeps the words between [brackets], with the effect of each run."""
    words, flags, inside = [], [], False
    for word in text.replace("[", " [ ").replace("]", " ] ").split():
        if word in "[]":
            inside = word == "["
        else:
            words.append(word)
            flags.append(inside)
    document = make_document(text, words, (value,))
    found = tuple(
        Contribution(*run, removed=(-effect,), removed_here=(-effect,), alone=(effect,), shapley=(effect,), share=1.0)
        for run, effect in zip(spans_of(flags), effects, strict=False)
    )
    contributions = Contributions(found, (0.0,), (value,)) if effects else None
    base = read("x", spec=spec)
    return replace(base, document=document, kept=tuple(flags), predicted=(value,), contributions=contributions)


def rows(group: PhraseGroup) -> list[list[tuple[str, int, float]]]:
    """Words, count and effect of the phrases of each side."""
    return [[(p.words, len(p.documents), round(p.effect, 3)) for p in side.phrases] for side in group.sides]


def test_function_words_and_punctuation_are_folded_away() -> None:
    pytest.importorskip("sklearn")
    texts = [
        kept("so [the staff were friendly] here", 4.0, (1.0,)),
        kept("and [staff was friendly , and] there", 5.0, (0.5,)),
        kept("[not the best food] of all", 1.0, (-2.0,)),
    ]
    [group] = phrase_groups(texts, RATING)
    low, high = group.sides
    assert (group.name, low.title, high.title) == ("taste", "low", "high")
    assert [(p.words, p.documents) for p in high.phrases] == [("staff was friendly", (0, 1))]
    [phrase] = high.phrases
    assert (phrase.mean, phrase.effect, phrase.key) == (4.5, 0.75, "high:staff was friendly")
    assert [example.words for example in phrase.examples] == ["the staff were friendly", "staff was friendly , and"]
    assert low.phrases[0].words == "not the best food"  # a negation is no function word
    assert low.phrases[0].effect == -2.0
    assert low.usual == high.usual == pytest.approx(10.0 / 3.0)


def test_a_phrase_ends_at_punctuation_and_is_no_number() -> None:
    [group] = phrase_groups([kept("[fresh juice . cold tea 12]", 4.0, (1.0,))], RATING)
    words = {phrase.words for side in group.sides for phrase in side.phrases}
    assert "fresh juice" in words
    assert not {"juice . cold", "12"} & words


def test_few_texts_count_for_less_and_the_side_is_that_of_the_effect() -> None:
    """A word that adds much in one text comes behind one that adds something in six; neither stands on both sides."""
    texts = [kept("[lovely] day", 4.0, (1.0,)) for _ in range(6)]
    texts += [kept("[unique] but [dreadful]", 2.0, (2.0, -2.0))]
    [group] = phrase_groups(texts, RATING)
    assert rows(group) == [[("dreadful", 1, -2.0)], [("lovely", 6, 1.0), ("unique", 1, 2.0)]]


def test_of_many_texts_a_phrase_stands_in_three_at_least() -> None:
    texts = [kept("day after day", 3.0) for _ in range(97)]
    texts += [kept("[lovely] day", 4.0, (1.0,)) for _ in range(3)] + [kept("[rare] day", 4.0, (9.0,)) for _ in range(2)]
    [group] = phrase_groups(texts, RATING)
    assert [phrase.words for phrase in group.sides[1].phrases] == ["lovely"]


def test_without_contributions_predictions_decide() -> None:
    [group] = phrase_groups([kept("[good]", 5.0), kept("[bad]", 1.0)], RATING)
    assert group.effect == ""
    assert [[p.words for p in side.phrases] for side in group.sides] == [["bad"], ["good"]]
    assert math.isnan(group.sides[0].phrases[0].effect)
    assert phrase_groups([kept("nothing", 5.0)], RATING) == ()


def test_of_two_classes_what_speaks_against_one_speaks_for_the_other() -> None:
    """Effects are log odds of the predicted class."""
    texts = [
        kept("[superb] and [dull]", 0.75, (2.0, -1.0), BINARY),
        kept("[dull]", 0.25, (3.0,), BINARY),
    ]
    [group] = phrase_groups(texts, BINARY)
    assert [side.title for side in group.sides] == ["negative", "positive"]
    assert rows(group) == [[("dull", 2, 2.0)], [("superb", 1, 2.0)]]
    assert group.sides[0].phrases[0].mean == 0.5
    assert [side.usual for side in group.sides] == [0.5, 0.5]


def test_each_target_has_the_phrases_of_its_own_rationale() -> None:
    spec = replace(RATING, names=("taste", "look"), ranges=RATING.ranges * 2)
    parts = kept("[sour] and bright", 1.0, (-1.0,)), kept("sour and [bright]", 4.0, (1.0,))
    both = replace(parts[0], predicted=(1.0, 4.0), kept=(True, False, True), aspects=parts, contributions=None)
    taste, look = phrase_groups([both], spec)
    assert [[p.key for p in side.phrases] for side in taste.sides] == [["A:low:sour"], []]
    assert [[p.key for p in side.phrases] for side in look.sides] == [[], ["B:high:bright"]]


def test_other_languages_lose_the_words_of_many_texts() -> None:
    texts = [make_document(f"{i}", f"das essen war und wort{i}") for i in range(10)]
    assert function_words(texts) == {"das", "essen", "war", "und"}
    assert function_words(texts[:2]) == frozenset()  # too few to tell
