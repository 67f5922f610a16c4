"""Intervals hold what they should as often as they say; p-values are uniform where nothing is there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from pyro_rationale.evaluation.metrics.rationale import rationale_metrics, rationale_statistics
from pyro_rationale.evaluation.significance import (
    added,
    differences,
    holm,
    intervals,
    p_text,
    paired_test,
    seeds_test,
    standard_error,
)
from pyro_rationale.evaluation.statistic import Statistic, average, balanced, quotient
from tests.support.marked import bits, document

SKEWED = np.random.default_rng(5).lognormal(sigma=1.2, size=30)


def f1_of(hits: np.ndarray, kept: np.ndarray, gold: np.ndarray) -> Statistic:
    return quotient(2 * hits, kept + gold)


def random_counts(rng: np.random.Generator, count: int, skill: float = 0.5) -> Statistic:
    gold, kept = rng.integers(1, 6, count), rng.integers(0, 6, count)
    return f1_of(rng.binomial(np.minimum(gold, kept), skill), kept, gold)


# The figures themselves.


def test_statistics_are_sums_over_documents() -> None:
    ratio = quotient([1, 0, 3], [2, 0, 4])
    assert (ratio.value, len(ratio)) == (4 / 6, 3)
    assert average([1.0, 5.0, 3.0], [True, False, True]).value == 2.0
    assert quotient([0.0], [0.0]).value == average([], []).value == 0.0
    assert balanced(quotient([1], [2]), quotient([1], [4])).value == pytest.approx(2 * 0.5 * 0.25 / 0.75)


def test_documents_twice_are_weights_of_two() -> None:
    documents = [document("1100"), document("0111"), document(length=4)]
    masks = [bits("1010"), bits("0110"), bits("1111")]
    twice = rationale_metrics([*documents, documents[1]], [*masks, masks[1]])
    for name, statistic in rationale_statistics(documents, masks).items():
        assert float(statistic.of(np.array([1.0, 2.0, 1.0]) @ statistic.table)) == pytest.approx(twice[name])


# Intervals.


def test_the_standard_error_is_how_far_figures_of_other_documents_lie_apart() -> None:
    mean = average(SKEWED)
    assert standard_error(mean) == pytest.approx(SKEWED.std(ddof=1) / math.sqrt(len(SKEWED)))  # exactly, of a mean
    rng = np.random.default_rng(3)

    def share() -> Statistic:
        """The share of words kept in 40 texts of several lengths, some of which keep more than others."""
        words = rng.integers(20, 80, 40)
        return quotient(rng.binomial(words, np.where(rng.random(40) < 0.3, 0.4, 0.1)), words)

    errors = [standard_error(share()) for _ in range(400)]
    apart = np.std([share().value for _ in range(400)])
    assert np.mean(errors) == pytest.approx(apart, rel=0.12)
    assert math.isnan(standard_error(average([0.5])))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_against_scipy(method: str) -> None:
    ours = intervals({"mean": average(SKEWED)}, 40_000, 0.9, method, seed=1)["mean"]  # type: ignore[arg-type]
    theirs = stats.bootstrap(
        (SKEWED,), np.mean, n_resamples=40_000, confidence_level=0.9, method=method, rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02 * width)
    other = intervals({"mean": average(SKEWED)}, 20_000, 0.9, "percentile", seed=1)["mean"]
    assert method == "percentile" or ours[1] - other[1] > 0.03 * width  # skewness is seen


def test_a_ratio_against_scipy() -> None:
    rng = np.random.default_rng(3)
    part, whole = rng.integers(0, 5, 50), rng.integers(5, 9, 50)

    def pooled(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return a.sum(axis) / b.sum(axis)

    theirs = stats.bootstrap((part, whole), pooled, paired=True, n_resamples=20_000, rng=rng).confidence_interval
    ours = intervals({"share": quotient(part, whole)}, 20_000)["share"]
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03 * (theirs.high - theirs.low))


@pytest.mark.parametrize(
    ("draw", "truth"),
    [(lambda rng: average(rng.normal(2.0, 1.0, 60)), 2.0), (lambda rng: average(rng.exponential(1.0, 60)), 1.0)],
)
def test_intervals_hold_the_truth_as_often_as_they_say(
    draw: Callable[[np.random.Generator], Statistic], truth: float
) -> None:
    rng = np.random.default_rng(4)
    ends = [intervals({"m": draw(rng)}, 500, 0.9, seed=i)["m"] for i in range(500)]
    held = np.mean([low <= truth <= high for low, high in ends])
    # 500 coins of .9 scatter by .013; with 60 documents a bootstrap is a little short.
    assert 0.9 - 0.02 - 3 * 0.0134 < held < 0.9 + 3 * 0.0134


def test_all_figures_come_from_the_same_resamples() -> None:
    one = average(SKEWED)
    found = intervals({"a": one, "b": one, "c": average(-SKEWED)}, 300)
    assert found["a"] == found["b"]
    assert intervals({"a": one}, 300)["a"] == found["a"]
    assert found["a"] != intervals({"a": one}, 300, seed=1)["a"]


def test_one_document_or_none_has_no_interval() -> None:
    for values in ([], [1.0]):
        low, high = intervals({"m": average(values)}, 10)["m"]
        assert math.isnan(low)
        assert math.isnan(high)


def test_a_figure_without_spread_is_its_own_interval() -> None:
    assert intervals({"m": average(np.full(5, 0.3))}, 50)["m"] == pytest.approx((0.3, 0.3))


def test_a_figure_that_is_no_number_has_no_interval() -> None:
    assert np.isnan(intervals({"m": average([1.0, math.nan, 2.0])}, 50)["m"]).all()


def test_draws_and_documents_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 1 draw"):
        intervals({"m": average([1.0, 2.0])}, 0)
    with pytest.raises(ValueError, match="same documents"):
        intervals({"m": average([1.0, 2.0]), "n": average([1.0])}, 10)


# Two runs.


def test_the_exact_test_of_means_against_scipy() -> None:
    rng = np.random.default_rng(6)
    one, other = rng.normal(size=9), rng.normal(0.7, size=9)
    theirs = stats.permutation_test(
        (one, other), lambda a, b: a.mean() - b.mean(), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    found = paired_test(average(one), average(other))
    assert found.exact
    assert found.p == pytest.approx(theirs)


def test_the_exact_test_of_pooled_f1_by_enumeration() -> None:
    rng = np.random.default_rng(7)
    one, other = random_counts(rng, 7, 0.8), random_counts(rng, 7, 0.4)
    gaps = []
    for swap in itertools.product([0, 1], repeat=7):
        rows = [(b, a) if s else (a, b) for s, a, b in zip(swap, one.table, other.table, strict=True)]
        first, second = (np.sum([row[i] for row in rows], axis=0) for i in (0, 1))
        gaps.append(abs(first[0] / first[1] - second[0] / second[1]))
    found = paired_test(one, other)
    assert found.exact
    assert found.p == np.mean(np.array(gaps) >= gaps[0] - 1e-12)
    assert 2 / 2**7 < found.p < 1


def test_drawn_swaps_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(8)
    one, other = random_counts(rng, 13, 0.7), random_counts(rng, 13, 0.5)
    all_of_them, some = paired_test(one, other, 2**13), paired_test(one, other, 4000)
    assert (all_of_them.exact, some.exact) == (True, False)
    assert some.p == pytest.approx(all_of_them.p, abs=4 * math.sqrt(0.25 / 4000))


def test_documents_on_which_both_do_the_same_change_nothing() -> None:
    rng = np.random.default_rng(9)
    one, other = rng.normal(size=8), rng.normal(size=8)
    same = rng.normal(size=500)
    found = paired_test(average(np.append(one, same)), average(np.append(other, same)))
    assert found == paired_test(average(one), average(other))
    assert found.exact


def test_p_is_uniform_where_runs_are_exchangeable() -> None:
    rng = np.random.default_rng(10)
    found = []
    for i in range(400):
        found.append(paired_test(random_counts(rng, 60), random_counts(rng, 60), 199, seed=i).p)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert abs(np.mean(np.array(found) <= 0.05) - 0.05) < 3 * math.sqrt(0.05 * 0.95 / 400)


def test_p_is_small_where_one_is_better() -> None:
    rng = np.random.default_rng(11)
    found = [paired_test(random_counts(rng, 300, 0.7), random_counts(rng, 300, 0.4), 499).p for _ in range(20)]
    assert max(found) < 0.01
    assert min(found) == 1 / 500


def test_a_run_against_itself() -> None:
    one = random_counts(np.random.default_rng(12), 30)
    assert paired_test(one, one) == (1.0, True)
    found = differences({"f1": one}, {"f1": one}, 200)["f1"]
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_differences_change_sign_with_the_order() -> None:
    rng = np.random.default_rng(13)
    one, other = random_counts(rng, 40, 0.8), random_counts(rng, 40, 0.3)
    there, back = differences({"a": one}, {"a": other}, 999)["a"], differences({"a": other}, {"a": one}, 999)["a"]
    assert there.difference == pytest.approx(one.value - other.value)
    assert there.difference == -back.difference
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), rel=0.02)
    assert there.p == back.p
    assert there.low < there.difference < there.high


def test_figures_that_one_run_lacks_are_left_out() -> None:
    assert differences({"a": average([1.0, 2.0])}, {"b": average([1.0, 2.0])}, 10) == {}


def test_runs_on_other_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="same documents"):
        paired_test(average([1.0]), average([1.0, 2.0]))
    with pytest.raises(ValueError, match="same figure"):
        paired_test(average([1.0]), balanced(average([1.0]), average([1.0])))


def test_one_document_proves_nothing() -> None:
    assert paired_test(average([1.0]), average([0.0])) == (1.0, True)


def test_no_number_no_p() -> None:
    assert math.isnan(paired_test(average([1.0, math.nan]), average([0.0, 1.0])).p)
    assert math.isnan(seeds_test([1.0, math.nan], [0.0, 1.0]).p)


# Methods, and several questions.


def test_seeds_against_scipy() -> None:
    rng = np.random.default_rng(14)
    one, other = rng.normal(size=5), rng.normal(1.0, size=5)
    theirs = stats.permutation_test(
        (one, other), lambda a, b: a.mean() - b.mean(), permutation_type="independent", n_resamples=np.inf
    ).pvalue
    found = seeds_test(one.tolist(), other.tolist())
    assert found.exact
    assert found.p == pytest.approx(theirs)
    some = seeds_test(one.tolist(), other.tolist(), draws=200)
    assert not some.exact
    assert some.p == pytest.approx(theirs, abs=0.15)


def test_the_least_p_of_five_seeds_against_five() -> None:
    assert seeds_test([5, 6, 7, 8, 9], [0, 1, 2, 3, 4]) == (2 / 252, True)
    assert seeds_test([5, 6, 7], [0, 1, 2]).p == 2 / 20


def test_methods_without_figures_are_refused() -> None:
    with pytest.raises(ValueError, match="both methods"):
        seeds_test([], [1.0])


def test_holm_by_hand() -> None:
    # In order .01, .02, .03, times 3, 2, 1: .03, .04, .03 -> .04 (never below the one before).
    found = holm({"a": 0.03, "b": 0.01, "c": 0.02, "d": math.nan})
    assert {name: found[name] for name in "abc"} == pytest.approx({"a": 0.04, "b": 0.03, "c": 0.04})
    assert math.isnan(found["d"])
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_several_runs_are_one_of_more_words() -> None:
    one, other = quotient([1, 0], [2, 2]), quotient([2, 1], [2, 4])
    assert added([one, other]).value == (1 + 0 + 2 + 1) / (2 + 2 + 2 + 4)
    with pytest.raises(ValueError, match="same documents"):
        added([one, quotient([1], [1])])


def test_nothing_here_needs_the_order_of_documents() -> None:
    rng = np.random.default_rng(15)
    one, other = random_counts(rng, 9), random_counts(rng, 9)
    order = rng.permutation(9)
    moved, other_moved = (Statistic(s.table[order], s.of) for s in (one, other))
    assert paired_test(moved, other_moved).p == paired_test(one, other).p


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "< .001"), (0.001, ".001"), (0.0316, ".032"), (1.0, "1.000"), (math.nan, "-")]
)
def test_p_values_in_tables(p: float, text: str) -> None:
    assert p_text(p) == text
