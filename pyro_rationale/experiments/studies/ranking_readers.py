"""Encoders that rationales of similar texts are held against: one of whole texts, and a transformer as it comes.

The encoder of a fit has read whole texts in its warm-up only. One of the same kind that is trained on them for as long
says what masks can hope to keep, and its attention is another way to choose words. A transformer that was trained on
other people's pairs needs no fit at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from pyro_rationale.build import build_model, open_if_needed
from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.document import Document
from pyro_rationale.data.pairs import SPEC, PairCorpus
from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.evaluation.ranking_baselines import Task
from pyro_rationale.evaluation.statistic import Statistics
from pyro_rationale.experiments.baselines._top_k import top_words
from pyro_rationale.experiments.studies.rankers import (
    RATIONALE,
    WHOLE,
    Flags,
    Texts,
    rationales,
    read_by,
    shares_of,
)
from pyro_rationale.fitted import FittedModel, pick_device, word_vectors
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RankingModel
from pyro_rationale.nn import Encoder
from pyro_rationale.nn.pooling import AttentionPooling
from pyro_rationale.training.auxiliary_losses import full_text_loss
from pyro_rationale.training.loop import train_networks
from pyro_rationale.training.pairs import DevLists, log_probs_of, pair_batches

FEWER = 2  # steps of the fit for each of the reader's, as for the reader of one text


def others(
    task: Task,
    fitted: FittedModel | None,
    rate: float,
    seed: int,
    pretrained: str | None = None,
    full_text: bool = False,
    device: str = "auto",
    batch_size: int = 64,
) -> tuple[dict[str, Statistics], dict[str, float]]:
    """Figures of other encoders than a run's, by name, and the share of words that each choice keeps.

    Args:
        task: queries and candidates.
        fitted: the run, if there is one: what its rationales are worth to a pretrained transformer is told as well.
        rate: share of the words that choices keep.
        seed: of random words.
        pretrained: a transformer to read all words and all choices of words.
        full_text: train an encoder of the run's kind on whole texts; it reads them, and the words it attends to most.
        device: of the transformer.
        batch_size: texts at once.

    Raises:
        ConfigError: the transformer is not there.
    """
    texts = Texts.of(task)
    found: dict[str, Statistics] = {}
    shares: dict[str, float] = {}

    def add(who: str, reader: FittedModel, masks: dict[str, list[Flags]]) -> None:
        measured, kept = read_by(task, texts, reader, masks, batch_size), shares_of(masks)
        found.update({f"{who}: {name}": own for name, own in measured.items()})
        shares.update({f"{who}: {name}": share for name, share in kept.items()})

    fixed = texts.fixed(task, rate, seed)
    if pretrained is not None:
        own = {} if fitted is None else {RATIONALE: rationales(fitted, texts.documents, batch_size)}
        add(Path(pretrained).name, zero_shot(texts.documents, pretrained, device), own | fixed)
    if full_text:
        assert fitted is not None
        reader = whole_text_encoder(fitted, task.corpus)
        masks = {WHOLE: fixed[WHOLE]}
        if has_attention(reader):
            masks["top attention"] = by_attention(reader, texts.documents, rate, batch_size)
        add("trained on all words", reader, masks)
    return found, shares


def no_guide() -> RationaleGuide:
    """In place of a guide where there is nothing to choose."""
    return cast(RationaleGuide, nn.Module())


def whole_text_encoder(
    fitted: FittedModel, corpus: PairCorpus, on_step: Callable[[], None] | None = None
) -> FittedModel:
    """Train an encoder of a run's kind on whole texts, on both sides; the best on the development lists is kept.

    Args:
        fitted: the run; its options and its vocabulary are taken, and given word vectors.
        corpus: the pairs that it was fitted on.
        on_step: called after each step.
    """
    options = fitted.config.train
    steps = -(-options.steps // FEWER)
    queries = len(corpus.queries["train"])
    epochs = min(steps, max(4, round(steps * options.batch_size / queries)))
    config = fitted.config.changed(
        steps=steps, anneal=min(options.anneal, steps) // FEWER, epoch_steps=-(-steps // epochs), match="masked"
    )
    vectors = word_vectors(fitted.model.state_dict()) if config.model.vectors is not None else None
    with fitted.seeded(config.seed):
        model = build_model(
            config, fitted.spec, len(fitted.vocabulary), vectors, None, _baseline(fitted), fitted.vocabulary
        )
        reader = FittedModel(
            config, fitted.spec, fitted.vocabulary, model.to(fitted.device), no_guide(), fitted.device,
            f"{fitted.name}: whole texts",
        )  # fmt: skip
        dev = DevLists.of(reader, corpus)
        lists = [batch.to(reader.device) for batch in dev.batches]
        scale = float(model.kappa) * _baseline(fitted)

        def loss(batch: Batch, step: int) -> torch.Tensor:
            assert isinstance(batch, RankingBatch)
            return full_text_loss(model, batch) / (len(batch.queries) * scale)

        def score() -> float:
            assert isinstance(model, RankingModel)
            whole = [batch.mask.to(model.encoder.dtype) for batch in lists]
            return -float(log_probs_of(model, dev, lists, whole).mean())

        train_networks(
            reader, corpus.train, loss, score, on_step=on_step,
            batches=pair_batches(reader, corpus, config.train.epoch_of(queries)),
        )  # fmt: skip
    return reader.eval()


def _baseline(fitted: FittedModel) -> float:
    return float(fitted.task.baseline_loss(torch.zeros(0, 1)).sum())


def zero_shot(documents: Sequence[Document], name: str, device: str = "auto") -> FittedModel:
    """A pretrained transformer that was trained on none of these texts: the mean of its states, as a unit vector.

    Args:
        documents: whose words it is to know.
        name: as for `--pretrained`.
        device: where to compute.

    Raises:
        ConfigError: the transformer is not there.
    """
    config = Config().changed(
        data="questions", task="ranking", preset="planted", pretrained=name, encoder="transformer", pooling="mean",
        tune_encoder="none", min_count=1, dropout=0.0,
    ).settled()  # fmt: skip
    vocabulary = open_if_needed(config, Vocabulary.build(documents, 1))
    where = pick_device(device)
    # The output layer of a ranking model starts as a rotation, which no cosine depends on.
    model = build_model(config, SPEC, len(vocabulary), None, vocabulary=vocabulary).to(where)
    return FittedModel(config, SPEC, vocabulary, model, no_guide(), where, name).eval()


def has_attention(reader: FittedModel) -> bool:
    """Whether the pooling of an encoder is attention over word states."""
    encoder: object = reader.model.encoder
    return isinstance(encoder, Encoder) and isinstance(encoder.pooling, AttentionPooling)


@torch.no_grad()
def by_attention(reader: FittedModel, documents: Sequence[Document], rate: float, batch_size: int = 64) -> list[Flags]:
    """Masks of the words that the pooling of an encoder attends to most when it reads whole texts.

    Args:
        reader: with attention as its pooling.
        documents: the texts.
        rate: share of the words of each, one at least.
        batch_size: texts at once.
    """
    encoder: Any = reader.model.encoder
    masks: list[Flags] = []
    reader.eval()
    for start in range(0, len(documents), batch_size):
        some = documents[start : start + batch_size]
        batch = reader.encode(some)
        scores = encoder.pooling.score(encoder.states(batch.tokens, batch.mask)).squeeze(-1)
        scores = scores.masked_fill(~batch.mask, -torch.inf).softmax(-1).cpu().double().numpy()
        masks += [
            np.array(top_words(row[: len(document.tokens)], rate), dtype=bool)
            for document, row in zip(some, scores, strict=True)
        ]
    return masks
