"""The watch over a fit: which epoch is best, when to stop, what to do when the masks collapse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.fitted import FittedModel
from pyro_rationale.training.checkpoint import Metadata
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group
from pyro_rationale.training.history import EpochRecord, collapse
from pyro_rationale.training.rate_control import Schedule
from pyro_rationale.training.trainer import Trainer

RECOVERIES = 3
RESTARTS = 2
WeightInit = Callable[[int], dict[str, Tensor]]  # untrained weights of model and guide, by seed


@dataclass(frozen=True)
class DevScore:
    """Held-out figures on mode masks; `error` per document in scaled units, the others per word and document."""

    error: float
    rate: float
    empty: float
    words: float
    changes: float

    def cost(self, gain: float, prior: ChainPrior) -> float:
        """The paper's cost in nats per document: gain * error + alpha |z| + gamma |dz| under the prior asked for."""
        return gain * self.error + prior.alpha * self.words + prior.gamma * self.changes


@torch.no_grad()
def score_modes(
    fitted: FittedModel, batches: BucketedBatches, batch_size: int = 256, group: Group = SINGLE_PROCESS
) -> DevScore:
    """Decode the mode mask of every document and predict from it; each process of a group takes its part of them."""
    fitted.eval()
    error = kept = words = empty = changes = documents = 0.0
    for batch in group.shard(batches.ordered(batch_size)):
        batch = batch.to(fitted.device)
        z = fitted.guide.posterior(batch).mode
        outputs = fitted.model.encoder(batch.tokens, z, batch.lengths)
        assert batch.targets is not None
        error += float(fitted.model.likelihood.reported_loss(outputs, batch.targets).sum())
        kept += float(z.sum())
        words += float(batch.lengths.sum())
        empty += float((z.sum(-1) == 0).sum())
        changes += float((z[:, 1:] - z[:, :-1]).abs().mul(batch.mask[:, 1:]).sum())
        documents += len(batch)
    sums = group.all_gather((error, kept, words, empty, changes, documents))
    error, kept, words, empty, changes, documents = (sum(column) for column in zip(*sums, strict=True))
    return DevScore(error / documents, kept / words, empty / documents, kept / documents, changes / documents)


class ModelSelection:
    """Keeps the best weights and the last good state, and steps in when masks collapse.

    Args:
        trainer: what is watched.
        prior: the prior asked for.
        rate: the final target, or `None` where penalties were given instead.
        gain: nats per unit of prediction cost.
        patience: epochs without a better dev cost before stopping.
        reinitialize: makes other untrained weights; without it a fit that knows its texts by heart is left as it is.
    """

    def __init__(
        self,
        trainer: Trainer,
        prior: ChainPrior,
        rate: float | None,
        gain: float,
        patience: int,
        reinitialize: WeightInit | None = None,
    ) -> None:
        self.trainer, self.prior, self.rate, self.gain, self.patience = trainer, prior, rate, gain, patience
        self.reinitialize, self.begun = reinitialize, trainer.control.state()
        self.best_cost = math.inf
        self.best_epoch = 0
        self.recoveries = self.restarts = 0
        self.best: dict[str, Tensor] = {}
        self.good: tuple[dict[str, Tensor], Metadata] | None = None

    def on_epoch_end(self, record: EpochRecord, score: DevScore, by_heart: bool = False) -> EpochRecord:
        """Judge a finished epoch; may put the trainer back. Fills in the record's dev figures and its event.

        Args:
            record: of the epoch.
            score: on the development texts.
            by_heart: whether training texts are predicted, and others worse than by a constant.
        """
        record.dev_error, record.dev_rate, record.dev_empty = score.error, score.rate, score.empty
        record.dev_cost = score.cost(self.gain, self.prior)
        arrived = self.trainer.control.schedule.finished(self.trainer.step)
        trouble = collapse(record, self.rate if self.rate is not None else self.prior.rate, arrived)
        if by_heart and self.reinitialize is not None and self.restarts < RESTARTS:
            record.event = f"texts learnt by heart: {self._start_over(self.reinitialize)}"
        elif trouble and self.recoveries < RECOVERIES:
            record.event = f"collapse ({trouble}): {self._recover()}"
        elif trouble:
            record.event = f"collapse ({trouble}): left as it is after {RECOVERIES} recoveries"
        else:
            self.good = self.trainer.state()
            if arrived and self._eligible(record) and record.dev_cost < self.best_cost:
                self.best_cost, self.best_epoch = record.dev_cost, record.epoch
                self.best = self.trainer.weights()
                record.event = "best"
        return record

    def should_stop(self, record: EpochRecord) -> bool:
        """Whether patience has run out."""
        return bool(self.best) and record.epoch - self.best_epoch >= self.patience

    def _eligible(self, record: EpochRecord) -> bool:
        """Close enough to the target to be a result."""
        return self.rate is None or record.dev_rate <= 1.1 * self.rate

    def _start_over(self, reinitialize: WeightInit) -> str:
        """Other untrained weights, and all steps from the first; nothing of the old ones is worth keeping."""
        self.restarts += 1
        trainer = self.trainer
        options, seed = trainer.fitted.config.train, trainer.fitted.config.seed + 104729 * self.restarts
        trainer.load_weights(reinitialize(seed))
        trainer.optimizer.state.clear()
        trainer.average.reset()
        torch.manual_seed(seed)
        trainer.control.restore(self.begun)
        trainer.start_step, trainer.lr_scale = trainer.step, 1.0
        trainer.control.schedule = replace(
            trainer.control.schedule, warmup=trainer.step + options.warmup, anneal=options.anneal
        )
        trainer.fitted.model.prior = trainer.control.update(trainer.step, 1.0)
        self.best_cost, self.best, self.good = math.inf, {}, None
        return "started over with other weights"

    def _recover(self) -> str:
        """Back to the last good state with half the learning rate and half the pace of what has just collapsed."""
        self.recoveries += 1
        trainer = self.trainer
        epoch, step, easing = trainer.epoch, trainer.step, trainer.lr_scale
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
        trainer.lr_scale = 0.5 * easing
        trainer.control.schedule = slower(trainer.control.schedule, good_step, step, anneal)
        return where + ", half the learning rate, half the pace"

    # For checkpoints.

    def state(self) -> tuple[dict[str, Tensor], Metadata]:
        """Tensors and facts of the watch itself."""
        tensors = {f"best.{k}": v for k, v in self.best.items()}
        facts: Metadata = {
            "cost": self.best_cost,
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
        """The inverse of `state`."""
        self.best_cost, self.best_epoch = facts["cost"], facts["epoch"]
        self.recoveries, self.restarts = facts["recoveries"], facts["restarts"]
        self.best = {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
        good = {k.removeprefix("good."): v for k, v in tensors.items() if k.startswith("good.")}
        self.good = (good, facts["good"]) if facts["good"] is not None else None


def slower(schedule: Schedule, then: int, now: int, anneal: float) -> Schedule:
    """The schedule that stands at `now` where `schedule` stood at `then`, and descends in twice `anneal` steps.

    A schedule that had arrived goes back to 70 % of its descent, so that words come back before they go.
    """
    progress = min(0.7, schedule.progress(then))
    anneal = 2.0 * max(1.0, anneal)
    return replace(schedule, warmup=now - progress * anneal, anneal=anneal)
