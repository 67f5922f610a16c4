"""The words of the highest scores on both sides: how many, which gradient, and a small fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from pyro_rationale.cli.studies.rankers import study
from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.ranking_baselines import SearchTask
from pyro_rationale.experiments.baselines._top_k import share_of
from pyro_rationale.experiments.studies.rankers import RATIONALE, WHOLE
from pyro_rationale.experiments.studies.ranking_readers import others
from pyro_rationale.experiments.studies.ranking_top_k import TopWords, top_k_reader
from pyro_rationale.experiments.studies.ranking_training import loss_scale, untrained
from pyro_rationale.fitted import FittedModel
from pyro_rationale.training.auxiliary_losses import reading_loss
from pyro_rationale.training.pairs import pair_batches
from pyro_rationale.training.prepare import prepare_run
from tests.support.planted_pairs import planted_pairs
from tests.support.small_fit import small
from tests.support.tiny_bert import make_tiny_bert
from tests.support.untrained_pairs import before_training


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FittedModel:
    return before_training(tmp_path_factory.mktemp("top-k"))


def test_gradients_pass_straight_through_to_every_word(fitted: FittedModel) -> None:
    with fitted.seeded(0):
        reader = untrained(fitted, planted_pairs(), "top k", guide=True)
    attention = TopWords(reader, 0.2, loss_scale(reader))
    batch = next(iter(pair_batches(reader, planted_pairs(), 1)))
    assert isinstance(batch, RankingBatch)
    done = reader.config.train.anneal
    reader.eval()
    scores = attention.scores(batch).detach().requires_grad_()
    attention.scores = lambda batch: scores  # type: ignore[method-assign]
    loss = attention.loss(batch, done)
    kept = attention.topk_mask(batch)
    assert loss.item() == pytest.approx(
        reading_loss(reader.model, batch, kept).item() / (len(batch.queries) * attention.scale)
    )
    z = kept.clone().requires_grad_()
    (reading_loss(reader.model, batch, z) / (len(batch.queries) * attention.scale)).backward()
    loss.backward()
    assert z.grad is not None
    assert scores.grad is not None
    share = scores.detach().sigmoid()
    torch.testing.assert_close(scores.grad, z.grad * share * (1 - share) * batch.mask)
    assert (scores.grad[(kept == 0) & batch.mask] != 0).any()


def test_an_encoder_that_the_run_leaves_as_it_is_can_be_trained(tmp_path: Path) -> None:
    """A fit that is paid for what words say of their own text does not train the layer on top of a frozen encoder."""
    pytest.importorskip("transformers", reason="reads the pretrained encoder")
    corpus = planted_pairs()
    bert = make_tiny_bert(tmp_path / "bert", {word for document in corpus.documents for word in document.tokens})
    own: dict[str, Any] = {"pretrained": str(bert), "encoder": "transformer", "tune_encoder": "none", "own_text": 1.0}
    config = small(guide="chain", estimator="muprop", **own, steps=4, head_start="extracts", warmup=2)
    run = prepare_run(config, tmp_path / "run", corpus=corpus).fitted
    assert not run.model.encoder.output.weight.requires_grad
    assert untrained(run, corpus, "whole texts").model.encoder.output.weight.requires_grad


def test_every_text_keeps_its_share_exactly(fitted: FittedModel) -> None:
    task = SearchTask.of(planted_pairs(), "test")
    state = torch.get_rng_state()
    steps: list[int] = []
    attention = top_k_reader(fitted, planted_pairs(), 0.2, lambda: steps.append(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert len(steps) >= 40
    texts = list(planted_pairs().documents)
    masks = attention.masks(texts, batch_size=7)
    assert [int(mask.sum()) for mask in masks] == [share_of(len(text.tokens), 0.2) for text in texts]
    found, shares = others(task, fitted, 0.2, 0, top_k=True)
    assert list(found) == [f"budgeted top-k: {name}" for name in (RATIONALE, WHOLE)]
    assert shares[f"budgeted top-k: {RATIONALE}"] == pytest.approx(3 / 16)


def test_a_run_that_reads_titles_whatever_is_refused(tmp_path: Path) -> None:
    config = small(guide="chain", keep_title=True, data="questions", documents=48, max_words=20)
    prepare_run(config, tmp_path / "run").fitted.save(tmp_path / "run")
    for flag in ("--reinforce", "--top-k"):
        done = CliRunner().invoke(study, ["--run", str(tmp_path / "run"), flag])
        assert isinstance(done.exception, ConfigError)
        assert f"{flag}: chooses among all words" in str(done.exception)
        done = CliRunner().invoke(study, ["--data", "questions", flag])
        assert f"{flag}: needs the --run" in str(done.exception)
