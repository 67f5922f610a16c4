"""Encoders that rationales of similar texts are held against: trained otherwise, and a transformer as it comes.

The encoder of a fit has read whole texts in its warm-up only. One of the same kind that is trained on them for as long
says what masks can hope to keep, and its attention is another way to choose words. A transformer that was trained on
other people's pairs needs no fit at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pyro_rationale.build import build_model, open_if_needed
from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.document import Document
from pyro_rationale.data.pairs import SPEC, PairCorpus
from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.evaluation.ranking_baselines import SearchTask
from pyro_rationale.evaluation.statistic import Statistics
from pyro_rationale.experiments.baselines._top_k import top_words
from pyro_rationale.experiments.studies.rankers import (
    RATIONALE,
    WHOLE,
    Flags,
    Texts,
    batches_in_order,
    rationales,
    read_by,
    shares_of,
)
from pyro_rationale.experiments.studies.ranking_reinforce import reinforce_reader
from pyro_rationale.experiments.studies.ranking_top_k import top_k_reader
from pyro_rationale.experiments.studies.ranking_training import loss_scale, no_guide, train_reader, untrained
from pyro_rationale.fitted import FittedModel, pick_device
from pyro_rationale.nn import Encoder
from pyro_rationale.nn.pooling import AttentionPooling
from pyro_rationale.training.auxiliary_losses import full_text_loss

FEWER = 2  # steps of the fit for each of the reader's, as for the reader of one text


def others(
    task: SearchTask,
    fitted: FittedModel | None,
    rate: float,
    seed: int,
    pretrained: str | None = None,
    full_text: bool = False,
    reinforce: bool = False,
    top_k: bool = False,
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
        reinforce: train by the loss of Lei et al. (2016) for pairs, see `ranking_reinforce`.
        top_k: train scores whose top words are read, see `ranking_top_k`.
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
        given = {} if fitted is None else {RATIONALE: rationales(fitted, texts.documents, batch_size)}
        add(Path(pretrained).name, zero_shot(texts.documents, pretrained, device), given | fixed)
    if full_text or reinforce:
        assert fitted is not None
        whole = whole_text_encoder(fitted, task.corpus)
    if full_text:
        masks = {WHOLE: fixed[WHOLE]}
        if has_attention(whole):
            masks["top attention"] = by_attention(whole, texts.documents, rate, batch_size)
        add("trained on all words", whole, masks)
    if reinforce:
        assert fitted is not None
        reader = reinforce_reader(fitted, task.corpus, whole, rate)
        own = rationales(reader, texts.documents, batch_size)
        add("REINFORCE (Lei et al. 2016)", reader, {RATIONALE: own, WHOLE: fixed[WHOLE]})
    if top_k:
        assert fitted is not None
        top = top_k_reader(fitted, task.corpus, rate)
        own = top.masks(texts.documents, batch_size)
        add("budgeted top-k", top.fitted, {RATIONALE: own, WHOLE: fixed[WHOLE]})
    return found, shares


def whole_text_encoder(
    fitted: FittedModel, corpus: PairCorpus, on_step: Callable[[], None] | None = None
) -> FittedModel:
    """Train an encoder of a run's kind on whole texts, on both sides; the best on the development lists is kept.

    Args:
        fitted: the run; its options and its vocabulary are taken, and given word vectors.
        corpus: the pairs that it was fitted on.
        on_step: called after each step.
    """
    with fitted.seeded(fitted.config.seed):
        reader = untrained(fitted, corpus, "whole texts", FEWER)
        model = reader.model

        def loss(batch: Batch, step: int) -> torch.Tensor:
            assert isinstance(batch, RankingBatch)
            return full_text_loss(model, batch) / (len(batch.queries) * loss_scale(reader))

        def whole(batches: Sequence[Batch]) -> list[torch.Tensor]:
            return [batch.mask.to(model.encoder.dtype) for batch in batches]

        train_reader(reader, corpus, loss, whole, on_step)
    return reader.eval()


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
    for some, batch in batches_in_order(reader, documents, batch_size):
        scores = encoder.pooling.score(encoder.states(batch.tokens, batch.mask)).squeeze(-1)
        scores = scores.masked_fill(~batch.mask, -torch.inf).softmax(-1).cpu().double().numpy()
        masks += [top_words(row[: len(document.tokens)], rate) for document, row in zip(some, scores, strict=True)]
    return masks
