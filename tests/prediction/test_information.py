"""The nats that reading a text adds to what is said without: by hand, on simulated texts, and where they are shown."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pyro_rationale.cli.explain import as_dict, as_text
from pyro_rationale.prediction.information import LITTLE, by_target, information, little_said, unread_of
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.rows import Layout
from pyro_rationale.tasks import TargetSpec, task_of
from tests.prediction.test_calibration import calibrated
from tests.prediction.test_predictor import SPECS

RATING, BINARY, CLASSES = (task_of(SPECS[kind]) for kind in ("regression", "binary", "multiclass"))
TWO = task_of(TargetSpec("regression", ("food", "staff"), ((1.0, 5.0), (1.0, 5.0))))


def column(*values: float) -> Any:
    return np.array(values)[:, None]


def unread_texts(*arguments: Any) -> Any:
    """A row per target."""
    found = unread_of(*arguments)
    assert found is not None
    return [list(target) for target in found]


def test_nothing_is_added_by_a_prediction_as_wide_as_all_texts() -> None:
    unread = unread_texts(TWO, np.array([[1.0, 2.0], [3.0, math.nan], [5.0, 4.0]]))
    assert unread == [pytest.approx([3.0, math.sqrt(8 / 3)]), [3.0, 1.0]]
    averaged, sds = np.array([[3.0, 3.0], [3.0, 4.0], [3.0, 3.0]]), np.array([[9.0, 1.0], [9.0, 1.0], [9.0, 0.5]])
    nats = information(TWO, unread, averaged, sds)
    assert nats is not None
    assert nats[:, 0] == pytest.approx(0.0)  # less sure than an unread text is not more
    assert nats[:, 1] == pytest.approx([0.0, 0.5, 0.5 * (0.25 - 1.0) + math.log(2.0)])


def test_classes_are_compared_with_their_shares() -> None:
    unread = unread_texts(CLASSES, column(0.0, 0.0, 2.0, math.nan))
    assert unread == [pytest.approx([2.5 / 4.5, 0.5 / 4.5, 1.5 / 4.5])]  # a class that no text has is possible still
    shares = np.array(unread)
    nats = information(CLASSES, unread, np.vstack([shares, [[1.0, 0.0, 0.0]]]), None)
    assert nats == pytest.approx(column(0.0, math.log(4.5 / 2.5)), abs=1e-12)
    found = information(BINARY, unread_texts(BINARY, column(0.0, 1.0)), column(0.5, 0.9), None)
    assert found == pytest.approx(column(0.0, math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)), abs=1e-12)


def test_weights_of_the_fit_count() -> None:
    """A fit that weighs classes alike says one half where it knows nothing, though one text in four is of a class."""
    targets, weights = column(0.0, 0.0, 0.0, 1.0), np.array([2 / 3, 2 / 3, 2 / 3, 2.0])
    assert unread_texts(BINARY, targets, weights) == [pytest.approx([0.5, 0.5])]
    assert unread_texts(RATING, targets, weights) == [pytest.approx([0.5, 0.5])]


@pytest.mark.parametrize("values", [(3.0,), (3.0, 3.0), (math.nan, math.nan)])
def test_too_few_texts_say_nothing(values: tuple[float, ...]) -> None:
    assert unread_of(RATING, column(*values)) is None
    assert little_said(by_target(RATING, None)) == []


def test_its_mean_is_what_the_log_score_gains() -> None:
    """Ratings whose predictions are right: each is worth so many nats more than the distribution of all ratings."""
    random = np.random.default_rng(0)
    means, sd = random.normal(3.0, 0.6, 20_000), 0.8
    truth = random.normal(means, sd)
    unread = unread_texts(RATING, truth[:, None])
    ((mean, wide),) = unread
    nats = information(RATING, unread, means[:, None], np.full((20_000, 1), sd))
    gained = 0.5 * ((truth - mean) / wide) ** 2 - 0.5 * ((truth - means) / sd) ** 2 + math.log(wide / sd)
    assert nats is not None
    assert nats.mean() == pytest.approx(gained.mean(), abs=0.01)
    assert nats.mean() == pytest.approx(0.5 * math.log(1.0 + 0.6**2 / sd**2), abs=0.01)  # mutual information


def test_a_reading_tells_which_targets_its_words_say_little_about() -> None:
    run, options = calibrated(), ExplainOptions(contributions="none")
    (good,) = predict(run, run.documents(["good"]), options)
    assert good.information is not None
    assert good.sd is not None
    ((mean, sd),) = run.calibration.unread
    spread = min(good.sd[0] / sd, 1.0)
    nats = 0.5 * (spread**2 + ((good.averaged[0] - mean) / sd) ** 2 - 1.0) - math.log(spread)
    assert list(good.information) == [pytest.approx(nats)]
    assert good.information[0] > LITTLE
    said = "taken together, these words say little about stars: predicted nearly as for a text not read"
    doubtful = replace(good, information=(0.09,))
    older = replace(good, information=None)
    assert said in as_text(doubtful, run.task, 0.9)
    assert "say little" not in as_text(good, run.task, 0.9) + as_text(older, run.task, 0.9)
    assert as_dict(doubtful, run.task, options)["information"] == {"stars": 0.09}
    assert as_dict(older, run.task, options)["information"] == {}
    assert Layout(run.task).row("a", doubtful)["information"] == 0.09
    assert Layout(run.task).row("a", older)["information"] is None


def test_an_explanation_tells_it_too() -> None:
    run = calibrated("binary", noise=0.0)
    (told,) = run.explain("good")
    assert told.information == {"positive": pytest.approx(run.predict("good")[0].information[0])}
    assert "say little" not in str(replace(told, information={"positive": 1.0})) + str(replace(told, information={}))
    little = str(replace(told, information={"positive": 0.0}))
    assert "; taken together, these words say little about positive\n" in little
