"""Control of the share of kept words: a target rate that is annealed, and nats per kept word that follow it.

What a control gives for each step is the chain that guides are trained against: prior and constraint in one. The model
tells the two apart (`RationaleModel.prior`, `.constraint`).

A multiplier that merely chases a target overshoots: the select-all state resists until the penalty is large, then
everything goes and nothing comes back (docs/explanation/mathematics.md). Here the chain is annealed from a permissive
one to the requested prior together with the target. A damped, clamped multiplier (a PI controller) adds to it only
where more than the target is kept, and when the rate falls below target the penalty is reduced immediately, so that the
kept rate never drops faster than scheduled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyro_rationale.distributions import AspectPriors, ChainPrior
from pyro_rationale.guides import START_RATE
from pyro_rationale.training.schedules import SCHEDULES

INITIAL_ALPHA = -1.0  # the field, in nats per word, under which an untrained guide keeps about three words in four
# Lower edge of the tolerated rate, as a share of the target. If the guide sparsifies faster than the schedule it
# converges before the encoder is trained, with several per cent of the texts empty. Once the target is reached the
# prior alone decides, unless next to nothing is kept; a rate that has to be met is held from below, too.
TOLERANCE_DURING_ANNEALING, TOLERANCE_AFTER, TOLERANCE_MET = 0.9, 0.1, 0.95
# Mode masks of a guide that hesitates keep fewer words than it does on average, by up to a half. What is steered to is
# the requested share times a correction that follows the development texts, half of the way at each epoch.
CORRECTION_PACE, LARGEST_CORRECTION, NEAR = 0.5, 2.0, 0.3
# The guide answers to a price some twenty steps late, through Adam's momentum and the running average that the price
# follows. Of long texts it answers strongly as well, and the share swung between 5 and 40 % of the words. Their batches
# tell the share so well that it takes little averaging, and that its trend can be answered before the share is wrong.
LONG = 400  # words of a median text
STEADY: dict[str, float] = {"pace": 0.25, "integral_gain": 0.05, "damping": 2.0}
LEAST = 1e-3  # share of words below which there is no trend


def corrected(correction: float, rate: float, observed: float) -> float:
    """The factor on the share that a control steers to, after the mode masks of an epoch kept the share `observed`."""
    wanted = correction * (rate / max(observed, 1e-3)) ** CORRECTION_PACE
    return min(LARGEST_CORRECTION, max(1.0 / LARGEST_CORRECTION, wanted))


@dataclass(frozen=True)
class Schedule:
    """Annealing of the target rate, in steps.

    Attributes:
        warmup: steps on whole texts; the guide rests.
        anneal: steps over which the target falls from `start` to `rate`, and the prior grows to full strength.
        rate: the final target.
        shape: name in :data:`pyro_rationale.training.schedules.SCHEDULES`.
        start: share of words that the untrained guide keeps.
    """

    warmup: float
    anneal: float
    rate: float
    shape: str = "geometric"
    start: float = START_RATE

    def progress(self, step: int) -> float:
        """Progress of the annealing, 0 to 1."""
        if self.anneal <= 0:
            return float(step >= self.warmup)
        return min(1.0, max(0.0, (step - self.warmup) / self.anneal))

    def target(self, step: int) -> float:
        """Largest share of words to keep at `step`."""
        return SCHEDULES[self.shape](max(self.start, self.rate), self.rate, self.progress(step))

    def finished(self, step: int) -> bool:
        """Whether the target has reached its final value."""
        return self.progress(step) >= 1.0


@dataclass
class RateControl:
    """Annealing to the requested prior, plus a damped multiplier on the number of kept words (a PI controller).

    Attributes:
        schedule: the target over time.
        prior: the requested one; all that is charged at the end, and while no more than the target is kept.
        integral_gain: nats per step at a relative error of 1.
        proportional_gain: nats at a relative error of 1.
        ceiling: largest multiplier, nats per word.
        multiplier: integral of the error, nats per word; below 0 only if the rate has to be met.
        average: running average of the observed rate; that of an untrained guide at first.
        pace: share of a batch in the running average.
        damping: nats per e-fold by which the running average grows in a step (the D of a PID controller). With it, a
            rate that has to be met (`meet`) is held from below while it is annealed as well.
        meet: hold the rate from below, too, instead of bounding it. Then gains are divided by the root of how many
            words a run has for each that it has by chance: so many times more, in nats, a field does to a run than to a
            word. The gains for single words make runs of eight swing between all and nothing; gains divided by the
            whole number reach the rate too late.
        correction: factor on the target by which mode masks meet the rate; 1 unless `meet`.
        words: mean number of words of what is kept or dropped as a whole. A sentence is worth as many nats as its words
            are, so that its price may rise so many times as high, and rises by the root of that as fast.
    """

    schedule: Schedule
    prior: ChainPrior
    integral_gain: float = 0.02
    proportional_gain: float = 2.0
    ceiling: float = 12.0
    multiplier: float = 0.0
    average: float = math.nan
    pace: float = 0.1
    damping: float = 0.0
    meet: bool = False
    correction: float = 1.0
    words: float = 1.0

    def __post_init__(self) -> None:
        if math.isnan(self.average):
            self.average = self.schedule.start

    def update(self, step: int, observed: float, changes: float = math.nan) -> ChainPrior:
        """Take the share of words kept on a training batch; give the chain that the next step is trained against."""
        before = self.average
        if not self.damping or step > self.schedule.warmup:  # whole texts of a warm-up are no trend
            self.average += self.pace * (observed - self.average)
        progress = self.schedule.progress(step)
        error = self._error(step)
        ceiling = self.ceiling * self.words
        lowest = -ceiling if self.meet and (self.damping or self.schedule.finished(step)) else 0.0
        longer = max(1.0, self.prior.span * (1.0 - self.prior.rate))  # a run than by chance
        slower = (math.sqrt(1.0 + progress * (longer - 1.0)) if self.meet else 1.0) / math.sqrt(self.words)
        integral = self.integral_gain / slower * error
        self.multiplier = min(ceiling, max(lowest, self.multiplier + integral))
        first = INITIAL_ALPHA + _logit(START_RATE) - _logit(self.schedule.start)
        base = first + progress * (self.prior.alpha - first)
        proportional = self.proportional_gain / slower * error
        if self.damping:
            trend = math.log(max(self.average, LEAST) / max(before, LEAST))
            price = self.multiplier + proportional + self.damping * trend
        else:
            price = max(min(0.0, self.multiplier), self.multiplier + proportional) + min(0.0, proportional)
        return ChainPrior(base + price, self.prior.gamma * progress)

    def _error(self, step: int) -> float:
        """Relative error of the rate, in [-1, 1]; 0 between the target and the lower edge of the tolerated rate."""
        target = self.target(step)
        after = TOLERANCE_MET if self.meet else TOLERANCE_AFTER
        edge = target * (after if self.schedule.finished(step) else TOLERANCE_DURING_ANNEALING)
        if self.average > target:
            return min(1.0, (self.average - target) / target)
        return min(0.0, (self.average - edge) / edge)

    def target(self, step: int) -> float:
        """The share steered to at `step`."""
        target = self.schedule.target(step)
        return min(max(self.schedule.start, target), target * self.correction)

    def observe_modes(self, step: int, rate: float) -> None:
        """Take the share of words that mode masks of the development texts keep after an epoch.

        While the share of the training batches is still on its way it says nothing about modes.
        """
        near = abs(self.average / self.target(step) - 1.0) < NEAR
        if self.meet and near and self.schedule.finished(step):
            self.correction = corrected(self.correction, self.schedule.rate, rate)

    def state(self) -> dict[str, float]:
        """State for a checkpoint."""
        names = ("multiplier", "average", "correction", *STEADY)
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, float]) -> None:
        """The inverse of `state`.

        Gains are those that the fit began with: without any it is of a version that steered texts of all lengths alike.
        """
        self.multiplier = state["multiplier"]
        self.average = state["average"]
        self.correction = state.get("correction", 1.0)
        for name in STEADY:
            setattr(self, name, state.get(name, getattr(type(self), name)))


@dataclass
class PenaltyRamp:
    """Linear ramp of given penalties (`--lambda1`, `--lambda2`) from 0 to full strength, instead of a target rate."""

    schedule: Schedule
    prior: ChainPrior

    def update(self, step: int, observed: float, changes: float = math.nan) -> ChainPrior:
        """The chain for the next step; the observed rate is ignored."""
        progress = self.schedule.progress(step)
        return ChainPrior(self.prior.alpha * progress, self.prior.gamma * progress)

    def target(self, step: int) -> float:
        """NaN: no rate is steered to."""
        return math.nan

    def observe_modes(self, step: int, rate: float) -> None:
        """The share of kept words is ignored."""

    def state(self) -> dict[str, float]:
        """Empty: there is no state."""
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Nothing to restore."""


@dataclass
class LagrangianControl:
    """Lagrange multipliers of Bastings, Aziz and Titov (2019, section 3.3), in nats: E|z| / n <= target.

    The multiplier of the constraint takes the place of the prior's field. It grows by a factor exp(pace * excess) per
    step, where the excess is a running average of (share of words kept - target), and shrinks where less is kept
    (Rezende and Viola 2018, algorithm 1). Where a target for the changes of the mask is given, a second multiplier
    takes the place of the prior's coupling in the same way; otherwise the coupling is the prior's, growing as it does
    under :class:`RateControl`.

    In the authors' units, cost per share of words kept, the multiplier is field * n / gain for texts of n words.
    Theirs has a fixed target, which is a schedule without descent (`--anneal 0`).

    Attributes:
        schedule: the target over time.
        prior: the requested one; only its coupling is used.
        pace: learning rate of both multipliers (theirs: 0.05).
        transitions: target number of changes per word, or `None`.
        memory: decay of the running averages (theirs: 0.5).
        floor: smallest multiplier, nats.
        ceiling: largest, nats.
        field: multiplier of the rate, nats per kept word.
        coupling: multiplier of the changes, nats each, where `transitions` are steered to.
        excess: running average of the share of kept words over the target.
        excess_changes: running average of the changes over `transitions`.
    """

    schedule: Schedule
    prior: ChainPrior
    pace: float = 0.05
    transitions: float | None = None
    memory: float = 0.5
    floor: float = 1e-4
    ceiling: float = 50.0
    field: float = 0.05
    coupling: float = 0.05
    excess: float = 0.0
    excess_changes: float = 0.0

    def update(self, step: int, observed: float, changes: float = math.nan) -> ChainPrior:
        """Take the share of words kept on a batch and its changes per word; give the next step's chain."""
        self.excess = self._averaged(self.excess, observed - self.target(step))
        self.field = self._moved(self.field, self.excess)
        if self.transitions is None:
            return ChainPrior(self.field, self.prior.gamma * self.schedule.progress(step))
        if not math.isnan(changes):
            self.excess_changes = self._averaged(self.excess_changes, changes - self.transitions)
        self.coupling = self._moved(self.coupling, self.excess_changes)
        return ChainPrior(self.field, self.coupling)

    def _averaged(self, before: float, now: float) -> float:
        return self.memory * before + (1.0 - self.memory) * now

    def _moved(self, multiplier: float, excess: float) -> float:
        return min(self.ceiling, max(self.floor, multiplier * math.exp(self.pace * excess)))

    def target(self, step: int) -> float:
        """The share steered to at `step`."""
        return self.schedule.target(step)

    def observe_modes(self, step: int, rate: float) -> None:
        """The share of mode masks is ignored: the authors steer the expected one."""

    def state(self) -> dict[str, float]:
        """State for a checkpoint."""
        return {name: getattr(self, name) for name in ("field", "coupling", "excess", "excess_changes")}

    def restore(self, state: dict[str, float]) -> None:
        """The inverse of `state`."""
        for name, value in state.items():
            setattr(self, name, value)


def _logit(share: float) -> float:
    return math.log(share / (1.0 - share))


Control = RateControl | PenaltyRamp | LagrangianControl


@dataclass
class AspectControls:
    """A control for each of several targets that have masks of their own, so that each of them keeps its share.

    Attributes:
        controls: one for each target, with one schedule.
    """

    controls: tuple[Control, ...]

    @property
    def schedule(self) -> Schedule:
        """The annealing of the target rate, the same for all."""
        return self.controls[0].schedule

    @schedule.setter
    def schedule(self, schedule: Schedule) -> None:
        for control in self.controls:
            control.schedule = schedule

    @property
    def prior(self) -> ChainPrior:
        """The requested prior, the same for all."""
        return self.controls[0].prior

    def update(
        self, step: int, observed: float | Sequence[float], changes: float | Sequence[float] = math.nan
    ) -> AspectPriors:
        """Take the share of words that each target keeps, and its changes per word; give the next step's chains.

        A target that no text of a batch rates (NaN) is taken to keep what it should.
        """
        count = len(self.controls)
        shares = (observed,) * count if isinstance(observed, float) else observed
        moves = (changes,) * count if isinstance(changes, float) else changes
        return AspectPriors(
            tuple(
                control.update(step, control.target(step) if math.isnan(share) else share, move)
                for control, share, move in zip(self.controls, shares, moves, strict=True)
            )
        )

    def target(self, step: int) -> float:
        """The share steered to at `step`, the mean of all targets."""
        return sum(control.target(step) for control in self.controls) / len(self.controls)

    def observe_modes(self, step: int, rates: Sequence[float]) -> None:
        """Take the share of words that mode masks of each target keep after an epoch; NaN of one that no text rates."""
        for control, rate in zip(self.controls, rates, strict=True):
            if not math.isnan(rate):
                control.observe_modes(step, rate)

    def state(self) -> dict[str, float]:
        """State for a checkpoint."""
        return {f"{i}.{name}": value for i, one in enumerate(self.controls) for name, value in one.state().items()}

    def restore(self, state: dict[str, float]) -> None:
        """The inverse of `state`."""
        for i, control in enumerate(self.controls):
            control.restore({name[len(f"{i}.") :]: v for name, v in state.items() if name.startswith(f"{i}.")})
