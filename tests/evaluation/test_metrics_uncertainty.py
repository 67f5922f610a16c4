"""Metrics of predictive distributions, by hand and on simulated truth."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.evaluation.evaluate import Evaluation, compute
from pyro_rationale.evaluation.metrics import MetricInputs
from pyro_rationale.evaluation.metrics.uncertainty import coverage_curve, groups_by_share, pit_histogram, spearman
from pyro_rationale.tasks import Mixture
from pyro_rationale.tasks._level_mixture import LevelMixture
from tests.support.marked import bits, document

RATING = TargetSpec("regression", ("stars",), ((0.0, 10.0),))
TWO = TargetSpec("regression", ("food", "room"), ((0.0, 10.0), (0.0, 10.0)))
BINARY = TargetSpec("binary", ("sentiment",), (), ("negative", "positive"))
CLASSES = TargetSpec("multiclass", ("kind",), (), ("lager", "stout", "porter"))


def normals(means: Any, sds: Any) -> Mixture:
    """One Normal per document and target."""
    means, sds = (np.array(values, dtype=float).reshape(1, len(values), -1) for values in (means, sds))
    return Mixture(means, sds, np.ones(means.shape[:2]))


def measured(spec: TargetSpec, targets: Any, masks: Any = None, **inputs: Any) -> Evaluation:
    documents = [document(length=4, targets=tuple(np.atleast_1d(row).tolist())) for row in targets]
    return compute(MetricInputs(documents, spec, masks, **inputs))


def test_ratings_by_hand() -> None:
    masks = [bits("0000"), bits("0000"), bits("1000"), bits("1000"), bits("1100"), bits("1110")]
    # Half the width of the 90 % interval of sd 1 is 1.645, of the 80 % one 1.282, of the 50 % one .674.
    off = np.array([0.0, 3.0, 0.7, 1.3, 0.5, 2.0])
    found = measured(RATING, 5.0 + off, masks, predictive=normals([5.0] * 6, [1.0] * 6)).metrics
    assert [found[f"covered_{level}"] for level in (50, 80, 90)] == pytest.approx([2 / 6, 3 / 6, 4 / 6])
    assert found["width_90"] == pytest.approx(2 * 1.6448536, abs=1e-5)
    assert found["width_50"] == pytest.approx(2 * 0.6744898, abs=1e-5)
    # A third of the documents is at or below a share of 0, two thirds at or below 1 word of 4.
    assert [found[f"covered_{name}"] for name in ("low", "middle", "high")] == [0.5, 1.0, 0.5]
    assert found["covered_empty"] == 0.5
    assert found["log_score"] == pytest.approx(0.5 * math.log(2 * math.pi) + 0.5 * np.mean(off**2))
    assert "spearman_sd" not in found  # all distributions are of one width
    assert "covered" not in found


def test_unknown_ratings_and_groups_without_any_say_nothing() -> None:
    masks = [bits("1000"), bits("1000"), bits("0000")]
    found = measured(RATING, [5.0, 6.0, math.nan], masks, predictive=normals([5.0] * 3, [1.0, 1.0, 9.0])).metrics
    assert found["covered_50"] == 0.5
    assert "covered_empty" not in found
    assert found["width_90"] == pytest.approx(2 * 1.6448536, abs=1e-5)
    assert measured(RATING, [math.nan], [bits("1000")], predictive=normals([5.0], [1.0])).metrics.keys() == {
        "documents", "selected", "span", "empty"
    }  # fmt: skip


def test_intervals_are_cut_at_the_ends_of_the_scale() -> None:
    found = measured(RATING, [10.0], predictive=normals([10.5], [0.1])).metrics
    assert (found["covered_90"], found["width_90"]) == (1.0, 0.0)


def test_several_targets_pooled_and_one_by_one() -> None:
    truth = np.array([[5.0, 9.0], [5.0, math.nan], [6.0, 9.0], [7.0, 7.0]])
    predictive = normals([[5.0, 5.0]] * 4, [[1.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    values = np.full((4, 2), 5.0)
    found = measured(TWO, truth, predictive=predictive, values=values).metrics
    assert found["covered_90"] == pytest.approx(4 / 7)
    assert {name: figures["covered_90"] for name, figures in found["aspects"].items()} == {"food": 1.0, "room": 0.0}
    assert found["aspects"]["food"]["mse"] == pytest.approx(5 / 4)  # other families' figures stay
    assert found["aspects"]["food"]["spearman_sd"] == pytest.approx(1.0)
    assert "spearman_sd" not in found["aspects"]["room"]
    assert found["spearman_sd"] == pytest.approx(1.0)


def test_a_target_that_no_row_rates_has_no_figures() -> None:
    truth = np.array([[5.0, math.nan], [6.0, math.nan]])
    predictive, values = normals([[5.0, 5.0]] * 2, [[1.0, 1.0]] * 2), np.full((2, 2), 5.0)
    found = measured(TWO, truth, predictive=predictive, values=values).metrics
    assert found["aspects"]["food"]["width_90"] > 0
    assert not {"crps", "log_score", "covered_90", "width_90", "mse"} & found["aspects"].get("room", {}).keys()


def test_what_is_calibrated_is_found_so() -> None:
    random = np.random.default_rng(0)
    sds = random.uniform(0.2, 1.5, 4000)
    truth = random.normal(5.0, sds)
    evaluation = measured(RATING, truth, predictive=normals([5.0] * 4000, sds))
    for level in (50, 80, 90):
        assert evaluation.metrics[f"covered_{level}"] == pytest.approx(level / 100, abs=0.03)
    ranks = [ranked(values) for values in (sds, np.abs(truth - 5.0))]
    assert evaluation.metrics["spearman_sd"] == pytest.approx(np.corrcoef(ranks[0], ranks[1])[0, 1])
    counts = np.array(evaluation.curves["pit"]["stars"])
    assert counts / 4000 == pytest.approx(np.full(20, 0.05), abs=0.015)
    levels, covered = coverage_curve(counts)
    assert levels == pytest.approx(np.linspace(0, 1, 11))
    assert covered == pytest.approx(levels, abs=0.03)
    assert covered[[5, 8, 9]] == pytest.approx([evaluation.metrics[f"covered_{k}"] for k in (50, 80, 90)], abs=1e-9)
    assert json.loads(json.dumps(evaluation.curves)) == evaluation.curves


def ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.argsort(np.argsort(values)).astype(float)


def test_rank_correlation() -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(3)
    one, other = random.integers(0, 6, 50).astype(float), random.normal(size=50)
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert math.isnan(spearman(np.ones(5), other[:5]))


def test_groups_hold_documents_of_one_share_together() -> None:
    kept = np.array([0.0, 0.0, 0.0, 0.0, 0.1, 0.2])
    groups = groups_by_share(kept)
    sizes = {name: int(chosen.sum()) for name, chosen in groups.items()}
    assert sizes == {"low": 4, "middle": 0, "high": 2, "empty": 4}
    assert groups_by_share(np.zeros(0)) == {}


def test_transforms_at_the_ends_are_counted() -> None:
    ends = np.array([0.0, 1.0, 1.0 + 1e-12, 0.05])
    assert pit_histogram(ends, ends)[[0, 1, -1]].tolist() == [1, 1, 2]


def test_ratings_of_few_levels_are_spread_over_their_jumps() -> None:
    counts = pit_histogram(np.array([0.0, 0.925]), np.array([0.1, 1.0]))
    assert counts[[0, 1, 2]] == pytest.approx([0.5, 0.5, 0.0])
    assert counts[[-3, -2, -1]] == pytest.approx([0.0, 1 / 3, 2 / 3])
    random = np.random.default_rng(4)
    shares = random.dirichlet(np.ones(4), size=(1, 3000, 1))
    levels = np.arange(4.0)
    truth = np.array([random.choice(4, p=row) for row in shares[0, :, 0]], dtype=float)
    flat = np.zeros((1, 3000, 1))
    predictive = LevelMixture(
        means=shares @ levels, sds=flat + 1.0, weights=np.ones((1, 3000)), probabilities=shares, levels=levels[None]
    )
    counts = np.array(measured(RATING, truth, predictive=predictive).curves["pit"]["stars"])
    assert counts / 3000 == pytest.approx(np.full(20, 0.05), abs=0.01)


def test_two_classes_by_hand() -> None:
    found = measured(BINARY, [1.0, 0.0, 1.0, math.nan], averaged=np.array([[0.9], [0.3], [0.2], [0.5]]))
    assert found.metrics["brier"] == pytest.approx((0.01 + 0.09 + 0.64) / 3)
    assert found.metrics["log_score"] == pytest.approx(-np.log([0.9, 0.7, 0.2]).mean())
    assert found.metrics["averaged_accuracy"] == pytest.approx(2 / 3)
    # Surest classes: .9 right, .7 right, .8 wrong, in three bins of their own.
    assert found.metrics["ece"] == pytest.approx((0.1 + 0.3 + 0.8) / 3)
    curve = found.curves["reliability"]
    assert curve["confidence"] == pytest.approx([0.7, 0.8, 0.9])
    assert curve["accuracy"] == [1.0, 0.0, 1.0]


def test_three_classes_by_hand() -> None:
    averaged = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    found = measured(CLASSES, [0.0, 1.0], averaged=averaged).metrics
    assert found["brier"] == pytest.approx((0.16 + 0.09 + 0.01 + 0.04 + 0.64 + 0.36) / 2)
    assert found["ece"] == pytest.approx(abs(0.6 - 0.5))
    assert found["averaged_log_loss"] == found["log_score"] == pytest.approx(-(math.log(0.6) + math.log(0.2)) / 2)


def test_calibration_error_can_be_resampled() -> None:
    """The statistic over documents gives the figure of any sample of them."""
    random = np.random.default_rng(1)
    averaged = random.random((40, 1))
    targets = (random.random(40) < averaged[:, 0]).astype(float)
    statistic = measured(BINARY, targets, averaged=averaged).statistics["ece"]
    index = random.integers(0, 40, 40)
    again = measured(BINARY, targets[index], averaged=averaged[index]).metrics["ece"]
    assert float(statistic.of(statistic.table[index].sum(0))) == pytest.approx(again)


@pytest.mark.parametrize(("count", "shape"), [(40, (2.0, 1.0)), (1000, (6.0, 1.0)), (1000, (1.0, 1.0))])
def test_perfect_probabilities_have_the_calibration_error_of_chance(count: int, shape: tuple[float, float]) -> None:
    random = np.random.default_rng(7)
    averaged = random.beta(*shape, size=(count, 1))
    found = []
    for _ in range(200):
        labels = (random.random(count) < averaged[:, 0]).astype(float)
        found.append(measured(BINARY, labels, averaged=averaged).metrics)
    assert found[0]["ece_chance"] == found[-1]["ece_chance"]  # it asks for no labels
    assert found[0]["ece_chance"] == pytest.approx(np.mean([one["ece"] for one in found]), rel=0.06)


def test_chance_of_single_labels() -> None:
    found = measured(BINARY, [1.0, 1.0], averaged=np.array([[0.9], [0.97]])).metrics
    assert found["ece_chance"] == pytest.approx((2 * 0.9 * 0.1 + 2 * 0.97 * 0.03) / 2)


def test_classes_of_several_targets_one_by_one() -> None:
    spec = TargetSpec("binary", ("kind", "clean"), (), ("no", "yes"))
    averaged, truth = np.array([[0.9, 0.3], [0.8, 0.6]]), np.array([[1.0, 1.0], [1.0, math.nan]])
    found = measured(spec, truth, averaged=averaged, conformal=np.array([0.5, 0.5])).metrics
    assert found["aspects"]["kind"]["ece"] == pytest.approx((0.1 + 0.2) / 2)
    assert found["aspects"]["clean"]["ece"] == found["aspects"]["clean"]["brier"] ** 0.5 == pytest.approx(0.7)
    assert [found["aspects"][name]["conformal_90"] for name in spec.names] == [1.0, 0.0]
    assert found["conformal_90"] == pytest.approx(2 / 3)


def test_conformal_intervals_of_several_targets_one_by_one() -> None:
    predictive = normals([[5.0, 5.0], [5.0, 5.0]], [[1.0, 1.0], [2.0, 1.0]])
    truth, quantiles = np.array([[6.4, 8.2], [7.0, math.nan]]), np.array([1.5, 2.0])
    found = measured(TWO, truth, predictive=predictive, conformal=quantiles).metrics
    food, room = found["aspects"]["food"], found["aspects"]["room"]
    assert (food["conformal_90"], room["conformal_90"]) == (1.0, 0.0)
    assert (food["conformal_width_90"], room["conformal_width_90"]) == (pytest.approx(4.5), pytest.approx(4.0))
    assert found["conformal_90"] == pytest.approx(2 / 3)
    assert {"covered_90", "crps"} <= food.keys()  # beside the figures that were there


def test_conformal_intervals_and_sets_by_hand() -> None:
    predictive = normals([5.0, 5.0, 9.5], [1.0, 2.0, 1.0])
    found = measured(RATING, [6.4, 8.2, 10.0], predictive=predictive, conformal=np.array([1.5])).metrics
    assert found["conformal_90"] == pytest.approx(2 / 3)  # 1.5, 3 and 1.5 either way
    assert found["conformal_width_90"] == pytest.approx((3.0 + 6.0 + 2.0) / 3)
    averaged = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.5, 0.4, 0.1]])
    found = measured(CLASSES, [1.0, 2.0, 2.0], averaged=averaged, conformal=np.array([0.7])).metrics
    assert found["conformal_90"] == pytest.approx(2 / 3)  # classes of .3 or more
    assert found["conformal_size_90"] == 2.0
    surest = measured(CLASSES, [0.0, 0.0, 0.0], averaged=averaged, conformal=np.array([0.1])).metrics
    assert (surest["conformal_90"], surest["conformal_size_90"]) == (pytest.approx(2 / 3), 1.0)  # no set is empty


def test_a_level_at_the_end_of_an_interval_is_inside() -> None:
    """Eleven levels from 0 to 1: that of 0.3 is 0.30000000000000004, which is no miss."""
    spec = TargetSpec("ordinal", ("share",), ((0.0, 1.0),), levels=(11,))
    levels, certain = np.linspace(0.0, 1.0, 11), np.eye(11)[None, :, None]
    sure = LevelMixture(
        levels[None, :, None], np.full((1, 11, 1), 0.1), np.ones((1, 11)), probabilities=certain, levels=levels[None]
    )
    truth = [round(i / 10, 1) for i in range(11)]
    shown = sure.interval_bounds(0.9, spec.ranges)
    found = measured(spec, truth, predictive=sure, intervals=shown).metrics
    assert found["covered"] == found["covered_90"] == 1.0


def test_no_labels_no_figures() -> None:
    found = measured(BINARY, [math.nan], averaged=np.array([[0.4]]))
    assert found.metrics == {"documents": 1}
    assert found.curves == {}
    documents: list[Document] = [document(length=2)]
    assert compute(MetricInputs(documents, RATING, predictive=normals([1.0], [1.0]))).metrics == {"documents": 1}
