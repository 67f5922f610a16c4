"""The training loop: many words first, then fewer and fewer, with a watch on collapse and a way back.

Everything that the next step depends on is in `Trainer.state()`: weights, optimiser, random states, the control of the
rate, the position in the epoch. Restoring it and going on gives the same numbers, bit for bit on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pyro
import torch
from torch import Tensor

from pyro_rationale.control import Control
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.errors import TrainingError
from pyro_rationale.history import EpochRecord, StepRecord, StepTotals
from pyro_rationale.inference.objective import Estimate, MaskELBO
from pyro_rationale.inference.tracegraph import TemperedTraceGraph
from pyro_rationale.models import RationaleModel
from pyro_rationale.runs import Fitted

Facts = dict[str, Any]


@contextmanager
def local_parameters() -> Iterator[None]:
    """Keep Pyro's global parameter store out of it: our optimiser holds the parameters, and fits never meet."""
    with pyro.get_param_store().scope():
        yield


class Trainer:
    """Updates a model and a guide; knows nothing of which guide it is.

    Args:
        fitted: model and guide to train, on their device.
        objective: objective (2) with its estimator.
        control: gives the prior for each step.
        batches: training documents.
        scale: nats that make the loss of order one, for the gradient clip.
    """

    def __init__(
        self,
        fitted: Fitted,
        objective: MaskELBO | TemperedTraceGraph,
        control: Control,
        batches: BucketedBatches,
        scale: float,
    ) -> None:
        options = fitted.config.train
        self.fitted, self.objective, self.control, self.batches = fitted, objective, control, batches
        self.scale = scale
        self.named = {
            f"{part}.{name}": parameter
            for part, module in (("model", fitted.model), ("guide", fitted.guide))
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self.easing = 1.0  # factor on the learning rate; recoveries lower it
        self.optimizer = torch.optim.Adam(self.named.values(), lr=options.learning_rate)
        self.step = 0
        self.epoch = 0
        self.position = 0
        self.totals = StepTotals()
        self.whole = True
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
        """
        batch = batch.to(self.fitted.device)
        self.objective.tau = self._entropy_weight()
        reading = self.step < self.control.schedule.warmup
        random = self._random()
        running = [(buffer, buffer.clone()) for buffer in self.fitted.guide.buffers()]  # a baseline's statistics
        try:
            self.optimizer.zero_grad(set_to_none=True)
            loss, record = self._full_text_loss(batch) if reading else self._objective_loss(batch)
            (loss / (len(batch) * self.scale)).backward()
            norm = torch.nn.utils.clip_grad_norm_(self.named.values(), self.fitted.config.train.clip)
            if not (math.isfinite(record.loss) and bool(torch.isfinite(norm))):
                raise TrainingError(
                    f"epoch {self.epoch + 1}, batch {self.position + 1} (documents {_some(batch.index)}): the loss "
                    f"is {record.loss:g}, its gradient {float(norm):g}; the state before it is kept: go on with "
                    "--resume and a lower --learning-rate"
                )
        except BaseException:
            self._set_random(random)
            for buffer, before in running:
                buffer.copy_(before)
            raise
        with self.unbroken():
            for group in self.optimizer.param_groups:
                group["lr"] = self.fitted.config.train.learning_rate * self.easing * self._cooling()
            self.optimizer.step()
            self.step += 1
            if not reading:
                self.fitted.model.prior = self.control.update(self.step, record.rate, record.changes)
            self.totals.add(record)
            self.position += 1
        return record

    def _objective_loss(self, batch: Batch) -> tuple[Tensor, StepRecord]:
        with local_parameters():
            estimate: Estimate = self.objective.estimate(self.fitted.model, self.fitted.guide, batch)
        words = float(batch.lengths.sum())
        rate = float(estimate.kept.sum()) / words
        value = -float(estimate.objective(self.objective.tau).mean())
        entropy = float(estimate.entropy.sum()) / words
        changes = float(estimate.changes.sum()) / words
        return estimate.surrogate, StepRecord(value / self.scale, rate, entropy, len(batch), changes)

    def _full_text_loss(self, batch: Batch) -> tuple[Tensor, StepRecord]:
        loss = full_text_loss(self.fitted.model, batch)
        return loss, StepRecord(float(loss.detach()) / (len(batch) * self.scale), 1.0, 0.0, len(batch))

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
        end = max(start + 1.0, float(self.fitted.config.train.steps))
        return min(1.0, max(0.0, (self.step - start) / (end - start)))

    def _cooling(self) -> float:
        """Factor on the learning rate: 1 until the target rate is reached, then half a cosine down to a twentieth."""
        return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * self._since_arrival()))

    # One epoch.

    def run_epoch(self) -> Iterator[StepRecord]:
        """The rest of the current epoch, step by step; afterwards `finish_epoch` closes it."""
        self.fitted.model.train()
        self.fitted.guide.train()
        for number, batch in enumerate(self.batches.epoch(self.epoch)):
            if number < self.position:
                continue
            yield self.train_step(batch)

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
        """Tensors and plain facts, for a checkpoint."""
        tensors = {f"weights.{name}": value for name, value in self.weights().items()}
        names = list(self.named)
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{names[index]}.{key}": value for key, value in moments.items()}
        tensors |= self._random()
        facts = {
            "step": self.step,
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
