"""The shown mask: the most probable one that agrees with the average, the same in every command."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.document import make_document
from pyro_rationale.evaluation.evaluate import evaluate
from pyro_rationale.evaluation.results import train_ensemble
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.agreement import CANDIDATES, NEARLY, TOLERANCE, agreeing, differences
from pyro_rationale.prediction.explanation import explain
from pyro_rationale.prediction.options import DecodeOptions, ExplainOptions, PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.prediction.shown_masks import decode_all, decode_masks
from pyro_rationale.tasks import Numbers, TargetSpec, task_of
from pyro_rationale.tasks.binary import BinaryTask
from tests.support.small_fit import small, whole

STARS = task_of(TargetSpec("regression", ("stars",), ranges=((1.0, 5.0),)))
TEXTS = [
    make_document(f"text {i}", f"A nice {noun}. {'Bad' if i % 2 else 'Lovely'} taste. {'Fine ' * (1 + i)}", ())
    for i, noun in enumerate("foam haze hue nose malt body fizz bill".split())
]


def chosen(
    stars: Sequence[float], log_q: Sequence[float], kept: Sequence[int] | None = None, task: Any = STARS
) -> int:
    values = np.array(stars, dtype=float).reshape(len(stars), 1, -1)
    counts = np.ones(len(stars)) if kept is None else np.array(kept, dtype=float)
    return int(agreeing(task, values, np.array(log_q)[:, None], counts[:, None])[0])


def test_the_mode_is_shown_where_it_agrees() -> None:
    near = 4 * TOLERANCE * 0.9
    assert chosen([3.0 + near, 3.0, 3.0], [0.0, -1.0, -1.0]) == 0
    assert chosen([3.0, 2.0, 4.0], [0.0, -1.0, -1.0]) == 0


def test_else_the_most_probable_that_agrees() -> None:
    assert chosen([4.0, 3.0, 3.05, 2.95], [0.0, -2.0, -1.0, -1.5]) == 2
    assert chosen([4.0, 3.0, 3.05, 2.95], [0.0, -2.0, -NEARLY - 0.1, -NEARLY - 0.1]) == 1


def test_else_the_one_that_differs_least() -> None:
    assert chosen([5.0, 2.0, 3.6, 2.4], [0.0, -1.0, -0.5, -2.0]) == 3  # the average is 2.67
    assert chosen([2.7, 1.0, 1.0, 5.0, 5.0], [0.0, -0.1, -0.1, -0.1, -0.1]) == 0


def test_masks_much_less_probable_and_without_words_are_not_shown() -> None:
    assert chosen([4.0, 3.0, 3.0], [0.0, -NEARLY - 0.01, -NEARLY - 0.01]) == 0
    assert chosen([4.0, 3.0, 3.0], [0.0, -1.0, -1.0], kept=[2, 0, 0]) == 0
    assert chosen([3.0, 3.0, 3.0], [0.0, -1.0, -1.0], kept=[0, 2, 2]) == 0


def test_the_mode_of_an_ensemble_goes_before_draws_that_are_more_probable() -> None:
    assert chosen([3.0, 3.0, 3.0], [-2.0, -1.0, -1.0]) == 0
    assert chosen([4.0, 3.0, 3.0], [-2.0, -1.5, -1.0]) == 2


@pytest.mark.parametrize("tiny", [1e-12, -1e-12])
def test_rounding_chooses_no_mask(tiny: float) -> None:
    """Two masks that half of the draws are each are equally far from the average."""
    assert chosen([4.0 + tiny, *[4.0 + tiny] * 5, *[2.0 + 2 * tiny] * 5], [0.0] * 6 + [-1.0] * 5) == 0


def test_predictions_beyond_the_scale_are_those_at_its_end() -> None:
    assert chosen([6.5, 5.2, 5.0], [0.0, -1.0, -1.0]) == 0


def test_each_document_has_its_own() -> None:
    values = np.array([[[4.0], [3.0]], [[3.0], [4.0]], [[3.0], [2.0]]])
    log_q = np.array([[0.0, 0.0], [-1.0, -1.0], [-2.0, -2.0]])
    assert agreeing(STARS, values, log_q, np.ones((3, 2))).tolist() == [1, 0]


def test_a_document_about_one_target_is_judged_by_it() -> None:
    two = task_of(TargetSpec("regression", ("stars", "marks"), ranges=((1.0, 5.0), (0.0, 100.0))))
    values = np.array([[[3.0, 90.0]] * 2, [[4.0, 50.0]] * 2, [[2.0, 50.0]] * 2])
    log_q, kept = np.array([[0.0] * 2, [-1.0] * 2, [-2.0] * 2]), np.ones((3, 2))
    assert agreeing(two, values, log_q, kept, np.array([0, 1])).tolist() == [0, 1]
    assert agreeing(two, values, log_q, kept).tolist() == [1, 1]  # apart by .4 / 2 on average, and by .25 / 2


def test_distances_are_shares_of_a_scale_or_of_probability() -> None:
    two = task_of(TargetSpec("regression", ("stars", "marks"), ranges=((1.0, 5.0), (0.0, 100.0))))
    assert differences(two, np.array([[1.0, 10.0]]), np.array([[3.0, 60.0]])) == pytest.approx(np.array([[0.5, 0.5]]))
    binary = task_of(TargetSpec("binary", ("liked",), classes=("no", "yes")))
    assert differences(binary, np.array([[0.9]]), np.array([[0.4]])) == pytest.approx(np.array([[0.5]]))
    three = task_of(TargetSpec("multiclass", ("mood",), classes=("a", "b", "c")))
    apart = differences(three, np.array([[[0.5, 0.5, 0.0]]] * 2), np.array([[[0.0, 0.5, 0.5]]]))
    assert apart == pytest.approx(np.full((2, 1, 1), 0.5))


def test_predictions_without_scale_and_probabilities_are_compared_as_they_are() -> None:
    class Other(BinaryTask):
        """Says nothing about its uncertainty, as one of another package may."""

        def probabilities(self, values: Numbers) -> Any:
            return None

    task = Other(TargetSpec("binary", ("liked",), classes=("no", "yes")))
    assert differences(task, np.array([[0.9]]), np.array([[0.4]])) == pytest.approx(np.array([[0.5]]))
    assert chosen([0.9, 0.4, 0.4], [0.0, -1.0, -1.0], task=task) == 1


@pytest.mark.parametrize(
    "options",
    [
        *({"guide": guide} for guide in ("chain", "relaxed", "recurrent")),
        {"guide": "chain", "unit": "sentence", "rate": 0.3},
        {"guide": "chain", "aspect": "all", "masks": "shared"},
        {"guide": "chain", "members": 2},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_all_commands_show_the_same_mask(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Few draws or many, one text or several, `predict`, `explain`, `evaluate` and methods that only mark."""
    monkeypatch.setattr("pyro_rationale.prediction.agreement.TOLERANCE", 1e-5)  # a small fit says much the same of all
    if "members" in options:
        train_ensemble(small(**options), tmp_path / "run")
    run = FittedModel.load(tmp_path / "run" if "members" in options else whole(**options), "cpu")
    readings = list(predict(run, TEXTS, PredictOptions(samples=CANDIDATES)))
    shown = [reading.kept for reading in readings]
    assert any(reading.kept != reading.mode for reading in readings)
    assert shown == [reading.kept for reading in predict(run, TEXTS, PredictOptions(samples=60), batch_size=4)]
    assert shown == [reading.kept for reading in predict(run, TEXTS[::-1], PredictOptions(samples=3))][::-1]
    explanations = explain(run, TEXTS, ExplainOptions(samples=20))
    assert shown == [explanation.mask for explanation in explanations]
    assert shown == [explanation.alternatives[0].mask for explanation in explanations]
    masks, values = decode_all(run, TEXTS, DecodeOptions(), batch_size=3)
    assert masks == shown == decode_masks(run, TEXTS, DecodeOptions())
    assert values == pytest.approx(np.array([reading.expected for reading in readings]), abs=1e-4)


def test_each_target_has_its_own_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_rationale.prediction.agreement.TOLERANCE", 1e-5)
    run = FittedModel.load(whole(guide="chain", aspect="all", masks="per-target"), "cpu")
    rows = by_aspect(TEXTS, run.aspects)
    readings = [part for reading in predict(run, TEXTS, PredictOptions(samples=3)) for part in reading.aspects]
    assert any(reading.kept != reading.mode for reading in readings)
    shown = [reading.kept for reading in readings]
    assert shown == decode_masks(run, rows, DecodeOptions()) == decode_all(run, rows, DecodeOptions(), 3)[0]
    union, values = decode_all(run, TEXTS, DecodeOptions())
    assert union == [reading.kept for reading in predict(run, TEXTS, PredictOptions(samples=60), batch_size=4)]
    own = [reading.expected[i % run.aspects] for i, reading in enumerate(readings)]
    assert values.ravel() == pytest.approx(np.array(own), abs=1e-4)


def test_texts_of_no_word_and_of_one() -> None:
    run = FittedModel.load(whole(guide="chain"), "cpu")
    texts = [make_document("none", "", ()), make_document("one", "nice", ())]
    masks = [reading.kept for reading in predict(run, texts, PredictOptions(samples=1))]
    assert [len(mask) for mask in masks] == [0, 1]
    assert masks == decode_masks(run, texts, DecodeOptions())
    assert decode_masks(run, [], DecodeOptions()) == []


@pytest.mark.parametrize(("rule", "read"), [("agreeing", 1 + CANDIDATES), ("mode", 2)])
def test_other_rules_read_no_more_masks_than_are_averaged(
    rule: str, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = FittedModel.load(whole(guide="chain"), "cpu")
    texts = [make_document(text.id, text.text, tuple(0.5 for _ in run.spec.names)) for text in TEXTS]
    shapes: list[torch.Size] = []
    forward = run.model.encoder.forward

    def count(tokens: Any, z: torch.Tensor, lengths: Any) -> Any:
        shapes.append(z.shape[:-1])
        return forward(tokens, z, lengths)

    monkeypatch.setattr(run.model.encoder, "forward", count)
    evaluate(ModelRationalizer(run, DecodeOptions(rule)), texts, samples=1)
    again = len(texts)  # the shown masks, as whatever marks words has its predictions
    assert len(texts) < sum(map(math.prod, shapes)) <= read * len(texts) + again


def test_it_is_what_evaluation_measures() -> None:
    run = FittedModel.load(whole(guide="chain"), "cpu")
    texts = [make_document(text.id, text.text, tuple(0.5 for _ in run.spec.names)) for text in TEXTS]
    masks, values = decode_all(run, texts, DecodeOptions())
    expected = float(np.mean((values - 0.5) ** 2))
    kept = sum(map(sum, masks)) / sum(len(text.tokens) for text in texts)
    for samples in (0, 20):
        found = evaluate(ModelRationalizer(run), texts, samples=samples).metrics
        assert (found["mse"], found["selected"]) == pytest.approx((expected, kept), rel=1e-4)
