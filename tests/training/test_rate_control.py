"""The descent of the share of kept words: schedules, a damped and clamped multiplier, a prior that ends as asked."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyro_rationale.distributions import ChainPrior
from pyro_rationale.guides import START_RATE
from pyro_rationale.training.rate_control import (
    INITIAL_ALPHA,
    LARGEST_CORRECTION,
    STEADY,
    TOLERANCE_DURING_ANNEALING,
    PenaltyRamp,
    RateControl,
    Schedule,
)

PRIOR = ChainPrior.from_rate_span(0.1, 3.0)
RATES = st.floats(0.001, 0.999)
SHARES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60)


def control(warmup: float = 0, anneal: float = 100, rate: float = 0.1) -> RateControl:
    return RateControl(Schedule(warmup, anneal, rate), PRIOR)


def held(steered: RateControl, step: int, observed: float, times: int = 200) -> ChainPrior:
    """The prior after the same share has been observed for a while."""
    for _ in range(times):
        prior = steered.update(step, observed)
    return prior


# Schedules.


@given(warmup=st.integers(0, 500), anneal=st.floats(0.0, 1000.0), rate=RATES, step=st.integers(0, 2000))
def test_a_target_only_comes_down(warmup: int, anneal: float, rate: float, step: int) -> None:
    schedule = Schedule(warmup, anneal, rate)
    now, then = schedule.target(step), schedule.target(step + 1)
    assert then <= now * (1 + 1e-12)
    assert rate * (1 - 1e-9) <= now <= max(START_RATE, rate) * (1 + 1e-9)
    assert schedule.finished(warmup + math.ceil(anneal) + 1)
    if step < warmup:
        assert now == pytest.approx(max(START_RATE, rate))
        assert not schedule.finished(step)
    if schedule.finished(step):
        assert now == pytest.approx(rate)


def test_the_descent_takes_the_same_proportion_at_each_step() -> None:
    schedule = Schedule(warmup=10, anneal=50, rate=0.05)
    targets = [schedule.target(step) for step in range(10, 61)]
    ratios = [then / now for now, then in pairwise(targets)]
    assert ratios == pytest.approx([(0.05 / START_RATE) ** (1 / 50)] * 50)
    assert not schedule.finished(59)
    assert schedule.finished(60)


def test_no_anneal_is_a_jump() -> None:
    schedule = Schedule(warmup=5, anneal=0, rate=0.2)
    assert [schedule.progress(step) for step in (0, 4, 5, 6)] == [0.0, 0.0, 1.0, 1.0]
    assert schedule.target(5) == pytest.approx(0.2)


def test_a_rate_above_the_start_is_kept() -> None:
    schedule = Schedule(warmup=0, anneal=10, rate=0.9)
    assert [schedule.target(step) for step in (0, 5, 20)] == pytest.approx([0.9] * 3)


# The prior asked for, reached slowly.


def test_the_prior_grows_from_a_permissive_one() -> None:
    """Where the rate gives no reason to steer, the field is the schedule's alone."""
    steered = control()
    steered.average = START_RATE
    first = steered.update(0, START_RATE)
    assert first.alpha == pytest.approx(INITIAL_ALPHA)
    assert first.gamma == 0.0
    halfway = control()
    halfway.average = target = halfway.target(50)
    prior = halfway.update(50, target)
    assert prior.alpha == pytest.approx((INITIAL_ALPHA + PRIOR.alpha) / 2)
    assert prior.gamma == pytest.approx(PRIOR.gamma / 2)


@pytest.mark.parametrize("share", [1.0, 0.6, 0.3])
def test_at_the_end_the_prior_is_the_one_asked_for(share: float) -> None:
    """Nothing changes while no more than the target is kept, and not next to nothing."""
    steered = control()
    steered.average = share * 0.1
    prior = steered.update(1000, share * 0.1)
    assert prior.alpha == pytest.approx(PRIOR.alpha)
    assert prior.gamma == PRIOR.gamma


def test_more_than_the_target_is_pressed_and_ever_more() -> None:
    steered = control()
    fields = [steered.update(1000, 0.5).alpha for _ in range(400)]
    rises = [then - now for now, then in pairwise(fields)]
    assert fields[0] > PRIOR.alpha
    assert min(rises) >= 0
    assert fields[-1] > fields[200] > fields[0]


def test_next_to_nothing_is_let_go_at_once() -> None:
    """The field falls below the prior's own within a few batches, and the multiplier comes down too."""
    steered = control()
    held(steered, 1000, 0.5)
    pressed = steered.multiplier
    steered.average = 0.001
    prior = held(steered, 1000, 0.0, times=3)
    assert steered.multiplier < pressed
    assert prior.alpha < PRIOR.alpha + pressed - 1.0
    steered.multiplier = 0.0
    assert steered.update(1000, 0.0).alpha < PRIOR.alpha - 1.0


def test_words_go_no_faster_than_the_target_until_it_is_reached() -> None:
    """Four fifths of the target is too little on the way, and nobody's business at the end."""
    way, end = control(anneal=100), control(anneal=100)
    way.average, end.average = 0.8 * way.target(60), 0.8 * end.target(100)
    on_the_way = held(way, 60, way.average)
    asked = INITIAL_ALPHA + 0.6 * (PRIOR.alpha - INITIAL_ALPHA)
    released = way.proportional_gain * (0.8 / TOLERANCE_DURING_ANNEALING - 1.0)
    assert on_the_way.alpha == pytest.approx(asked + released, abs=1e-6)
    assert held(end, 100, end.average).alpha == pytest.approx(PRIOR.alpha)


def test_one_odd_batch_changes_little() -> None:
    calm, disturbed = control(), control()
    held(calm, 1000, 0.1)
    held(disturbed, 1000, 0.1)
    before = disturbed.average
    disturbed.update(1000, 1.0)
    assert abs(disturbed.average - before) <= 0.1
    assert disturbed.multiplier - calm.multiplier <= disturbed.integral_gain


@given(shares=SHARES, step=st.integers(0, 300))
def test_the_multiplier_is_clamped_and_the_field_bounded(shares: list[float], step: int) -> None:
    steered = control()
    for share in shares:
        before = steered.multiplier
        prior = steered.update(step, share)
        assert 0.0 <= steered.multiplier <= steered.ceiling
        assert abs(steered.multiplier - before) <= steered.integral_gain * (1 + 1e-9)
        low, high = min(INITIAL_ALPHA, PRIOR.alpha), max(INITIAL_ALPHA, PRIOR.alpha)
        assert low - steered.proportional_gain <= prior.alpha <= high + steered.ceiling + steered.proportional_gain
        assert 0.0 <= prior.gamma <= PRIOR.gamma


def test_the_ceiling_is_reached_and_kept() -> None:
    steered = control()
    held(steered, 1000, 1.0, times=math.ceil(2 * steered.ceiling / steered.integral_gain))
    assert steered.multiplier == steered.ceiling


@pytest.mark.parametrize("stubborn", [1.0, 3.0])
def test_a_select_all_state_comes_down_and_does_not_end_empty(stubborn: float) -> None:
    """Words differ in what they are worth, in nats; a tenth are worth far more. The guide follows the field slowly."""
    generator = torch.Generator().manual_seed(4)
    worth = stubborn * torch.rand(1000, generator=generator)
    worth[:100] += 8.0
    steered = control(anneal=400, rate=0.13)
    logits = torch.full((1000,), 1.5)
    shares = []
    prior = steered.update(0, START_RATE)
    for step in range(1500):
        share = float(torch.sigmoid(logits).mean())
        shares.append(share)
        prior = steered.update(step, share)
        logits += 0.1 * (worth - prior.alpha).clamp(-1, 1)
        logits.clamp_(-6, 6)
    assert min(shares) > 0.1 * 0.13
    assert shares[-1] < 1.2 * 0.13
    assert bool((logits[:100] > 0).all())
    assert bool((logits[100:] < 0).all())


@given(shares=SHARES)
def test_its_state_is_all_that_it_remembers(shares: list[float]) -> None:
    steered, other = control(), control()
    for step, share in enumerate(shares):
        steered.update(step, share)
    other.restore(json.loads(json.dumps(steered.state())))
    assert other == steered
    assert other.update(77, 0.3) == steered.update(77, 0.3)


# A rate that is met, not only bounded.


def meeting(rate: float = 0.1) -> RateControl:
    return RateControl(Schedule(0, 0, rate), PRIOR, meet=True)


def test_a_rate_to_be_met_is_held_from_below() -> None:
    """A bound is content with half of it; a target gives words back, below the requested field if need be."""
    bound, target = control(anneal=0), meeting()
    for steered in (bound, target):
        steered.average = 0.05
    assert held(bound, 1000, 0.05).alpha == pytest.approx(PRIOR.alpha)
    assert held(target, 1000, 0.05).alpha < PRIOR.alpha - 1.0
    assert -target.ceiling <= target.multiplier < 0.0
    assert held(target, 1000, 0.5).alpha > PRIOR.alpha


def test_a_guide_of_too_few_words_comes_up_to_the_rate() -> None:
    """Words of little worth: at the requested field a tenth of what is wanted would be kept."""
    steered, worth = meeting(0.2), torch.linspace(-3.0, 1.5, 1000) - 2.0
    logits, share = torch.full((1000,), -1.5), 0.2
    for step in range(3000):
        share = float(torch.sigmoid(logits).mean())
        prior = steered.update(step, share)
        logits = (logits + 0.05 * (worth - prior.alpha - logits)).clamp(-8, 8)
    assert share == pytest.approx(0.2, rel=0.1)


def test_long_runs_are_steered_more_gently() -> None:
    """A field does more to a run of eight words than to one of three."""
    long = ChainPrior.from_rate_span(0.1, 8.0)
    words, runs = (RateControl(Schedule(0, 0, 0.1), prior, meet=True) for prior in (PRIOR, long))
    for steered in (words, runs):
        steered.average = 0.2
    ratio = (runs.update(1000, 0.2).alpha - long.alpha) / (words.update(1000, 0.2).alpha - PRIOR.alpha)
    assert ratio == pytest.approx(math.sqrt(3.0 / 8.0))


def test_the_target_follows_what_modes_keep() -> None:
    """Modes that keep two thirds of what is expected: the correction settles where they keep the requested share."""
    steered, modes = meeting(), 1.0
    for _ in range(12):
        steered.average = steered.target(100)
        modes = 0.66 * steered.average
        steered.observe_modes(100, modes)
    assert modes == pytest.approx(0.1, rel=0.05)
    assert 1.0 < steered.correction < LARGEST_CORRECTION
    before, steered.average = steered.correction, 2.0 * steered.target(100)
    steered.observe_modes(100, 0.0)
    assert steered.correction == before
    steered.average = steered.target(100)
    steered.observe_modes(100, 0.0)
    assert steered.correction == LARGEST_CORRECTION
    again = meeting()
    again.restore(steered.state())
    assert again == steered
    on_the_way, bound = RateControl(Schedule(0, 1000, 0.1), PRIOR, meet=True), control(anneal=0)
    for unmoved in (on_the_way, bound):
        unmoved.average = unmoved.target(100)
        unmoved.observe_modes(100, 0.01)
        assert unmoved.correction == 1.0


# Long texts, whose guide answers strongly and late.

LONG_RUNS = ChainPrior.from_rate_span(0.15, 8.0)


def spread(steered: RateControl, seed: int = 0) -> tuple[float, float]:
    """Least and largest share of a guide that follows the price by Adam's momentum, while the evidence drifts.

    Its share changes by a factor of 900 per nat, as that of a chain does in which 15 % of the words are kept in runs
    of eight; batches tell it to within 8 %. Pace and drift are such that it swings as real fits of long texts did.
    """
    noise, momentum, logit, shares = random.Random(seed), 0.0, 0.0, []
    for step in range(1000, 1600):
        share = min(0.95, 0.15 * math.exp(6.8 * logit))
        shares.append(share)
        price = steered.update(step, share * math.exp(0.08 * noise.gauss(0.0, 1.0))).alpha - LONG_RUNS.alpha
        wanted = 0.6 * min(1.0, (step - 1000) / 150) - price
        momentum = 0.9 * momentum + 0.1 * (wanted - logit)
        logit += 0.08 * momentum
    return min(shares[200:]), max(shares[200:])


def test_a_trend_that_is_answered_keeps_the_share_of_long_texts_steady() -> None:
    plain, steady = (
        RateControl(Schedule(0, 0, 0.15), LONG_RUNS, average=0.15, meet=True, **gains) for gains in ({}, STEADY)
    )
    least, largest = spread(plain)
    assert largest > 5.0 * least
    least, largest = spread(steady)
    assert 0.1 < least < largest < 0.2


def test_a_steady_control_holds_the_share_from_below_on_the_way() -> None:
    plain, steady = (
        RateControl(Schedule(0, 1000, 0.15), LONG_RUNS, average=0.1, meet=True, **gains) for gains in ({}, STEADY)
    )
    for steered in (plain, steady):
        held(steered, 100, 0.1)
    assert plain.multiplier == 0.0
    assert -steady.ceiling < steady.multiplier < 0.0


def test_whole_texts_of_a_warm_up_are_no_trend() -> None:
    """Training begins, and begins anew after memorisation, with an update of all words."""
    steered = RateControl(Schedule(100, 100, 0.15), LONG_RUNS, average=0.35, meet=True, **STEADY)
    before = steered.average
    steered.update(0, 1.0)
    assert steered.average == before
    held(steered, 150, 0.0)
    assert math.isfinite(steered.update(151, 0.0).alpha)


def test_a_resumed_fit_goes_on_with_the_gains_that_it_began_with() -> None:
    """Also one of a version that steered long texts as all others, whose checkpoints name no gains."""
    steady, plain = (RateControl(Schedule(0, 0, 0.15), LONG_RUNS, meet=True, **gains) for gains in (STEADY, {}))
    for one, other in ((steady, plain), (plain, steady)):
        again = replace(other)
        again.restore(json.loads(json.dumps(one.state())))
        assert again == one
    older = {name: value for name, value in plain.state().items() if name not in STEADY}
    steady.restore(older)
    assert steady == plain


# Penalties instead of a rate.


def test_given_penalties_grow_to_their_own_strength_whatever_is_kept() -> None:
    ramp = PenaltyRamp(Schedule(10, 100, 0.1), PRIOR)
    for step, strength in ((0, 0.0), (10, 0.0), (60, 0.5), (110, 1.0), (5000, 1.0)):
        for share in (0.0, 0.1, 1.0):
            prior = ramp.update(step, share)
            assert prior.alpha == pytest.approx(strength * PRIOR.alpha)
            assert prior.gamma == pytest.approx(strength * PRIOR.gamma)
    assert math.isnan(ramp.target(0))
    assert ramp.state() == {}
    ramp.restore({})


def test_a_descent_may_start_lower() -> None:
    schedule = Schedule(0, 100, 0.1, start=0.4)
    assert [schedule.target(step) for step in (0, 50, 100)] == pytest.approx([0.4, 0.2, 0.1])
    steered = RateControl(schedule, PRIOR)
    assert steered.average == 0.4
    assert steered.update(0, 0.4).alpha == pytest.approx(INITIAL_ALPHA + math.log(3.0) - math.log(2.0 / 3.0))


def test_the_price_of_a_sentence_rises_higher_and_faster_than_that_of_a_word() -> None:
    """By a ceiling of as many times, and by gains of the root of that."""
    word, sentence = (RateControl(Schedule(0, 0, 0.1), PRIOR, meet=True, average=0.2, words=n) for n in (1.0, 16.0))
    for control in (word, sentence):
        control.update(1, 0.2)
    assert sentence.multiplier == pytest.approx(4.0 * word.multiplier)
    for control in (word, sentence):
        for step in range(20_000):
            control.update(step, 0.2)
    assert (word.multiplier, sentence.multiplier) == (word.ceiling, 16.0 * word.ceiling)
