"""Networks of a run's kind that are trained on its pairs of texts by another loss, to be held against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import nn

from pyro_rationale.build import build_guide, build_model
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.experiments.baselines._networks import NETWORKS
from pyro_rationale.fitted import FittedModel, word_vectors
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RankingModel
from pyro_rationale.training.loop import Loss, train_networks
from pyro_rationale.training.pairs import DevLists, log_probs_of, pair_batches


def no_guide() -> RationaleGuide:
    """In place of a guide where there is nothing to choose."""
    return cast(RationaleGuide, nn.Module())


def untrained(fitted: FittedModel, corpus: PairCorpus, name: str, fewer: int = 1, guide: bool = False) -> FittedModel:
    """Networks of a run's kind that know its words, and are trained for its steps.

    Args:
        fitted: the run; its options and its vocabulary are taken, and given word vectors.
        corpus: the pairs that it was fitted on.
        name: of the networks.
        fewer: steps of the run for each of theirs.
        guide: whether they have an independent guide, whose generator scores the words.
    """
    options = fitted.config.train
    steps = -(-options.steps // fewer)
    queries = len(corpus.queries["train"])
    epochs = min(steps, max(4, round(steps * options.batch_size / queries)))
    own = {"own_text": 0.0, "head_start": "none"}  # or the output layer would not be trained
    own |= NETWORKS | {"nonempty": False} if guide else {}
    config = fitted.config.changed(
        steps=steps, anneal=min(options.anneal, steps) // fewer, epoch_steps=-(-steps // epochs), match="masked", **own
    )
    vectors = word_vectors(fitted.model.state_dict()) if config.model.vectors is not None else None
    words = len(fitted.vocabulary), vectors
    model = build_model(config, fitted.spec, *words, None, _baseline(fitted), fitted.vocabulary)
    chooser = build_guide(config, *words, 0.0, fitted.spec, fitted.vocabulary) if guide else no_guide()
    networks = model.to(fitted.device), chooser.to(fitted.device)
    return FittedModel(config, fitted.spec, fitted.vocabulary, *networks, fitted.device, f"{fitted.name}: {name}")


def train_reader(
    reader: FittedModel,
    corpus: PairCorpus,
    loss: Loss,
    masks: Callable[[Sequence[Batch]], Sequence[torch.Tensor]],
    on_step: Callable[[], None] | None = None,
    encoder_factor: float = 1.0,
) -> None:
    """Train networks on pairs; those are kept by which the development lists are most probable.

    Args:
        reader: networks, as `untrained` makes them.
        corpus: the pairs.
        loss: of a batch at a step.
        masks: makes those of the texts of the development lists, batch by batch.
        on_step: called after each step.
        encoder_factor: of the encoder's learning rate.
    """
    model, dev = reader.model, DevLists.of(reader, corpus)
    lists = [batch.to(reader.device) for batch in dev.batches]

    def score() -> float:
        assert isinstance(model, RankingModel)
        return -float(log_probs_of(model, dev, lists, masks(lists)).mean())

    steps = reader.config.train.epoch_of(len(corpus.queries["train"]))
    train_networks(
        reader, corpus.train, loss, score, on_step=on_step, batches=pair_batches(reader, corpus, steps),
        encoder_factor=encoder_factor,
    )  # fmt: skip


def loss_scale(fitted: FittedModel) -> float:
    """Nats that make the loss of a query of order one."""
    return float(fitted.model.kappa) * _baseline(fitted)


def _baseline(fitted: FittedModel) -> float:
    return float(fitted.task.baseline_loss(torch.zeros(0, 1)).sum())
