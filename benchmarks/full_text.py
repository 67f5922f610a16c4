"""Error of the encoder on whole texts: what the error from a rationale has to be compared with.

    python benchmarks/full_text.py --data vader-movies [any flag of pyro_rationale.fit]

Same data, networks, optimiser and steps as `python -m pyro_rationale.fit` with the same flags, but z = 1
throughout and the best epoch by dev error. Prints one line of JSON.
"""

from __future__ import annotations

import copy
import json
import math

import click
import numpy as np
import torch

from pyro_rationale.build import build_model, build_vocabulary, target_summary
from pyro_rationale.cli.common import run_command
from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data import load_corpus
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.options import DataOptions
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn.word_vectors import find_vectors
from pyro_rationale.options import options_from
from pyro_rationale.tasks import Task, task_of
from pyro_rationale.training.auxiliary_losses import full_text_loss


@torch.no_grad()
def test_error(model: RationaleModel, batches: BucketedBatches, task: Task) -> tuple[float, float]:
    """Loss per known target, and accuracy (NaN for ratings)."""
    model.eval()
    cost = right = known = 0.0
    for batch in batches.ordered(256):
        outputs = model.encoder(batch.tokens, batch.mask.float(), batch.lengths)
        assert batch.targets is not None
        cost += float(model.likelihood.reported_loss(outputs, batch.targets).sum())
        targets = batch.targets.reshape(len(batch), -1).double().numpy()
        rated = ~np.isnan(targets)
        errors = task.errors(task.values(model.likelihood(outputs)), targets)
        right += float(errors["accuracy"][rated].sum()) if "accuracy" in errors else math.nan
        known += float(rated.sum())
    return cost / known, right / known


@click.command()
@options_from(DataOptions, ModelOptions, TrainOptions)
def main(data: DataOptions, options: ModelOptions, train: TrainOptions) -> None:
    """Train and test on whole texts."""
    config = Config(data, options, train).settled()
    data, options, train = config.data, config.model, config.train
    torch.set_num_threads(train.threads or 1)
    torch.set_flush_denormal(True)
    torch.manual_seed(config.seed)
    corpus = load_corpus(data)
    spec, task = corpus.spec, task_of(corpus.spec)
    vocabulary = build_vocabulary(options, corpus.train)
    vectors = find_vectors(options.vectors, vocabulary).matrix if options.vectors else None
    centre, spread = target_summary(corpus.train, spec)
    model = build_model(config, spec, len(vocabulary), vectors, centre, spread)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=train.learning_rate)
    batches = BucketedBatches(corpus.train, vocabulary, spec, train.batch_size, config.seed)
    epochs = math.ceil(train.steps / len(batches))
    cooling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches), train.learning_rate / 20)
    dev = BucketedBatches(corpus.dev, vocabulary, spec, train.batch_size)
    best, chosen, kept = math.inf, 0, copy.deepcopy(model.state_dict())
    for epoch in range(epochs):
        model.train()
        for batch in batches.epoch(epoch):
            optimizer.zero_grad()
            (full_text_loss(model, batch) / (len(batch) * spread * model.gain)).backward()
            torch.nn.utils.clip_grad_norm_(parameters, train.clip)
            optimizer.step()
            cooling.step()
        error, _ = test_error(model, dev, task)
        if error < best:
            best, chosen, kept = error, epoch + 1, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    error, accuracy = test_error(model, BucketedBatches(corpus.test, vocabulary, spec, train.batch_size), task)
    units = [(high - low) ** 2 for low, high in spec.ranges] or [1.0]
    facts = {"data": data.data, "seed": config.seed, "best_epoch": chosen, "epochs": epochs}
    if spec.ranges:
        facts |= {"mse_scaled": error, "mse": error * sum(units) / len(units)}
    else:
        facts |= {"log_loss": error, "accuracy": accuracy}
    click.echo(json.dumps(facts))


if __name__ == "__main__":
    run_command(main)
