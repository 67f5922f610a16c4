"""Steering the share of kept words: a target that comes down slowly, and a field on the prior that follows it.

A multiplier that merely chases a target overshoots: the select-all state resists until the penalty is large, then
everything goes and nothing comes back (DESIGN, trap 3). Here the prior grows from a permissive one to the one asked for
while the target descends; a damped, clamped multiplier adds to it only where more than the target is kept; and the
field lets go at once where less is kept, so that words go no faster than the target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyro_rationale.distributions import ChainPrior

INITIAL_ALPHA = -1.0  # the field, in nats per word, under which an untrained guide keeps about three words in four
START = 0.75  # where the target starts: the share that an untrained guide keeps
# Of the target, the least that the field lets pass. A guide that runs ahead of the descent has made up its mind before
# its encoder could tell it better, and then stays there, with several per cent of the texts empty. What it keeps once
# the target is reached is the prior's business, unless next to nothing is left.
TOLERANCE_DURING_ANNEALING, TOLERANCE_AFTER = 0.9, 0.1


@dataclass(frozen=True)
class Schedule:
    """When words must go, in steps.

    Attributes:
        warmup: steps on whole texts; the guide rests.
        anneal: steps over which the target falls from `START` to `rate`, and the prior grows to full strength.
        rate: the final target.
    """

    warmup: float
    anneal: float
    rate: float

    def progress(self, step: int) -> float:
        """How far the descent has come, 0 to 1."""
        if self.anneal <= 0:
            return float(step >= self.warmup)
        return min(1.0, max(0.0, (step - self.warmup) / self.anneal))

    def target(self, step: int) -> float:
        """Largest share of words to keep at `step`: a geometric descent, the same proportion at each step."""
        start = max(START, self.rate)
        return start * (self.rate / start) ** self.progress(step)

    def finished(self, step: int) -> bool:
        """Whether the target has reached its final value."""
        return self.progress(step) >= 1.0


@dataclass
class RateControl:
    """The prior asked for, reached slowly, plus a damped multiplier on the number of kept words.

    Attributes:
        schedule: the target over time.
        prior: what the user asked for; at the end, and while no more than the target is kept, it is used as it is.
        integral_gain: integral gain, nats per step at a relative error of 1.
        proportional_gain: proportional gain, nats at a relative error of 1.
        ceiling: largest multiplier, nats per word.
        multiplier: the state.
        average: running average of the observed rate.
    """

    schedule: Schedule
    prior: ChainPrior
    integral_gain: float = 0.02
    proportional_gain: float = 2.0
    ceiling: float = 12.0
    multiplier: float = 0.0
    average: float = START

    def update(self, step: int, observed: float, changes: float = math.nan) -> ChainPrior:
        """Take the share of words kept on a training batch; give the prior for the next step."""
        self.average += 0.1 * (observed - self.average)
        progress = self.schedule.progress(step)
        error = self._error(step)
        self.multiplier = min(self.ceiling, max(0.0, self.multiplier + self.integral_gain * error))
        base = INITIAL_ALPHA + progress * (self.prior.alpha - INITIAL_ALPHA)
        proportional = self.proportional_gain * error
        field = base + max(0.0, self.multiplier + proportional) + min(0.0, proportional)
        return ChainPrior(field, self.prior.gamma * progress)

    def _error(self, step: int) -> float:
        """Relative error of the rate, in [-1, 1]; 0 between the target and a lower edge that nobody minds."""
        target = self.schedule.target(step)
        edge = target * (TOLERANCE_AFTER if self.schedule.finished(step) else TOLERANCE_DURING_ANNEALING)
        if self.average > target:
            return min(1.0, (self.average - target) / target)
        return min(0.0, (self.average - edge) / edge)

    def target(self, step: int) -> float:
        """The share steered to at `step`."""
        return self.schedule.target(step)

    def state(self) -> dict[str, float]:
        """What a checkpoint must keep."""
        return {"multiplier": self.multiplier, "average": self.average}

    def restore(self, state: dict[str, float]) -> None:
        """The inverse of `state`."""
        self.multiplier = state["multiplier"]
        self.average = state["average"]


@dataclass
class PenaltyRamp:
    """Given penalties (`--lambda1`, `--lambda2`) instead of a rate: they grow from 0 to full strength, and stay."""

    schedule: Schedule
    prior: ChainPrior

    def update(self, step: int, observed: float, changes: float = math.nan) -> ChainPrior:
        """The prior for the next step; the observed rate is nobody's business here."""
        progress = self.schedule.progress(step)
        return ChainPrior(self.prior.alpha * progress, self.prior.gamma * progress)

    def target(self, step: int) -> float:
        """There is none."""
        return math.nan

    def state(self) -> dict[str, float]:
        """Nothing to keep."""
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Nothing to restore."""


@dataclass
class LagrangianControl:
    """The multipliers of Bastings, Aziz and Titov (2019, section 3.3), in nats: E|z| / n <= target as a constraint.

    The multiplier of the constraint takes the place of the prior's field. It grows by a factor exp(pace * excess) per
    step, where the excess is a running average of (share of words kept - target), and shrinks where less is kept
    (Rezende and Viola 2018, algorithm 1). Where a target for the changes of the mask is given, a second multiplier
    takes the place of the prior's coupling in the same way; otherwise the coupling is the prior's, growing as it does
    under :class:`RateControl`.

    In the authors' units, cost per share of words kept, the multiplier is field * n / gain for texts of n words.
    Theirs has a fixed target, which is a schedule without descent (`--anneal 0`).

    Attributes:
        schedule: the target over time.
        prior: what the user asked for; only its coupling is used.
        pace: of both multipliers (theirs: .05).
        transitions: target number of changes per word, or `None`.
        memory: of the running averages (theirs: .5).
        floor: smallest multiplier, nats.
        ceiling: largest, nats.
        field: the state: nats per kept word.
        coupling: nats per change, where `transitions` are steered to.
        excess: running average of the share of kept words over the target.
        excess_changes: likewise of the changes.
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
        """Take the share of words kept on a training batch and its changes per word; give the next step's prior."""
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

    def state(self) -> dict[str, float]:
        """What a checkpoint must keep."""
        return {name: getattr(self, name) for name in ("field", "coupling", "excess", "excess_changes")}

    def restore(self, state: dict[str, float]) -> None:
        """The inverse of `state`."""
        for name, value in state.items():
            setattr(self, name, value)


Control = RateControl | PenaltyRamp | LagrangianControl
