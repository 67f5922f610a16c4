"""Explanations where targets have rationales of their own: letters, colours, and contributions for each."""

from __future__ import annotations

import json
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from pyro_rationale.cli.explain import as_dict, as_text, described
from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import make_document
from pyro_rationale.distributions import IndependentMask
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.explanation import COLOURS, explain
from pyro_rationale.prediction.labels import in_percent
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.text_spans import letter_of, marked_runs
from pyro_rationale.reporting.aspects import SEVERAL, aspect_key, aspect_style
from pyro_rationale.storage import to_json
from tests.prediction.test_predictor import EFFECT, NOISE, VOCABULARY, FakeGuide, FakeModel, table

SPEC = TargetSpec("regression", ("<staff>", "food"), ranges=((1.0, 5.0), (1.0, 5.0)))
LOGITS = ({"bad": 3.0, "good": -3.0, "maybe": 3.0, "the": -3.0}, {"bad": -3.0, "good": 3.0, "maybe": 3.0, "the": -3.0})
TEXT = make_document("text 1", "the bad maybe the good")


class Guide(FakeGuide):
    """Keeps "bad" for the first target, "good" for the second, and "maybe" for both."""

    def posterior(self, batch: Batch) -> IndependentMask:
        assert batch.aspects is not None
        logits = torch.stack([table(one) for one in LOGITS])
        return IndependentMask(logits[batch.aspects[:, None], batch.tokens], batch.lengths)


class Model(FakeModel):
    """Both targets add up the effects of the kept words; the second twice."""

    aspects = 2

    def predictive(self, batch: Batch, z: Tensor) -> dist.TorchDistribution:
        total = (z * table(EFFECT)[batch.tokens]).sum(-1, keepdim=True)
        return dist.Normal(0.5 + total * torch.tensor([1.0, 2.0]), NOISE).to_event(1)


def two_targets() -> FittedModel:
    """A fake whose targets have masks of their own."""
    model: Any = Model("regression")
    guide: Any = Guide()
    config = Config().changed(masks="per-target")
    return FittedModel(config, SPEC, VOCABULARY, model, guide, torch.device("cpu"), "fake")


@pytest.fixture
def fitted() -> FittedModel:
    return two_targets()


def test_letters_and_brackets(fitted: FittedModel) -> None:
    (reading,) = predict(fitted, [TEXT], ExplainOptions("mode", samples=20))
    shown = as_text(reading, fitted.task, 0.9)
    assert "the [A bad] [AB maybe] the [B good]\nA <staff>  B food" in shown
    percents = [in_percent(part.probability or 0.0) for part in reading.aspects]
    shares = ", ".join(f"{letter} {percent}" for letter, percent in zip("AB", percents, strict=True))
    assert f"3 of 5 words kept (60 %), the most probable rationales ({shares})\n" in shown
    assert "A for and against, by span: <staff> 3 with nothing kept, 2.2 with all spans" in shown
    assert "B for and against, by span: food 3 with nothing kept, 6.2 with all spans" in shown
    assert "against     -0.8     +0.8     -0.8  bad maybe" in shown
    coloured = [span.style for line in described(reading, fitted.task, 0.9, plain=False) for span in line.spans]
    assert {aspect_style(0), aspect_style(1), SEVERAL} <= set(map(str, coloured))
    assert str(aspect_key(["one", "two"])) == "A one  B two"
    assert [letter_of(number) for number in (0, 25, 26)] == ["A", "Z", "A1"]


def test_runs_of_several_masks() -> None:
    masks = ((True, True, False, False), (False, True, True, False))
    found = list(marked_runs(((0, 1), (2, 3), (4, 5), (6, 7)), masks))
    assert found == [(0, 1, (0,)), (2, 3, (0, 1)), (4, 5, (1,))]


def test_json_has_each_target(fitted: FittedModel) -> None:
    options = ExplainOptions("mode", samples=20)
    (reading,) = predict(fitted, [TEXT], options)
    record = json.loads(to_json(as_dict(reading, fitted.task, options)))
    assert record["kept"] == [0, 1, 1, 0, 1]
    assert [part["kept"] for part in record["aspects"].values()] == [[0, 1, 1, 0, 0], [0, 0, 1, 0, 1]]
    food = record["aspects"]["food"]
    assert food["letter"] == "B"
    assert food["rationale"] == "maybe … good"
    assert list(food["contributions"]["targets"]) == ["food"]
    shares = [span["changes"]["food"]["shapley"] for span in food["contributions"]["spans"]]
    assert shares == pytest.approx([0.8, 2.4], abs=1e-4)
    assert all(list(other["prediction"]) == ["food"] for other in food["alternatives"])


def test_explanations_have_each_target(fitted: FittedModel) -> None:
    (explanation,) = explain(fitted, [TEXT], ExplainOptions("mode", samples=20))
    staff, food = (explanation.targets[name] for name in SPEC.names)
    assert [TEXT.text[start:end] for start, end in staff.spans] == ["bad maybe"]
    assert [TEXT.text[start:end] for start, end in food.spans] == ["maybe", "good"]
    assert staff.spans[0].shapley == pytest.approx(-0.8, abs=1e-4)
    assert food.spans[1].removed == pytest.approx(-2.4, abs=1e-4)
    assert (staff.prediction, food.prediction) == explanation.prediction
    assert food.alternatives[0].mask == food.mask
    assert explanation.probability is None  # each target has its own
    assert food.probability == pytest.approx(food.alternatives[0].probability, rel=1e-5)
    assert isinstance(food.alternatives[0].prediction, float)
    assert "[B good]\nA <staff>  B food" in str(explanation)
    html = explanation._repr_html_()
    assert COLOURS[0] in html
    assert COLOURS[1] in html
    assert "A &lt;staff&gt;: for and against" in html
    assert "<staff>" not in html


def test_a_shared_rationale_says_what_it_does_to_each_target(fitted: FittedModel) -> None:
    model: Any = Model("regression")
    model.aspects = 1
    guide: Any = FakeGuide()
    shared = FittedModel(Config().changed(masks="shared"), SPEC, VOCABULARY, model, guide, torch.device("cpu"), "fake")
    (explanation,) = explain(shared, [TEXT], ExplainOptions("mode", samples=20))
    staff, food = (explanation.targets[name] for name in SPEC.names)
    assert staff.spans == food.spans == explanation.spans
    assert staff.spans[1].shapley == pytest.approx(1.2, abs=1e-4)
    assert food.spans[1].shapley == pytest.approx(2.4, abs=1e-4)
    assert explanation.spans[1].shapley == pytest.approx((1.2, 2.4), abs=1e-4)
