"""Predictive distributions of ratings of few levels, against sums over the levels and integrals on a grid."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_rationale.tasks import LevelMixture, TargetSpec, task_of

SPEC = TargetSpec("ordinal", ("a", "b"), ((1.0, 5.0), (0.0, 1.0)), levels=(5, 3))
LEVELS = ([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 0.5, 1.0])


def mixture(documents: int = 6, masks: int = 4) -> LevelMixture:
    random = np.random.default_rng(0)
    noise = np.zeros((masks, documents, 2, 5))
    noise[:, :, 0] = random.dirichlet(np.ones(5), (masks, documents))
    noise[:, :, 1, :3] = random.dirichlet(np.ones(3), (masks, documents))
    levels = np.array([LEVELS[0], [*LEVELS[1], 1.0, 1.0]])
    made = task_of(SPEC).mixture((noise * levels).sum(-1), noise, random.dirichlet(np.ones(masks), documents).T)
    assert isinstance(made, LevelMixture)
    return made


def by_hand(made: LevelMixture, b: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels and probabilities of one target of one document."""
    shares = sum(w * p for w, p in zip(made.weights[:, b], made.probabilities[:, b, d], strict=True))
    return np.array(LEVELS[d]), np.asarray(shares)[: len(LEVELS[d])]


def test_moments_and_scores_against_sums() -> None:
    made = mixture()
    targets = np.column_stack([[1.0, 5.0, 3.0, 3.0, 2.5, 6.0], [0.0, 1.0, 0.5, 0.5, 0.1, -0.25]])
    crps, log_prob, pit, cdf = made.crps(targets), made.log_prob(targets), made.pit(targets), made.cdf(targets)
    for b in range(6):
        for d in range(2):
            levels, shares = by_hand(made, b, d)
            y = targets[b, d]
            mean = float(shares @ levels)
            assert made.mean[b, d] == pytest.approx(mean)
            assert made.sd[b, d] == pytest.approx(np.sqrt(shares @ (levels - mean) ** 2))
            # CRPS = E|X - y| - E|X - X'| / 2
            apart = np.abs(levels[:, None] - levels)
            assert crps[b, d] == pytest.approx(shares @ np.abs(levels - y) - 0.5 * shares @ apart @ shares)
            near = int(np.abs(levels - y).argmin())
            assert log_prob[b, d] == pytest.approx(np.log(shares[near]))
            assert pit[b, d] == pytest.approx(shares[:near].sum() + 0.5 * shares[near])
            assert cdf[b, d] == pytest.approx(shares[levels <= y].sum())


def test_quantiles_are_those_of_the_mid_distribution() -> None:
    made = mixture()
    for probability in (0.05, 0.3, 0.5, 0.8, 0.95):
        for b in range(6):
            for d in range(2):
                levels, shares = by_hand(made, b, d)
                middles = np.cumsum(shares) - 0.5 * shares
                assert made.quantile(probability)[b, d] == pytest.approx(np.interp(probability, middles, levels))


@pytest.mark.parametrize(
    ("shares", "level", "ends"),
    [
        ([0.04, 0.06, 0.3, 0.4, 0.2], 0.9, (3, 5)),
        ([0.04, 0.06, 0.3, 0.4, 0.2], 0.98, (2, 5)),
        ([0.04, 0.06, 0.3, 0.4, 0.2], 0.4, (4, 4)),
        ([0.0, 0.05, 0.0, 0.95, 0.0], 0.9, (4, 4)),
        ([0.5, 0.0, 0.0, 0.0, 0.5], 0.9, (1, 5)),
        ([0.02, 0.98, 0.0, 0.0, 0.0], 0.5, (2, 2)),  # one end is as near, and is not the median
        ([0.0, 0.0, 0.0, 0.0, 1.0], 0.9, (5, 5)),
        ([0.1, 0.01, 0.3, 0.3, 0.29], 0.9, (2, 5)),
        ([0.1, 0.1, 0.3, 0.3, 0.2], 0.9, (2, 5)),
        ([0.03, 0.09, 0.37, 0.42, 0.09], 0.9, (2, 4)),  # 1 to 4 is nearer to 90 %, without 5, which is likelier than 1
        ([0.08, 0.42, 0.37, 0.1, 0.03], 0.9, (2, 4)),
        ([0.49, 0.02, 0.49, 0.0, 0.0], 0.9, (1, 3)),  # the median itself may have little
    ],
)
def test_an_interval_is_the_stretch_of_levels_of_the_nearest_probability(
    shares: list[float], level: float, ends: tuple[float, float]
) -> None:
    noise = np.array([[[shares, [0.45, 0.05, 0.5, 0.0, 0.0]]]])
    bounds = task_of(SPEC).mixture(np.zeros((1, 1, 2)), noise, np.ones((1, 1))).interval_bounds(level, SPEC.ranges)
    assert tuple(bounds[0, 0]) == ends
    assert bounds[0, 1].max() <= 1.0


def test_intervals_cover_about_what_they_say_and_less_than_those_between_quantiles() -> None:
    random = np.random.default_rng(1)
    noise = np.zeros((1, 20_000, 1, 5))
    noise[0, :, 0] = shares = random.dirichlet(np.ones(5), 20_000)
    spec = TargetSpec("ordinal", ("a",), ((1.0, 5.0),), levels=(5,))
    made = task_of(spec).mixture(noise @ np.arange(1.0, 6.0), noise, np.ones((1, 20_000)))
    below = np.cumsum(shares, 1)
    drawn = 1.0 + (random.random((20_000, 1)) > below).sum(1)
    for level in (0.5, 0.8, 0.9):
        low, high = np.moveaxis(made.interval_bounds(level, ())[:, 0], -1, 0)
        tail = (1 - level) / 2
        quantiles = (1.0 + (below < tail).sum(1) <= drawn) & (drawn <= 1.0 + (below < 1 - tail).sum(1))
        covered = np.mean((low <= drawn) & (drawn <= high))
        assert covered == pytest.approx(level, abs=0.05)
        assert quantiles.mean() > covered + 0.03


def test_no_stretch_would_hold_more_if_it_were_moved_by_one_level_and_it_is_narrower_for_it() -> None:
    """Beside the nearest stretch whatever its ends are: about as near to 90 % on average, and narrower."""
    random = np.random.default_rng(2)
    ends = 1.0 / (1.0 + np.exp(-(np.linspace(-3, 3, 4) - random.normal(0, 2, (5000, 10, 1)).cumsum(1) / 5)))
    ends = np.concatenate([np.zeros((5000, 10, 1)), ends, np.ones((5000, 10, 1))], 2)
    noise = np.diff(ends, axis=2).transpose(1, 0, 2)[:, :, None]  # ten masks with cumulative logits of five levels
    spec = TargetSpec("ordinal", ("a",), ((1.0, 5.0),), levels=(5,))
    made = task_of(spec).mixture(noise @ np.arange(1.0, 6.0), noise, np.full((10, 5000), 0.1))
    assert isinstance(made, LevelMixture)
    shares, levels = made.shares[:, 0], np.arange(1, 6)
    low, high = np.moveaxis(made.interval_bounds(0.9, ())[:, 0], -1, 0)
    held = np.where((low[:, None] <= levels) & (levels <= high[:, None]), shares, 0.0).sum(1)
    edged = np.pad(shares, ((0, 0), (1, 1)))
    at = [np.take_along_axis(edged, end[:, None].astype(int), 1)[:, 0] for end in (low, high, low - 1, high + 1)]
    assert np.all(((at[0] >= at[3] - 1e-9) & (at[1] >= at[2] - 1e-9)) | (low == high))
    first, last = np.triu_indices(5)
    every = np.stack([shares[:, a : b + 1].sum(1) for a, b in zip(first, last, strict=True)], 1)
    median = (np.cumsum(shares, 1) < 0.5).sum(1)[:, None]
    nearest = np.where((first <= median) & (median <= last), np.abs(every - 0.9), np.inf).argmin(1)
    before = every[np.arange(5000), nearest]
    assert abs(held.mean() - 0.9) < abs(before.mean() - 0.9) + 0.01
    assert np.mean(high - low) < np.mean((last - first)[nearest]) - 0.05


def test_many_levels_of_little_probability_each_are_no_single_one() -> None:
    spec = TargetSpec("ordinal", ("a",), ((1.0, 50.0),), levels=(50,))
    noise = np.full((1, 1, 1, 50), 0.02)
    low, high = task_of(spec).mixture(np.full((1, 1, 1), 25.5), noise, np.ones((1, 1))).interval_bounds(0.9, ())[0, 0]
    assert high - low == 44


def test_stacked_mixtures_are_those_of_each_document() -> None:
    made = mixture()
    alone = [
        LevelMixture(
            means=made.means[:, b], sds=made.sds[:, b], weights=made.weights[:, b],
            probabilities=made.probabilities[:, b], levels=made.levels,
        )
        for b in range(6)
    ]  # fmt: skip
    first = alone[0]
    some = first.weights[:2] / first.weights[:2].sum()
    alone[0] = LevelMixture(
        means=first.means[:2], sds=first.sds[:2], weights=some, probabilities=first.probabilities[:2],
        levels=first.levels,
    )  # fmt: skip
    stacked = LevelMixture.stack(alone)
    targets = np.array([3.0, 0.5])
    for b, one in enumerate(alone):
        for name in ("mean", "sd"):
            assert getattr(stacked, name)[b] == pytest.approx(getattr(one, name))
        assert stacked.crps(np.tile(targets, (6, 1)))[b] == pytest.approx(one.crps(targets))
        assert stacked.interval_bounds(0.8, SPEC.ranges)[b].tolist() == one.interval_bounds(0.8, SPEC.ranges).tolist()


def test_an_interval_around_the_mean_ends_on_levels_and_has_one() -> None:
    """Conformal intervals do: they hold exactly the levels that are no further from the mean than they reach."""
    made = mixture()
    for reach in (0.0, 0.1, 0.3, 0.8, 2.0, np.inf):
        ends = made.around(np.full(made.mean.shape, reach), SPEC.ranges)
        for b in range(6):
            for d in range(2):
                levels, mean = np.array(LEVELS[d]), made.mean[b, d]
                near = levels[np.abs(levels - mean) <= reach]
                expected = near if len(near) else levels[[np.abs(levels - mean).argmin()]]
                assert ends[b, d].tolist() == [expected[0], expected[-1]]
