"""The training loop: many words first, then fewer and fewer, with a watch on collapse and a way back.

Everything that the next step depends on is in `Trainer.state()`: weights, optimiser, random states, the control of the
rate, the position in the epoch. Restoring it and going on gives the same numbers, bit for bit on a CPU.

A GPU is never waited for at the end of a step. What a step has to say comes back while the next one's guide is
already running, and is needed only then: the prior of a step follows from the rate of the one before. Whether the loss
was finite is decided on the GPU, by the optimiser.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import pyro
import torch
from torch import Tensor

from pyro_rationale.control import Control
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.prefetch import prefetched
from pyro_rationale.distributed import ALONE, Group
from pyro_rationale.errors import TrainingError
from pyro_rationale.history import EpochRecord, StepRecord, StepTotals
from pyro_rationale.inference.objective import Estimate, MaskELBO
from pyro_rationale.inference.tracegraph import TemperedTraceGraph
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn.precision import reduced
from pyro_rationale.registration import unregistered
from pyro_rationale.runs import Fitted

Facts = dict[str, Any]
SHARES = (0.03, 0.7)  # of a text's words: what --any-rate reads, drawn evenly in the logarithm

CHECKED = 20  # first steps of a fit in which Pyro and torch check shapes, supports and parameters


@contextmanager
def local_parameters() -> Iterator[None]:
    """Keep Pyro's global parameter store out of it: our optimiser holds the parameters, and fits never meet."""
    with pyro.get_param_store().scope():
        yield


@contextmanager
def checks(wanted: bool) -> Iterator[None]:
    """Leave the checks of distributions and programs as they are, or switch them off: each waits for the device."""
    with nullcontext() if wanted else pyro.validation_enabled(False):
        yield


@dataclass(frozen=True)
class Before:
    """Random states, and the running statistics of a baseline with their buffers."""

    random: dict[str, Tensor]
    running: list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Figures:
    """What a step has to say, while it may still be under way on the device.

    Attributes:
        values: of a step on whole texts, the loss and the norm of the gradient; else minus the objective, averaged
            over documents, then, summed, the words kept, entropy, changes and words, and the norm. On the CPU, or on
            their way to it.
        arrival: the end of that way.
        reading: whether whole texts were read, and the guide rested.
        batch: as it came.
        before: what to go back to, should they not be finite.
        joined: whether the figures are those of a group's whole batch, `batch` being a share. Then its documents, and
            how many processes have been asked to end, stand before the norm.
    """

    values: Tensor
    arrival: torch.cuda.Event | None
    reading: bool
    batch: Batch
    before: Before
    joined: bool = False

    def record(self, scale: float) -> tuple[StepRecord, float, bool]:
        """The record, losses over `scale`, the norm of the gradient, and whether to end; waits for them if need be."""
        if self.arrival is not None:
            self.arrival.synchronize()
        loss, *sums, norm = self.values.tolist()
        documents, asked = len(self.batch), 0.0
        if self.joined:
            *sums, total, asked = sums
            documents = round(total)
        if self.reading:
            return StepRecord(loss / (documents * scale), 1.0, 0.0, documents), norm, asked > 0
        kept, entropy, changes, words = sums
        return StepRecord(loss / scale, kept / words, entropy / words, documents, changes / words), norm, asked > 0


class Trainer:
    """Updates a model and a guide; knows nothing of which guide it is.

    Args:
        fitted: model and guide to train, on their device.
        objective: objective (2) with its estimator.
        control: gives the prior for each step.
        batches: training documents.
        scale: nats that make the loss of order one, for the gradient clip.
        group: the processes that take each step together; this one trains on its share of every batch.
    """

    def __init__(
        self,
        fitted: Fitted,
        objective: MaskELBO | TemperedTraceGraph,
        control: Control,
        batches: BucketedBatches,
        scale: float,
        group: Group = ALONE,
    ) -> None:
        options = fitted.config.train
        self.fitted, self.objective, self.control, self.batches = fitted, objective, control, batches
        self.scale, self.group = scale, group
        self.named = {
            f"{part}.{name}": parameter
            for part, module in (("model", fitted.model), ("guide", fitted.guide))
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self.easing = 1.0  # factor on the learning rate; recoveries lower it
        self.ahead = fitted.device.type == "cuda"  # steps are begun before the one before has reported
        self.optimizer = torch.optim.Adam(self.named.values(), lr=options.learning_rate, fused=self.ahead)
        self.step = 0
        self.origin = 0  # where the weights were untrained: 0, or the step at which the watch started over
        self.epoch = 0
        self.position = 0
        self.totals = StepTotals()
        self.whole = True
        self.reduced = torch.bfloat16 if options.precision == "bf16" else None
        self._begun = 0  # steps by this object, resumed or not
        self._pending: Figures | None = None
        self._settled: deque[StepRecord] = deque()
        self._lost = False
        fitted.model.prior = control.update(0, 1.0)

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """Around changes that only make sense together: cut short, they leave `whole` false and no state to save."""
        self.whole = False
        yield
        self.whole = True

    # One step.

    def train_step(self, batch: Batch) -> StepRecord:
        """One update on one batch; whatever interrupts the computation leaves the state before the step.

        Raises:
            TrainingError: the loss or the gradient is not finite.
            KeyboardInterrupt: the step is done, and a process of the group has been asked to end.
            PeerError: a process of the group is gone.
        """
        self._launch(batch)
        self.settle()
        record = self._settled.pop()
        self._settled.clear()
        return record

    def _launch(self, batch: Batch) -> None:
        """Tell the device all that a step takes. The step launched before reports on the way."""
        reading = self._due < self.control.schedule.warmup
        self.objective.tau = self._entropy_weight()
        before = self._before()
        # The model is the first to need the prior that follows from the step before; the guide runs ahead of it.
        hook = self.fitted.model.register_forward_pre_hook(lambda *_: self.settle())
        self._lost = False
        try:
            self.group.sow(self.fitted.config.seed, self._due)
            self.optimizer.zero_grad(set_to_none=True)
            here = batch.to(self.fitted.device, non_blocking=True)
            with checks(self._begun < CHECKED), reduced(self.reduced):
                loss, values = self._full_text_loss(here) if reading else self._objective_loss(here)
            (loss / (len(batch) * self.scale)).backward()
            self.settle()
            if not self.group.alone:
                values = self._joined(values, reading, len(batch), before)
            norm = torch.nn.utils.clip_grad_norm_(self.named.values(), self.fitted.config.train.clip)
            figures = self._figures(torch.stack([*values, norm]), reading, batch, before)
            if not self.ahead:
                self._checked(figures)
        except BaseException:
            if not self._lost:
                self._go_back(before)
            raise
        finally:
            hook.remove()
        with self.unbroken():
            for group in self.optimizer.param_groups:
                group["lr"] = self.fitted.config.train.learning_rate * self.easing * self._cooling()
            self.optimizer.step()
            self._begun += 1
            self._pending = figures

    @property
    def _due(self) -> int:
        """Number of the step that comes next, or is being computed; the one before may still be under way."""
        return self.step + (self._pending is not None)

    def settle(self) -> None:
        """Take the report of the step that was launched last, if it is still out, and move the control of the rate on.

        Raises:
            TrainingError: its loss or gradient was not finite; the state is that before it.
            KeyboardInterrupt: as for `train_step`.
        """
        figures = self._pending
        if figures is None:
            return
        record, asked = self._checked(figures)
        with self.unbroken():
            self._pending = None
            self.step += 1
            if not figures.reading:
                self.fitted.model.prior = self.control.update(self.step, record.rate, record.changes)
            self.totals.add(record)
            self.position += 1
            self._settled.append(record)
        if asked:
            raise KeyboardInterrupt

    def _figures(self, values: Tensor, reading: bool, batch: Batch, before: Before) -> Figures:
        """Send a step's figures on their way; on a GPU, see to it that the optimiser minds them."""
        if not self.ahead:
            return Figures(values, None, reading, batch, before, not self.group.alone)
        # As a gradient scaler would have it: the fused Adam does nothing if this is 1.
        self.optimizer.found_inf = 1.0 - values[:: len(values) - 1].isfinite().all().float()  # type: ignore[attr-defined]
        if not values.is_cuda:
            return Figures(values, None, reading, batch, before, not self.group.alone)
        there = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        there.copy_(values, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record()
        return Figures(there, arrival, reading, batch, before, not self.group.alone)

    def _joined(self, values: list[Tensor], reading: bool, documents: int, before: Before) -> list[Tensor]:
        """Gradients and figures of a share become those of the batch."""
        parameters = [p for name, p in self.named.items() if not (reading and name.startswith("guide."))]
        loss, *sums = values
        sums = [loss if reading else loss * documents, *sums]
        loss, *sums = self.group.join(parameters, before.running, documents, torch.stack(sums))
        return [loss if reading else loss / sums[-2], *sums]

    def _checked(self, figures: Figures) -> tuple[StepRecord, bool]:
        """The record of a step whose loss and gradient are finite, and whether it shall be the last."""
        record, norm, asked = figures.record(self.scale)
        if math.isfinite(record.loss) and math.isfinite(norm):
            return record, asked
        self._go_back(figures.before)
        self._pending, self._lost = None, True
        raise TrainingError(
            f"epoch {self.epoch + 1}, batch {self.position + 1} (documents {_some(figures.batch.index)}): the loss "
            f"is {record.loss:g}, its gradient {norm:g}; the state before it is kept: go on with "
            "--resume and a lower --learning-rate"
        )

    def _before(self) -> Before:
        return Before(self._random(), [(buffer, buffer.clone()) for buffer in self.fitted.guide.buffers()])

    def _go_back(self, before: Before) -> None:
        self._set_random(before.random)
        for buffer, value in before.running:
            buffer.copy_(value)

    def _objective_loss(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        with local_parameters(), unregistered():
            estimate: Estimate = self.objective.estimate(self.fitted.model, self.fitted.guide, batch)
        sums = [value.sum() for value in (estimate.kept, estimate.entropy, estimate.changes, batch.lengths)]
        loss = estimate.surrogate
        if weight := self.fitted.config.train.any_rate:
            loss = loss + weight * reading_loss(self.fitted.model, batch, self._likeliest(batch))
        return loss, [-estimate.objective(self.objective.tau).mean(), *sums]

    @torch.no_grad()
    def _likeliest(self, batch: Batch) -> Tensor:
        """Each document's words with the largest marginals, at a share drawn for it; bool `(B, T)`.

        The encoder alone learns from them: the guide is not asked to mark more or less than its prior says.
        """
        marginals = self.fitted.guide.posterior(batch).mean.masked_fill(~batch.mask, -1.0)
        low, high = (math.log(share) for share in SHARES)
        shares = (low + (high - low) * torch.rand(len(batch))).exp().to(marginals.device)
        rank = marginals.argsort(-1, descending=True).argsort(-1)
        return batch.mask & (rank < (shares * batch.lengths).clamp_min(1.0)[:, None])

    def _full_text_loss(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        loss = full_text_loss(self.fitted.model, batch)
        return loss, [loss.detach()]

    def _entropy_weight(self) -> float:
        """tau of this step: that of the configuration, reached from above where `entropy` asks for more at first.

        A guide without entropy commits itself to its first guess: with tau = 0 from the start, masks collapse while
        the target rate comes down. So the weight is held until the target is reached, and then falls to tau over
        half of the steps that remain; what is left is a fit of objective (2) with the tau that was asked for.
        """
        config = self.fitted.config
        tau, start = config.tau, config.entropy
        if start <= tau:
            return tau
        fallen = min(1.0, 2.0 * self._since_arrival())
        return start + (tau - start) * fallen

    def _since_arrival(self) -> float:
        """How much of the fit after the target rate has been reached is over, 0 to 1."""
        schedule = self.control.schedule
        start = schedule.warmup + schedule.anneal
        end = max(start + 1.0, float(self.origin + self.fitted.config.train.steps))
        return min(1.0, max(0.0, (self._due - start) / (end - start)))

    def _cooling(self) -> float:
        """Factor on the learning rate: 1 until the target rate is reached, then half a cosine down to a twentieth."""
        return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * self._since_arrival()))

    # One epoch.

    def run_epoch(self) -> Iterator[StepRecord]:
        """The rest of the current epoch, step by step; afterwards `finish_epoch` closes it."""
        self.fitted.model.train()
        self.fitted.guide.train()
        self.settle()
        yield from self.steps(islice(self.batches.epoch(self.epoch, self.group.share), self.position, None))

    def steps(self, batches: Iterable[Batch]) -> Iterator[StepRecord]:
        """A step on each batch. On a GPU each is launched before the one before has reported, and records come late."""
        if not self.ahead:
            yield from map(self.train_step, batches)
            return
        for batch in prefetched(batches):
            self._launch(batch)
            while self._settled:
                yield self._settled.popleft()
        self.settle()
        yield from self._settled
        self._settled.clear()

    def finish_epoch(self) -> EpochRecord:
        """Averages of the epoch; the next one begins."""
        mean = self.totals.mean()
        coin = _coin_entropy(mean.rate)
        record = EpochRecord(
            epoch=self.epoch + 1,
            step=self.step,
            loss=mean.loss,
            rate=mean.rate,
            target=self.control.target(self.step),
            field=self.fitted.model.prior.alpha,
            flatness=mean.entropy / coin if coin > 0 else 0.0,
        )
        self.epoch += 1
        self.position = 0
        self.totals = StepTotals()
        return record

    # Everything that the future depends on.

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """Tensors and plain facts, for a checkpoint; a step that is under way is waited for."""
        self.settle()
        tensors = {f"weights.{name}": value for name, value in self.weights().items()}
        names = list(self.named)
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{names[index]}.{key}": value for key, value in moments.items()}
        tensors |= self._random()
        facts = {
            "step": self.step,
            "origin": self.origin,
            "epoch": self.epoch,
            "position": self.position,
            "control": self.control.state(),
            "schedule": asdict(self.control.schedule),
            "totals": asdict(self.totals),
            "easing": self.easing,
        }
        return {name: value.detach().clone() for name, value in tensors.items()}, facts

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """The inverse of `state`."""
        self._pending = None
        self.load_weights({k.removeprefix("weights."): v for k, v in tensors.items() if k.startswith("weights.")})
        whole = self.optimizer.state_dict()
        whole["state"] = {}
        for index, name in enumerate(self.named):
            prefix = f"adam.{name}."
            # Copies: Adam would go on writing into the state that a later recovery needs.
            moments = {k.removeprefix(prefix): v.clone() for k, v in tensors.items() if k.startswith(prefix)}
            if moments:
                whole["state"][index] = moments
        self.optimizer.load_state_dict(whole)
        self.easing = facts["easing"]
        self.step, self.epoch, self.position = facts["step"], facts["epoch"], facts["position"]
        self.origin = facts["origin"]
        self.control.restore(facts["control"])
        self.control.schedule = type(self.control.schedule)(**facts["schedule"])
        self.totals = StepTotals(**facts["totals"])
        self._set_random(tensors)

    def _random(self) -> dict[str, Tensor]:
        """Where the generators stand."""
        states = {"random.cpu": torch.get_rng_state()}
        if self.fitted.device.type == "cuda":
            states["random.cuda"] = torch.cuda.get_rng_state(self.fitted.device)
        return states

    def _set_random(self, states: dict[str, Tensor]) -> None:
        """The inverse of `_random`."""
        torch.set_rng_state(states["random.cpu"].cpu())
        if "random.cuda" in states and self.fitted.device.type == "cuda":
            torch.cuda.set_rng_state(states["random.cuda"].cpu(), self.fitted.device)

    def weights(self) -> dict[str, Tensor]:
        """Weights and buffers of model and guide, the prior in force among them; copies."""
        parts = (("model", self.fitted.model), ("guide", self.fitted.guide))
        return {f"{part}.{k}": v.detach().clone() for part, module in parts for k, v in module.state_dict().items()}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """The inverse of `weights`."""
        for part, module in (("model", self.fitted.model), ("guide", self.fitted.guide)):
            prefix = f"{part}."
            module.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})


def full_text_loss(model: RationaleModel, batch: Batch) -> Tensor:
    """Minus kappa log p(y | x, z = everything), summed over documents: the same encoder as an ordinary reader."""
    return reading_loss(model, batch, batch.mask)


def reading_loss(model: RationaleModel, batch: Batch, mask: Tensor) -> Tensor:
    """Minus kappa log p(y | x, z = mask), summed over documents; `mask` bool `(B, T)`, False on padding."""
    if batch.targets is None:
        raise ValueError("expected a batch with targets, got none")
    outputs = model.encoder(batch.tokens, mask.to(model.encoder.output.weight.dtype), batch.lengths)
    law, targets = model.likelihood.observe(outputs, batch.targets)
    return -float(model.kappa) * law.log_prob(targets).sum()


def _coin_entropy(rate: float) -> float:
    """Entropy in nats of a coin that falls on its head with probability `rate`."""
    if not 0.0 < rate < 1.0:
        return 0.0
    return -rate * math.log(rate) - (1.0 - rate) * math.log1p(-rate)


def _some(index: Tensor | None, most: int = 5) -> str:
    """The first few document numbers of a batch."""
    if index is None:
        return "unknown"
    numbers = [str(i) for i in index[:most].tolist()]
    return ", ".join(numbers) + (", ..." if len(index) > most else "")
