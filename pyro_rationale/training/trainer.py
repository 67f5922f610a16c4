"""Training steps on a model and its guide, under an annealed target rate.

Everything that the next step depends on is in `Trainer.state()`: weights, optimiser, random states, the control of the
rate, the position in the epoch. Restoring it and going on gives the same numbers, bit for bit on a CPU.

On a GPU steps are pipelined: the result of a step is copied to the CPU while the next one's guide is already running,
and is needed only by its model, since what a step charges for words follows from the rate of the step before. So a
hook before the forward pass of the model sets the steering chain, which is a part of the model's state; as an argument
of the objective it would come too early, before the guide. Whether the loss was finite is for the optimiser to
decide, on the GPU.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from itertools import islice

import pyro
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import Batches, prefetched
from pyro_rationale.errors import TrainingError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.estimators.muprop import without_slopes
from pyro_rationale.inference.objectives.elbo import Estimate, Objective
from pyro_rationale.models import RankingModel
from pyro_rationale.models.program import local_parameters, unregistered
from pyro_rationale.nn.autocast import reduced
from pyro_rationale.training.annealing import anneal_progress, cosine_decay, entropy_weight
from pyro_rationale.training.auxiliary_losses import (
    at_any_share,
    imitation_loss,
    random_runs,
    reading_loss,
    salient_words,
)
from pyro_rationale.training.checkpoint import Metadata, load_state, load_weights, state_tensors, trained, weights_of
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group
from pyro_rationale.training.ema import RunningAverage
from pyro_rationale.training.history import EpochRecord, StepRecord, StepTotals
from pyro_rationale.training.learned_prior import running_prior
from pyro_rationale.training.learning_rates import LearningRates
from pyro_rationale.training.rate_control import AspectControls, Control
from pyro_rationale.training.step import StateSnapshot, StepResult, copy_to_cpu_async

KEPT_DECAY = 0.9  # of the running share of kept words, which the encoder's learning rate may follow
CHECKED = 20  # first steps of a fit in which Pyro and torch check shapes, supports and parameters


@contextmanager
def checks(enabled: bool) -> Iterator[None]:
    """Leave the validation of distributions and programs on, or switch it off: each check waits for the device."""
    with nullcontext() if enabled else pyro.validation_enabled(False):
        yield


class Trainer:
    """Updates a model and a guide of any family.

    Args:
        fitted: model and guide to train, on their device.
        objective: objective (2) of docs/explanation/mathematics.md with its estimator.
        control: gives what each step charges per kept word and per change.
        batches: training documents.
        scale: nats that make the loss of order one, for the gradient clip.
        group: the processes that take each step together; this one trains on its share of every batch.
    """

    def __init__(
        self,
        fitted: FittedModel,
        objective: Objective,
        control: Control | AspectControls,
        batches: Batches,
        scale: float,
        group: Group = SINGLE_PROCESS,
    ) -> None:
        options = fitted.config.train
        self.fitted, self.objective, self.control, self.batches = fitted, objective, control, batches
        self.scale, self.group = scale, group
        self.rates = LearningRates(
            trained(fitted.model, fitted.guide),
            options.learning_rate,
            options.body_rate,
            options.encoder_factor,
            options.steps,
        )
        self.named = self.rates.named
        self.kept = 1.0  # running share of kept words
        self.average = RunningAverage(self.named, options.ema)
        self.lr_scale = 1.0  # factor on the learning rate; recoveries lower it
        self.pipelined = fitted.device.type == "cuda"  # a step is launched before the result of the one before is known
        self.optimizer = self.rates.make_optimizer(fused=self.pipelined)
        self.step = 0
        self.start_step = 0  # 0, or the step of the last restart
        self.epoch = 0
        self.position = 0
        self.totals = StepTotals()
        self.consistent = True
        self.reduced = torch.bfloat16 if options.precision == "bf16" else None
        self._begun = 0  # steps by this object, resumed or not
        self._pending: StepResult | None = None
        self._records: deque[StepRecord] = deque()
        self._failed = False
        fitted.model.steering = control.update(0, 1.0)
        self.learned = running_prior(fitted.aspects)

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Context of changes that belong together; an interrupt in it leaves `consistent` false: no state to save."""
        self.consistent = False
        yield
        self.consistent = True

    # One step.

    def train_step(self, batch: Batch) -> StepRecord:
        """One update on one batch; an interrupt of the computation leaves the state before the step.

        Raises:
            TrainingError: the loss or the gradient is not finite.
            KeyboardInterrupt: the step is done, and a process of the group was asked to end.
            PeerError: a process of the group is gone.
        """
        self._enqueue_step(batch)
        self.flush()
        record = self._records.pop()
        self._records.clear()
        return record

    def rehearse(self, batch: Batch) -> None:
        """Compute the gradient of a step and drop it: weights, running statistics and random states stay."""
        before = StateSnapshot.take(self.fitted)
        try:
            self._objective_loss(batch.to(self.fitted.device))[0].backward()
        finally:
            before.restore()
            self.optimizer.zero_grad(set_to_none=True)

    def _enqueue_step(self, batch: Batch) -> None:
        """Launch a step on the device; the result of the step before is taken on the way."""
        full_text = self._next_step < self.control.schedule.warmup
        self.objective.tau = entropy_weight(self.fitted.config.tau, self.fitted.config.entropy, self._progress)
        before = StateSnapshot.take(self.fitted)
        # The model is the first to need what follows from the rate of the step before; the guide runs ahead of it.
        hook = self.fitted.model.register_forward_pre_hook(lambda *_: self.flush())
        self._failed = False
        try:
            self.group.seed_step(self.fitted.config.seed, self._next_step)
            self.optimizer.zero_grad(set_to_none=True)
            here = batch.to(self.fitted.device, non_blocking=True)
            skipped = self._next_step % self.fitted.config.train.slope_every != 0
            with checks(self._begun < CHECKED), reduced(self.reduced), without_slopes(skipped):
                loss, values = self._full_text_loss(here) if full_text else self._objective_loss(here)
            (loss / (len(batch) * self.scale)).backward()
            self.flush()
            if not self.group.is_single:
                values = self._all_reduce(values, full_text, len(batch), before)
            norm = torch.nn.utils.clip_grad_norm_(self.named.values(), self.fitted.config.train.clip)
            result = self._step_result(torch.stack([*values, norm]), full_text, batch, before)
            if not self.pipelined:
                self._check_finite(result)
        except BaseException:
            if not self._failed:
                before.restore()
            raise
        finally:
            hook.remove()
        with self.atomic():
            rate = self.fitted.config.train.learning_rate * self.lr_scale * cosine_decay(self._progress)
            self.rates.set(self.optimizer, rate, self._next_step - self.start_step, self.kept)
            self.optimizer.step()
            if self.control.schedule.finished(self._next_step):
                self.average.update()
            else:
                self.average.reset()
            self._begun += 1
            self._pending = result

    @property
    def _next_step(self) -> int:
        """Number of the step that is computed now or comes next; the result of the one before may be pending."""
        return self.step + (self._pending is not None)

    @property
    def _progress(self) -> float:
        """Progress from the step that reaches the target rate to the end of the fit, 0 to 1."""
        return anneal_progress(self.control.schedule, self._next_step, self.start_step + self.fitted.config.train.steps)

    def flush(self) -> None:
        """Take the pending result of the last step, if there is one, and update the control of the rate by it.

        Raises:
            TrainingError: its loss or gradient was not finite; the state is that before it.
            KeyboardInterrupt: as for `train_step`.
        """
        result = self._pending
        if result is None:
            return
        record, stop_requested = self._check_finite(result)
        with self.atomic():
            self._pending = None
            self.step += 1
            if not result.full_text:
                if isinstance(self.control, AspectControls):
                    self.fitted.model.steering = self.control.update(self.step, record.rates, record.moves)
                else:
                    self.fitted.model.steering = self.control.update(self.step, record.rate, record.changes)
                if self.fitted.config.prior == "learned" and not self.fitted.config.whole_units:
                    self.fitted.model.prior = self.learned.update(record, self.fitted.model.prior)
                self.kept += (1.0 - KEPT_DECAY) * (record.rate - self.kept)
            self.totals.add(record)
            self.position += 1
            self._records.append(record)
        if stop_requested:
            raise KeyboardInterrupt

    def _step_result(self, values: Tensor, full_text: bool, batch: Batch, before: StateSnapshot) -> StepResult:
        """Start to copy a step's figures; on a GPU, tell the optimiser whether they are finite."""
        copied = None
        if self.pipelined:
            # The protocol of gradient scalers: the fused Adam does nothing if this is 1.
            self.optimizer.found_inf = 1.0 - values[:: len(values) - 1].isfinite().all().float()  # type: ignore[attr-defined]
            values, copied = copy_to_cpu_async(values)
        return StepResult(values, copied, full_text, batch, before, not self.group.is_single)

    def _all_reduce(self, values: list[Tensor], full_text: bool, documents: int, before: StateSnapshot) -> list[Tensor]:
        """Turn gradients and figures of a share of the batch into those of the batch."""
        rests = full_text and not self._has_head_start
        parameters = [p for name, p in self.named.items() if not (rests and name.startswith("guide."))]
        loss, *sums = values
        sums = [loss if full_text else loss * documents, *sums]
        loss, *sums = self.group.all_reduce(parameters, before.running, documents, torch.stack(sums))
        return [loss if full_text else loss / sums[-2], *sums]

    def _check_finite(self, result: StepResult) -> tuple[StepRecord, bool]:
        """Record of a step whose loss and gradient are finite, and whether a process was asked to end."""
        record, norm, stop_requested = result.record(self.scale)
        if math.isfinite(record.loss) and math.isfinite(norm):
            return record, stop_requested
        result.before.restore()
        self._pending, self._failed = None, True
        raise TrainingError(
            f"epoch {self.epoch + 1}, batch {self.position + 1} (documents {result.documents()}): the loss "
            f"is {record.loss:g}, its gradient {norm:g}; the state before it is kept: go on with "
            "--resume and a lower --learning-rate"
        )

    def _objective_loss(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        model = self.fitted.model
        with local_parameters(), unregistered(), model.constrained(), model.missing_words_once():
            estimate: Estimate = self.objective.estimate(model, self.fitted.guide, batch)
        entropy = estimate.entropy if batch.weights is None else estimate.entropy / batch.weights
        if batch.units is not None:  # that of a sentence at each of its words: flat masks show by it
            entropy = entropy * batch.lengths / batch.unit_lengths
        sums = [value.sum() for value in (estimate.kept, entropy, estimate.changes, batch.lengths)]
        if batch.aspects is not None:
            for value in (estimate.kept, estimate.changes, batch.lengths):
                each = value.new_zeros(self.fitted.aspects).index_add(0, batch.aspects, value)
                sums += each.to(estimate.kept.dtype).unbind()
        loss = estimate.surrogate
        weight = self.fitted.config.train.any_rate
        # Not before: a guide that still keeps most words ranks them all alike, and the encoder memorises a few of them.
        if weight and self.control.schedule.finished(self._next_step):
            loss = loss + weight * reading_loss(self.fitted.model, batch, at_any_share(self.fitted.guide, batch))
        return loss, [-estimate.objective(self.objective.tau).mean(), *sums]

    def _full_text_loss(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        options, prior = self.fitted.config.train, self.control.prior
        if options.head_start == "extracts":
            model = self.fitted.model
            assert isinstance(model, RankingModel)
            assert model.whole is not None
            extracts = model.whole.extracts(batch, self.control.schedule.start, prior.span)
            loss = self.scale * imitation_loss(self.fitted.guide, batch, extracts)
            return loss, [loss.detach()]
        texts = batch.texts if batch.aspects is not None else batch
        mask = random_runs(texts, prior.span) if options.warmup_texts == "masked" else texts.mask
        loss = reading_loss(self.fitted.model, batch, mask)
        if not self._has_head_start:
            return loss, [loss.detach()]
        salient = salient_words(self.fitted.model, batch, self.control.schedule.start, prior.span)
        return loss + self.scale * imitation_loss(self.fitted.guide, batch, salient), [loss.detach()]

    @property
    def _has_head_start(self) -> bool:
        """Whether the guide is trained in this step of the warm-up: it is in the second half."""
        done, warmup = (x - self.start_step for x in (self._next_step, self.control.schedule.warmup))
        return self.fitted.config.train.head_start == "saliency" and 2 * done >= warmup

    # One epoch.

    def run_epoch(self) -> Iterator[StepRecord]:
        """Train the rest of the current epoch, step by step; afterwards `finish_epoch` closes it."""
        self.fitted.model.train()
        self.fitted.guide.train()
        self.flush()
        yield from self.steps(islice(self.batches.epoch(self.epoch, self.group.share), self.position, None))

    def steps(self, batches: Iterable[Batch]) -> Iterator[StepRecord]:
        """Train a step on each batch; where steps are pipelined the records come late."""
        if not self.pipelined:
            yield from map(self.train_step, batches)
            return
        for batch in prefetched(batches):
            self._enqueue_step(batch)
            while self._records:
                yield self._records.popleft()
        self.flush()
        yield from self._records
        self._records.clear()

    def finish_epoch(self) -> EpochRecord:
        """Close the epoch and begin the next one; the averages over its steps."""
        mean = self.totals.mean()
        record = EpochRecord(
            epoch=self.epoch + 1,
            step=self.step,
            loss=mean.loss,
            rate=mean.rate,
            target=self.control.target(self.step),
            field=self.fitted.model.steering.alpha,
            flatness=mean.flatness,
            warmup=mean.warmup,
        )
        self.epoch += 1
        self.position = 0
        self.totals = StepTotals()
        return record

    # State.

    def state(self) -> tuple[dict[str, Tensor], Metadata]:
        """Tensors and metadata for a checkpoint, after the pending step."""
        self.flush()
        facts = {
            "step": self.step,
            "origin": self.start_step,
            "epoch": self.epoch,
            "position": self.position,
            "control": self.control.state(),
            "schedule": asdict(self.control.schedule),
            "totals": asdict(self.totals),
            "easing": self.lr_scale,
            "averaged": self.average.steps,
            "kept": self.kept,
            "learned": asdict(self.learned),
        }
        return state_tensors(self.fitted, self.optimizer, list(self.named)) | self.average.state(), facts

    def restore(self, tensors: dict[str, Tensor], facts: Metadata) -> None:
        """Load what :meth:`state` returned."""
        self._pending = None
        load_state(self.fitted, self.optimizer, list(self.named), tensors)
        self.average.restore(tensors, facts.get("averaged", 0))
        self.lr_scale, self.kept = facts["easing"], facts.get("kept", 1.0)
        fresh = running_prior(self.fitted.aspects)
        self.learned = type(fresh)(**facts["learned"]) if "learned" in facts else fresh
        if self.fitted.config.prior == "fixed":  # older versions kept in its place what training charged
            self.fitted.model.prior = self.control.prior
        self.step, self.epoch, self.position = facts["step"], facts["epoch"], facts["position"]
        self.start_step = facts["origin"]
        self.control.restore(facts["control"])
        self.control.schedule = type(self.control.schedule)(**facts["schedule"])
        self.totals = StepTotals(**facts["totals"])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Context in which model and guide have the weights that are evaluated and kept: with `--ema`, the averages."""
        with self.atomic():
            self.average.swap()
        try:
            yield
        finally:
            with self.atomic():
                self.average.swap()

    def weights(self) -> dict[str, Tensor]:
        """Copies of weights and buffers of model and guide, the current prior among them; averages where there are."""
        averages = {name: value.clone() for name, value in self.average.values.items()}
        return weights_of(self.fitted.model, self.fitted.guide) | averages

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Load what :meth:`weights` returned."""
        load_weights(self.fitted, weights)
