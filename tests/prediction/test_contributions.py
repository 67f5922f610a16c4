"""Contributions of spans against brute force: every order of adding them, and every mask by hand."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_rationale.cli.explain import as_dict, as_text
from pyro_rationale.cli.explain_tables import effect_table
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.prediction.contributions import contributions_of, shapley
from pyro_rationale.prediction.decoding import predict_from
from pyro_rationale.prediction.explanation import AGAINST, FOR, explain
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.rationales import KeptSpan
from pyro_rationale.reporting import effects
from pyro_rationale.reporting.console import rationale
from pyro_rationale.reporting.effects import signs
from pyro_rationale.storage import to_json
from pyro_rationale.tasks import TargetSpec, task_of
from tests.prediction.test_predictor import document, fake

RATING = task_of(TargetSpec("regression", ("look", "taste"), ((0.0, 5.0), (0.0, 5.0))))
WEIGHTS = torch.tensor([3.0, -1.0, 0.5, 2.0, -2.0, 1.0, 0.0, 4.0])


def text(*words: str) -> Document:
    return make_document("text 1", " ".join(words))


def read(masks: Tensor, owners: np.ndarray) -> np.ndarray:
    """Two targets that are no sums of words: the second one squares the first."""
    total = (masks * WEIGHTS[: masks.shape[-1]]).sum(-1) + torch.tensor(owners)
    return torch.stack([total, total.square()], -1).double().numpy()


def contributions(kept: str, draws: list[str], most: int = 10) -> Any:
    masks = torch.tensor([[float(bit) for bit in row] for row in (kept, *draws)])
    document = text(*"abcdefgh"[: len(kept)])
    predicted = np.zeros((1, 2))
    return contributions_of(RATING, read, [document], masks[:1], masks[1:, None], predicted, most)[0]


def worth(*kept: int) -> np.ndarray:
    total = sum(float(WEIGHTS[i]) for i in kept)
    return np.array([total, total**2])


@pytest.mark.parametrize("players", [0, 1, 2, 5])
def test_shapley_values_are_means_over_all_orders(players: int) -> None:
    values = np.random.default_rng(players).normal(size=(2**players, 2))
    expected = np.zeros((players, 2))
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        subset = 0
        for player in order:
            expected[player] += (values[subset | 1 << player] - values[subset]) / len(orders)
            subset |= 1 << player
    found = shapley(values)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found.sum(0), values[-1] - values[0], atol=1e-12)


def test_each_change_is_that_of_the_mask_without_the_span() -> None:
    """Spans 0-1, 3 and 5; draws keep the first one twice, one of them with a word more, and the last never whole."""
    found = contributions("110101", ["110000", "111100", "100100"])
    first, second, third = found.spans
    assert [(part.start, part.end) for part in found.spans] == [(0, 2), (3, 4), (5, 6)]
    np.testing.assert_allclose(found.nothing, worth())
    np.testing.assert_allclose(found.whole, worth(0, 1, 3, 5))
    np.testing.assert_allclose(first.removed_here, worth(3, 5) - worth(0, 1, 3, 5))
    np.testing.assert_allclose(first.removed, (worth() - worth(0, 1) + worth(2, 3) - worth(0, 1, 2, 3)) / 2)
    np.testing.assert_allclose(second.alone, worth(3))
    np.testing.assert_allclose(third.removed, third.removed_here)
    assert [part.share for part in found.spans] == pytest.approx([2 / 3, 2 / 3, 0.0])
    np.testing.assert_allclose(sum(np.array(part.shapley) for part in found.spans), worth(0, 1, 3, 5))
    assert first.effects == first.shapley


def test_of_many_spans_those_that_matter_most_get_shapley_values() -> None:
    found = contributions("10101010", [], most=2)
    assert [part.shapley is not None for part in found.spans] == [True, False, True, False]  # 3, .5, -2 and 0
    shares = sum(np.array(part.shapley) for part in found.spans if part.shapley is not None)
    np.testing.assert_allclose(shares, worth(0, 2, 4, 6) - worth(2, 6))
    assert found.spans[1].effects == pytest.approx(-np.array(found.spans[1].removed))
    assert all(part.shapley is None for part in contributions("1010", [], most=0).spans)


def test_nothing_kept_has_no_contributions() -> None:
    found = contributions("0000", ["1000"])
    assert found.spans == ()
    assert found.whole == found.nothing


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_of_labels_the_log_odds_of_the_predicted_one_change(kind: str) -> None:
    """Several yes/no labels each have their own; certain probabilities are finite."""
    names = ("liked", "bought") if kind == "binary" else ("kind",)
    task = task_of(TargetSpec(kind, names, classes=("a", "b", "c")[: 2 + (kind == "multiclass")]))
    values = np.array([[0.2, 0.9], [1.0, 0.5]]) if kind == "binary" else np.array([[0.2, 0.7, 0.1], [0.0, 1.0, 0.0]])
    likely = values[:1].repeat(2, 0)
    found = task.effects(values, likely)
    if kind == "binary":
        assert found[0] == pytest.approx([math.log(4), math.log(9)])
        assert found[1, 0] == pytest.approx(-16.1, abs=0.1)
        assert task.effect_units(values[0].tolist()) == ["liked, log odds of a", "bought, log odds of b"]
    else:
        assert found[0] == pytest.approx([math.log(0.7 / 0.3)])
        assert found[1] == pytest.approx([16.1], abs=0.1)
        assert task.effect_units(values[0].tolist()) == ["log odds of b"]


# From a model to what people see: a fake one, whose predictions are sums over words.


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_of_a_model_they_are_what_the_encoder_says(kind: str) -> None:
    """In company and alone; words are kept from a probability of .3 on, which `the` has not."""
    fitted = fake(kind)
    options = ExplainOptions(samples=30, decode="threshold", threshold=0.3)
    documents = [document("good maybe the bad the"), document("the bad good")]
    together = list(predict(fitted, documents, options, 2))
    for text, reading, twin in zip(documents, predict(fitted, documents, options), together, strict=True):
        assert reading.contributions is not None
        assert reading.contributions == twin.contributions
        kept = np.array(reading.kept)
        predicted = np.array([reading.predicted] * 4)
        for part in reading.contributions.spans:
            flags = np.zeros(len(kept), dtype=bool)
            flags[part.start : part.end] = True
            masks = [mask.tolist() for mask in (kept, kept & ~flags, flags, kept & False)]
            values = predict_from(fitted, [text] * 4, masks)
            everything, without, only, nothing = fitted.task.effects(values, predicted)
            assert part.removed_here == pytest.approx(without - everything, abs=1e-5)
            assert part.alone == pytest.approx(only - nothing, abs=1e-5)
            if kind != "multiclass":  # its log odds are no sums of words
                assert part.removed == pytest.approx(without - everything, abs=1e-4)
                assert part.shapley == pytest.approx(part.alone, abs=1e-4)


def test_they_are_shown_everywhere() -> None:
    options = ExplainOptions(samples=20)
    text = make_document("text 1", "good maybe the bad")
    fitted = fake()
    (reading,) = predict(fitted, [text], options)
    shown = as_text(reading, fitted.task, 0.9)
    assert "for and against, by span: stars 3 with nothing kept, 3.4 with all spans" in shown
    assert re.search(r"^for +\+1.6 +-1.6 +\+1.6  good maybe$", shown, re.MULTILINE)
    assert re.search(r"^against +-1.2 +\+1.2 +-1.2  bad$", shown, re.MULTILINE)
    record = json.loads(to_json(as_dict(reading, fitted.task, options)))["contributions"]
    assert record["targets"] == {"stars": {"of": "stars", "nothing": 3.0, "whole": pytest.approx(3.4)}}
    assert [span["text"] for span in record["spans"]] == ["good maybe", "bad"]
    assert [span["changes"]["stars"]["shapley"] for span in record["spans"]] == pytest.approx([1.6, -1.2], abs=1e-5)
    assert reading.contributions is not None
    marked = rationale(reading.document, reading.kept, signs=signs(reading.contributions, 4))
    assert [str(span.style) for span in marked.spans][-2:] == [effects.FOR, effects.AGAINST]
    lines = list(effect_table(text, reading.contributions, ["stars"], plain=False))
    assert {str(span.style) for line in lines for span in line.spans} == {effects.FOR, effects.AGAINST}


def test_a_table_of_several_targets_has_a_column_for_each() -> None:
    found = contributions("10001001", [])
    lines = list(map(str, effect_table(text(*"abcdefgh"), found, ["look", "taste"], plain=True)))
    assert lines[2].split() == ["look", "taste"]
    assert lines[3].split() == ["for", "+3", "+15", "a"]
    assert lines[4].split() == ["against", "-2", "-10", "e"]
    mixed = contributions("00101000", [])
    *_, last = effect_table(text(*"abcdefgh"), mixed, ["look", "taste"], plain=True)
    assert str(last).split() == ["-2", "+3", "e"]
    many = contributions_of(
        RATING, lambda masks, owners: masks[:, :2].double().numpy(), [text(*["w"] * 40)],
        torch.tensor([[1.0, 0.0] * 20]), torch.zeros(0, 1, 40), np.zeros((1, 2)),
    )[0]  # fmt: skip
    assert str(list(effect_table(text(*["w"] * 40), many, ["look", "taste"], plain=True))[-1]) == "8 more spans do less"


@pytest.mark.parametrize("how", ["shapley", "removal", "none"])
def test_spans_of_an_explanation_are_pairs_that_know_what_they_do(how: str) -> None:
    (explanation,) = explain(fake(), [make_document("", "the good maybe")], ExplainOptions("mode", contributions=how))
    (span,) = explanation.spans
    assert span == (4, 14)
    assert copy.copy(span).removed == pickle.loads(pickle.dumps(span)).removed == span.removed
    if how == "none":
        assert span.effect is span.removed is None
    else:
        assert span.effect == pytest.approx(1.6, abs=1e-5)
        assert span.removed == pytest.approx(-1.6, abs=1e-5)
    assert (span.shapley is None) == (how != "shapley")
    html = explanation._repr_html_()
    assert ("for and against: 1 span" in html) == (f"text-decoration-color:{FOR}" in html) == (how != "none")


def test_colours_say_for_and_against() -> None:
    (explanation,) = explain(fake(), [make_document("", "the good maybe")])
    for effect, colour in ((1.0, FOR), (-1.0, AGAINST), ((1.0, 2.0), FOR), ((1.0, -1.0), "")):
        changes = (0.5, 0.5) if isinstance(effect, tuple) else 0.5
        span = KeptSpan(4, 8, changes, changes, changes, effect, 1.0)
        units = ("look", "taste")[: 1 + isinstance(effect, tuple)]
        html = replace(explanation, spans=(span,), effects_on=units)._repr_html_()
        assert (f"text-decoration-color:{colour}" in html) == bool(colour)
