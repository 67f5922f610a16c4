"""Training of networks without a latent variable, for baselines: epochs, EMA, best weights.

    fitted, scale = build_networks(config, corpus)  # model and guide, untrained

    def loss(batch: Batch, step: int) -> Tensor:
        return full_text_loss(fitted.model, batch) / (len(batch) * scale)

    def score() -> float:
        return sum(float(full_text_loss(fitted.model, batch)) for batch in dev)

    train_networks(fitted, corpus.train, loss, score)

Optimiser, batches, annealing and number of steps are those of a fit (:mod:`pyro_rationale.training.trainer`), so that a
baseline and a fit with the same options are comparable. There is no control of the rate, no recovery, no checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import Batches
from pyro_rationale.data.corpus import Document
from pyro_rationale.fitted import FittedModel
from pyro_rationale.training.annealing import anneal_progress, cosine_decay
from pyro_rationale.training.checkpoint import load_weights, trained, weights_of
from pyro_rationale.training.ema import RunningAverage
from pyro_rationale.training.learning_rates import LearningRates
from pyro_rationale.training.rate_control import Schedule

Loss = Callable[[Batch, int], Tensor]
Score = Callable[[], float]


def train_networks(
    fitted: FittedModel,
    documents: Sequence[Document],
    loss: Loss,
    score: Score | None = None,
    on_step: Callable[[], None] | None = None,
    batches: Batches | None = None,
    encoder_factor: float = 1.0,
) -> None:
    """Minimise a loss by Adam for `--steps` steps, rounded up to whole epochs; the best weights are loaded at the end.

    An epoch is that of a fit: all documents once, or fewer where there are more than the steps will read.

    Args:
        fitted: model and guide to train, on their device; its configuration has the options.
        documents: training documents.
        loss: loss per document of a batch, on its device, at a step.
        score: computed after each epoch, without gradients and with random numbers of its own; lower is better, and
            the weights of the best epoch are kept. Without it the last weights are.
        on_step: called after each step.
        batches: of other examples than single documents, such as pairs of them, in place of those of `documents`.
        encoder_factor: of the encoder's learning rate.
    """
    options = fitted.config.train
    named = trained(fitted.model, fitted.guide)
    schedule = Schedule(0.0, options.anneal, fitted.config.model.rate)
    rates = LearningRates(named, options.learning_rate, options.body_rate, encoder_factor, options.steps)
    optimizer, named = rates.make_optimizer(), rates.named
    average = RunningAverage(named, options.ema)
    size = options.epoch_of(len(documents))
    batches = batches or fitted.batches(documents, options.batch_size, options.seed, size, weighted=True)
    best_score, best_weights = math.inf, {}
    step = epoch = 0
    while step < options.steps:
        fitted.model.train()
        fitted.guide.train()
        for batch in batches.epoch(epoch):
            optimizer.zero_grad()
            loss(batch.to(fitted.device), step).backward()
            torch.nn.utils.clip_grad_norm_(named.values(), options.clip)
            decay = cosine_decay(anneal_progress(schedule, step, options.steps))
            rates.set(optimizer, options.learning_rate * decay, step, kept=1.0)
            optimizer.step()
            if schedule.finished(step):
                average.update()
            step += 1
            if on_step is not None:
                on_step()
        epoch += 1
        if score is None:
            continue
        fitted.eval()
        with average.applied(), torch.no_grad(), torch.random.fork_rng(devices=devices_of(fitted)):
            current = score()
            if current < best_score:
                best_score, best_weights = current, weights_of(fitted.model, fitted.guide)
    if best_weights:
        load_weights(fitted, best_weights)
    else:
        average.swap()


def devices_of(fitted: FittedModel) -> list[torch.device]:
    """Devices whose random numbers a score may move besides the CPU's: `torch.manual_seed` seeds them all."""
    return [fitted.device] if fitted.device.type == "cuda" else []
