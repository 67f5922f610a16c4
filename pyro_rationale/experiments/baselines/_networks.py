"""The networks of a fit without its latent variable, and their training: same sizes, optimiser, batches and steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pyro_rationale.build import build_guide, build_model, target_summary
from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.vectors import load_vectors
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.experiments.baselines._run import with_options
from pyro_rationale.experiments.baselines._storage import NETWORKS
from pyro_rationale.fitted import FittedModel, pick_device
from pyro_rationale.training.annealing import anneal_progress, cosine_decay
from pyro_rationale.training.checkpoint import load_weights, trained, weights_of
from pyro_rationale.training.ema import RunningAverage
from pyro_rationale.training.rate_control import Schedule

Loss = Callable[[Batch, int], Tensor]
Score = Callable[[], float]


def build_networks(config: Config, corpus: Corpus, name: str = "baseline") -> tuple[FittedModel, float]:
    """Encoder, likelihood and the generator of the independent guide, untrained, from the seed of the configuration.

    Returns:
        The networks, and the nats that make their loss of order one, as in a fit.
    """
    config = with_options(config, NETWORKS)
    torch.set_num_threads(config.train.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(config.seed)
    options = config.model
    vocabulary = Vocabulary.build(corpus.train, options.min_count, options.vocabulary)
    vectors = load_vectors(options.vectors, vocabulary).matrix if options.vectors else None
    centre, spread = target_summary(corpus.train, corpus.spec)
    model = build_model(config, corpus.spec, len(vocabulary), vectors, centre, spread)
    guide = build_guide(config, len(vocabulary), vectors, 0.0)
    device = pick_device(config.train.device)
    fitted = FittedModel(config, corpus.spec, vocabulary, model.to(device), guide.to(device), device, name)
    return fitted, spread * model.gain


def train(fitted: FittedModel, corpus: Corpus, loss: Loss, score: Score | None = None) -> None:
    """Adam for `--steps` steps at the learning rate of a fit, cooled like there.

    Args:
        fitted: what is trained.
        corpus: its training documents are read.
        loss: of a batch, at a step; per document on average.
        score: lower is better; asked after each epoch, and the weights of the best one are what remains. `None` for
            the last ones.
    """
    options = fitted.config.train
    named, schedule = trained(fitted.model, fitted.guide), Schedule(0.0, options.anneal, fitted.config.model.rate)
    optimizer, average = torch.optim.Adam(named.values(), lr=options.learning_rate), RunningAverage(named, options.ema)
    batches = BucketedBatches(corpus.train, fitted.vocabulary, fitted.spec, options.batch_size, options.seed)
    best, kept = math.inf, {}
    step = epoch = 0
    while step < options.steps:
        fitted.model.train()
        fitted.guide.train()
        for batch in batches.epoch(epoch):
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * cosine_decay(anneal_progress(schedule, step, options.steps))
            optimizer.zero_grad()
            loss(batch.to(fitted.device), step).backward()
            torch.nn.utils.clip_grad_norm_(named.values(), options.clip)
            optimizer.step()
            if schedule.finished(step):
                average.update()
            step += 1
        epoch += 1
        if score is None:
            continue
        average.swap()
        fitted.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            now = score()
        if now < best:
            best, kept = now, weights_of(fitted.model, fitted.guide)
        average.swap()
    if kept:
        load_weights(fitted, kept)
    else:
        average.swap()
