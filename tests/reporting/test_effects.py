"""Whether a span speaks for or against: one rule for the report, the terminal and the server."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pyro_rationale.cli.explain_tables import effect_table
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import make_document
from pyro_rationale.prediction.contributions import Contribution, Contributions
from pyro_rationale.reporting.effects import LEAST_LOG_ODDS, least_effects, sign_of, signs

RATINGS = TargetSpec("regression", ("look", "taste"), ((0.0, 1.0), (1.0, 5.0)))
CLASSES = TargetSpec("multiclass", ("kind",), (), ("lager", "stout", "porter"))


def part(*effects: float, start: int = 0) -> Contribution:
    """A span of one word with these Shapley values."""
    return Contribution(start, start + 1, effects, effects, effects, effects, 1.0)


def test_the_least_effect_is_a_share_of_each_scale() -> None:
    assert least_effects(RATINGS) == pytest.approx((0.02, 0.08))
    assert least_effects(RATINGS, 1) == pytest.approx((0.08,))
    assert least_effects(CLASSES) == (LEAST_LOG_ODDS,)


def test_the_least_log_odds_move_no_probability_by_more_than_a_point() -> None:
    before = np.linspace(-8.0, 8.0, 4001)
    moved = 1 / (1 + np.exp(-before - LEAST_LOG_ODDS)) - 1 / (1 + np.exp(-before))
    assert 0.0099 < moved.max() <= 0.01


@pytest.mark.parametrize(
    ("effects", "sign"),
    [
        ((0.1, 0.3), 1),
        ((-0.1, -0.3), -1),
        ((0.1, -0.3), 0),
        ((0.1, -0.079), 1),  # of the target that it moves
        ((0.0, -0.3), -1),
        ((0.019, 0.079), 0),
        ((math.nan, 0.3), 1),
        ((math.nan, math.nan), 0),
    ],
)
def test_targets_that_are_hardly_moved_have_no_say(effects: tuple[float, float], sign: int) -> None:
    assert sign_of(part(*effects), least_effects(RATINGS)) == sign


def test_without_a_least_effect_every_effect_counts() -> None:
    assert sign_of(part(1e-9)) == 1
    assert sign_of(part(0.0)) == 0
    assert sign_of(part(1.0, -1e-9)) == 0


def test_words_and_rows_have_the_signs_of_their_spans() -> None:
    found = Contributions((part(0.003), part(-0.3, start=2)), (0.5,), (0.2,))
    least = (0.02,)
    assert signs(found, 3, least) == [0, 0, -1]
    assert signs(found, 3) == [1, 0, -1]
    assert signs(None, 2, least) == [0, 0]
    document = make_document("one", "fair then dreary", (), 10)
    rows = [str(line) for line in effect_table(document, found, ["look"], True, least=least)]
    assert [row.split()[0] for row in rows[-2:]] == ["+0.003", "against"]
    assert str(list(effect_table(document, found, ["look"], True))[-2]).split()[0] == "for"
