"""Model selection: the best epoch, early stopping, and rollback or restart when masks collapse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pyro_rationale.distributions import ChainPrior
from pyro_rationale.training.checkpoint import Metadata
from pyro_rationale.training.history import MEMORIZED, EpochRecord, collapse
from pyro_rationale.training.learned_prior import running_prior
from pyro_rationale.training.rate_control import LARGEST_CORRECTION, STEADY, AspectControls, Schedule
from pyro_rationale.training.trainer import Trainer
from pyro_rationale.training.validation import DevScore

HIGHEST = 1.1  # of the requested rate: an epoch whose mode masks keep more is not chosen
HIGHEST_EACH = 1.25  # likewise, of the masks of one of several targets
MET = 0.85  # of the requested rate: where it has to be met, an epoch that keeps less is chosen only if no other is
RECOVERIES = 3
RESTARTS = 2
WeightInit = Callable[[int], dict[str, Tensor]]  # untrained weights of model and guide, by seed


class ModelSelection:
    """Keeps the best weights and the last good state; rolls back after a collapse, restarts after memorisation.

    Args:
        trainer: the trainer whose epochs are compared.
        prior: the requested prior.
        rate: the final target, or `None` where penalties were given instead.
        gain: nats per unit of prediction cost.
        patience: epochs without a better dev cost before stopping, counted from the end of annealing.
        reinitialize: makes other untrained weights; without it there are no restarts.
        meet: prefer epochs that keep the requested share to those that keep less.
        most_restarts: times that training is begun again after memorisation, at most.
    """

    def __init__(
        self,
        trainer: Trainer,
        prior: ChainPrior,
        rate: float | None,
        gain: float,
        patience: int,
        reinitialize: WeightInit | None = None,
        meet: bool = False,
        most_restarts: int = RESTARTS,
    ) -> None:
        self.trainer, self.prior, self.rate, self.gain, self.patience = trainer, prior, rate, gain, patience
        self.reinitialize, self.initial_control = reinitialize, memory_of(trainer.control.state())
        self.meet, self.most_restarts = meet, most_restarts
        self.best_cost = math.inf
        self.best_met = False  # whether the best epoch so far keeps the requested share
        self.best_epoch = 0
        self.annealed_epoch: int | None = None  # the first one that ended at the final target, of this annealing
        self.recoveries = self.restarts = 0
        self.best: dict[str, Tensor] = {}
        self.best_shift: float | Sequence[float] = 0.0  # nats per kept word, for the guide of the best epoch
        self.good: tuple[dict[str, Tensor], Metadata] | None = None

    def on_epoch_end(self, record: EpochRecord, score: DevScore, memorized: bool = False) -> EpochRecord:
        """Judge a finished epoch; may put the trainer back. Fills in the record's dev figures and its event.

        Args:
            record: the epoch.
            score: its figures on the development texts.
            memorized: whether the training set has been memorised.
        """
        record.dev_error, record.dev_rate, record.dev_empty = score.error, score.rate, score.empty
        record.dev_elbo, record.dev_expected = score.elbo, score.expected_cost
        record.dev_cost = score.cost(self.gain, self.prior)
        annealed = self.trainer.control.schedule.finished(self.trainer.step)
        if annealed and self.annealed_epoch is None:
            self.annealed_epoch = record.epoch
        final, start = self.prior.rate if self.rate is None else self.rate, self.trainer.control.schedule.start
        trouble = collapse(record, final, annealed, start)
        if memorized and self.reinitialize is not None and self.restarts < self.most_restarts:
            self._restart(self.reinitialize)
            record.event = f"{MEMORIZED}: restarted from a new initialisation"
        elif trouble and self.recoveries < RECOVERIES:
            record.event = f"collapse ({trouble}): {self._recover()}"
        elif trouble:
            record.event = f"collapse ({trouble}): left as it is after {RECOVERIES} recoveries"
        else:
            self.good = self.trainer.state()
            if self._is_best(record, annealed, score):
                self.best_cost, self.best_met, self.best_epoch = record.dev_cost, self._meets(record), record.epoch
                self.best, self.best_shift = self.trainer.weights(), score.shift
                record.event = "best"
            control = self.trainer.control
            if isinstance(control, AspectControls):
                control.observe_modes(self.trainer.step, score.rates)
            else:
                control.observe_modes(self.trainer.step, score.rate)
        return record

    @property
    def rate_to_meet(self) -> float | None:
        """Share of words that mode masks of the development texts are made to keep now; `None` for their own.

        Not before the guide keeps about that share in expectation.
        """
        near = self.rate is not None and self.trainer.totals.mean().rate <= LARGEST_CORRECTION * self.rate
        return self.rate if self.meet and near and self.trainer.fitted.guide.can_shift else None

    def should_stop(self, record: EpochRecord) -> bool:
        """Whether patience has run out."""
        if not self.best or self.annealed_epoch is None:
            return False
        return record.epoch - max(self.best_epoch, self.annealed_epoch) >= self.patience

    def _is_best(self, record: EpochRecord, annealed: bool, score: DevScore) -> bool:
        """Whether the epoch is chosen: few enough words, on the way to the target as well as at it, and least cost.

        On the way, mode masks of a guide that has not decided yet keep few words, whatever it keeps in expectation.
        Where targets have masks of their own, each of them has to keep few enough.
        """
        if self.rate is None:
            return annealed and record.dev_cost < self.best_cost
        if record.dev_rate > HIGHEST * self.rate or (not annealed and record.rate > LARGEST_CORRECTION * self.rate):
            return False
        if any(rate > HIGHEST_EACH * self.rate for rate in score.rates):
            return False
        return (not self._meets(record), record.dev_cost) < (not self.best_met, self.best_cost)

    def _meets(self, record: EpochRecord) -> bool:
        """Whether the epoch keeps the requested share of words; True if less will do."""
        return not self.meet or self.rate is None or record.dev_rate >= MET * self.rate

    def _restart(self, reinitialize: WeightInit) -> None:
        """Train other untrained weights from the first step; nothing of the old ones is worth keeping."""
        self.restarts += 1
        trainer = self.trainer
        options, seed = trainer.fitted.config.train, trainer.fitted.config.seed + 104729 * self.restarts
        trainer.load_weights(reinitialize(seed))
        trainer.optimizer.state.clear()
        trainer.average.reset()
        torch.manual_seed(seed)
        trainer.control.restore(trainer.control.state() | self.initial_control)
        trainer.start_step, trainer.lr_scale, trainer.kept = trainer.step, 1.0, 1.0
        trainer.control.schedule = replace(
            trainer.control.schedule, warmup=trainer.step + options.warmup, anneal=options.anneal
        )
        trainer.fitted.model.steering = trainer.control.update(trainer.step, 1.0)
        trainer.learned = running_prior(trainer.fitted.aspects)
        self.best_cost, self.best_met, self.best_epoch, self.best, self.good = math.inf, False, 0, {}, None
        self.best_shift = 0.0
        self.annealed_epoch = None

    def _recover(self) -> str:
        """Roll back to the last good state, and go on at half the learning rate and half the pace."""
        self.recoveries += 1
        trainer = self.trainer
        epoch, step, lr_scale = trainer.epoch, trainer.step, trainer.lr_scale
        anneal = trainer.control.schedule.anneal
        if self.good is not None:
            trainer.restore(*self.good)
            where = f"back to epoch {trainer.epoch}"
        else:
            where = "no good state yet, going on"
        good_step = trainer.step
        trainer.epoch, trainer.step = epoch, step
        # Another stretch of random numbers, or the same thing happens again.
        torch.manual_seed(trainer.fitted.config.seed + 7919 * self.recoveries)
        trainer.lr_scale = 0.5 * lr_scale
        trainer.control.schedule = slower(trainer.control.schedule, good_step, step, anneal)
        self.annealed_epoch = None  # the target comes down once more, and patience waits for it
        return where + ", half the learning rate, half the pace"

    # For checkpoints.

    def state(self) -> tuple[dict[str, Tensor], Metadata]:
        """Tensors and metadata for a checkpoint."""
        tensors = {f"best.{k}": v for k, v in self.best.items()}
        facts: Metadata = {
            "cost": self.best_cost,
            "met": self.best_met,
            "shift": self.best_shift,
            "annealed": self.annealed_epoch,
            "epoch": self.best_epoch,
            "recoveries": self.recoveries,
            "restarts": self.restarts,
            "good": None,
        }
        if self.good is not None:
            tensors |= {f"good.{k}": v for k, v in self.good[0].items()}
            facts["good"] = self.good[1]
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: Metadata) -> None:
        """Load what :meth:`state` returned."""
        self.best_cost, self.best_epoch = facts["cost"], facts["epoch"]
        self.recoveries, self.restarts = facts["recoveries"], facts["restarts"]
        self.best = {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
        # Before these two were kept, every best epoch had ended at the target, and no rate was to be met.
        self.best_met, self.best_shift = facts.get("met", bool(self.best)), facts.get("shift", 0.0)
        self.annealed_epoch = facts.get("annealed", self.best_epoch if self.best else None)
        good = {k.removeprefix("good."): v for k, v in tensors.items() if k.startswith("good.")}
        self.good = (good, facts["good"]) if facts["good"] is not None else None


def memory_of(state: dict[str, float]) -> dict[str, float]:
    """The state of a control without its gains, which a fit keeps when it is resumed and when it begins anew."""
    return {name: value for name, value in state.items() if name.rpartition(".")[2] not in STEADY}


def slower(schedule: Schedule, then: int, now: int, anneal: float) -> Schedule:
    """Schedule with the progress at `now` that `schedule` had at `then`, annealed over twice `anneal` steps.

    A finished schedule goes back to 70 % of its progress, so that words come back before they go again.
    """
    progress = min(0.7, schedule.progress(then))
    anneal = 2.0 * max(1.0, anneal)
    return replace(schedule, warmup=now - progress * anneal, anneal=anneal)
