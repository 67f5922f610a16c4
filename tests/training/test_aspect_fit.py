"""A fit with a mask for each target, from planted reviews to predictions, tables and run folders."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.cli.explain import as_dict
from pyro_rationale.cli.fit import show_documents
from pyro_rationale.data.aspects import asked, by_aspect
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.document import Document
from pyro_rationale.distributions import AspectPriors, ChainPrior
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.evaluate import evaluate, evaluate_average, evaluate_predictions
from pyro_rationale.evaluation.objective_report import objective_report
from pyro_rationale.evaluation.results import RunMetrics, train, train_ensemble
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import GUIDES
from pyro_rationale.prediction.decoding import predict_from
from pyro_rationale.prediction.options import DecodeOptions, ExplainOptions
from pyro_rationale.prediction.predictor import Prediction
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.prediction.shown_masks import decode_masks
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.rate_control import AspectControls, RateControl, Schedule
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.validation import score_modes, shift_to, shifts_to
from tests.support.small_fit import Break, differences, small
from tests.support.small_fit import whole as whole_run

OPTIONS: dict[str, Any] = {"documents": 24, "steps": 4, "anneal": 1, "guide": "chain", "aspect": "all"}
NAMES = ("appearance", "aroma", "palate", "taste")


def thinned(corpus: Corpus) -> Corpus:
    """The corpus in which every fifth rating is unknown."""

    def of(documents: Any) -> tuple[Document, ...]:
        return tuple(
            replace(d, targets=tuple(math.nan if (i + j) % 5 == 0 else y for j, y in enumerate(d.targets)))
            for i, d in enumerate(documents)
        )

    return replace(corpus, train=of(corpus.train), dev=of(corpus.dev))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """To be read only."""
    return train(small(**OPTIONS), tmp_path_factory.mktemp("aspects") / "run")[0]


@pytest.fixture(scope="module")
def loaded(run: TrainingRun) -> FittedModel:
    return FittedModel.load(run.folder, "cpu")


@pytest.fixture(scope="module")
def predictions(run: TrainingRun, loaded: FittedModel) -> list[Prediction]:
    return loaded.predict(run.corpus.test, samples=20)


def test_planted_reviews_have_a_rationale_for_each_aspect(run: TrainingRun) -> None:
    """They do not overlap, make up the gold words together, and a row has its own."""
    document = run.corpus.test[0]
    rationales = np.array(document.rationales)
    assert rationales.sum(0).max() == 1
    assert rationales.any(axis=0).astype(bool).tolist() == list(document.gold or ())
    row = asked(document, 2)
    assert row.gold == tuple(rationales[2].tolist())
    assert [math.isnan(y) for y in row.targets] == [True, True, False, True]
    assert set(np.flatnonzero(np.array(row.opinion))) <= set(np.flatnonzero(np.array(row.gold)))
    assert by_aspect([row], 4) == [row]


def test_a_loaded_run_has_a_prior_and_a_mask_for_each_target(run: TrainingRun, loaded: FittedModel) -> None:
    assert loaded.aspects == 4
    prior = loaded.model.prior
    assert isinstance(prior, AspectPriors)
    assert len({chain.alpha for chain in prior.chains}) == 4
    rows = by_aspect(run.corpus.test, 4)
    torch.testing.assert_close(
        loaded.guide.posterior(loaded.encode(rows)).mean, run.fitted.guide.posterior(run.fitted.encode(rows)).mean
    )
    masks = decode_masks(loaded, rows, DecodeOptions())
    assert len(masks) == 4 * len(run.corpus.test)
    with pytest.raises(ConfigError, match="a mask for each target"):
        decode_masks(loaded, run.corpus.test, DecodeOptions())


def test_predictions_of_texts_are_put_together_from_their_targets(
    run: TrainingRun, loaded: FittedModel, predictions: list[Prediction]
) -> None:
    """Each target by its own mask; intervals and means of the whole are those of the parts."""
    for document, whole in zip(run.corpus.test, predictions, strict=True):
        parts = whole.aspects
        assert len(parts) == 4
        assert whole.document == document
        rows = by_aspect([document], 4)
        alone = predict_from(loaded, rows, [part.kept for part in parts])
        np.testing.assert_allclose(whole.expected, alone.diagonal(), rtol=1e-5)
        assert whole.kept == tuple(map(any, zip(*(part.kept for part in parts), strict=True)))
        assert whole.predictive is not None
        assert whole.predictive.mean.tolist() == pytest.approx([p.averaged[i] for i, p in enumerate(parts)], rel=1e-6)
        assert whole.predictive.sd.tolist() == pytest.approx(whole.sd, rel=1e-6)
        for i, part in enumerate(parts):
            assert part.predictive is not None
            at = np.full(4, 0.4)
            assert whole.predictive.cdf(at)[i] == pytest.approx(part.predictive.cdf(at)[i])
    assert loaded.predict(by_aspect(run.corpus.test[:1], 4), samples=20) == list(predictions[0].aspects)


def test_tables_have_figures_of_each_target(
    run: TrainingRun, loaded: FittedModel, predictions: list[Prediction]
) -> None:
    """Sums over documents, so that intervals and tests take documents and not rows; agreement of each target."""
    test = RunMetrics.load(run.folder).test
    documents = run.corpus.test
    assert test["documents"] == len(documents)
    assert tuple(test["aspects"]) == NAMES
    assert {"mse", "selected", "f1", "foreign"} <= test["aspects"]["aroma"].keys()
    masks = decode_masks(loaded, by_aspect(documents, 4), DecodeOptions())
    assert test["selected"] == pytest.approx(sum(map(sum, masks)) / sum(map(len, masks)))
    own = np.concatenate(masks[1::4]).astype(bool)
    gold = np.concatenate([asked(document, 1).gold or () for document in documents]).astype(bool)
    assert test["aspects"]["aroma"]["f1"] == pytest.approx(2 * (gold & own).sum() / (gold.sum() + own.sum()))
    made = evaluate(ModelRationalizer(loaded), documents, scores=False)
    assert all(len(one) == len(documents) for one in made.statistics.values())
    again = evaluate_predictions(predictions, loaded.spec)
    assert again.documents == len(documents)
    assert again.metrics["mse"] == pytest.approx(test["mse"], rel=1e-4)
    assert evaluate_average(loaded, documents, samples=2)["aspects"]["taste"]["selected"] > 0
    assert tuple(RunMetrics.load(run.folder).priors) == NAMES


def test_json_and_the_last_documents_of_a_fit_have_every_target(
    run: TrainingRun, loaded: FittedModel, predictions: list[Prediction]
) -> None:
    [reading] = loaded.predict(run.corpus.test[:1], samples=5, contributions="removal")
    record = as_dict(reading, loaded.task, ExplainOptions(samples=5, contributions="removal"))
    assert tuple(record["prediction"]) == tuple(record["contributions"]["targets"]) == NAMES
    named = [tuple(span["changes"]) for span in record["contributions"]["spans"]]
    assert len(named) == sum(len(part["contributions"]["spans"]) for part in record["aspects"].values())
    assert all(len(names) == 1 for names in named)
    console = Terminal(file=io.StringIO(), width=200)
    show_documents(console, run)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown.count("A appearance  B aroma  C palate  D taste") == 3
    assert re.search(r"\[[A-D]+ ", shown)


def test_a_guide_that_knows_no_targets_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind: Any = GUIDES["independent"]

    class Old(kind):
        @classmethod
        def from_config(cls, config: Any, generator: Any, baseline: Any = None, target: Any = None,
                        coupling: float = 0.5) -> Any:  # fmt: skip
            raise AssertionError

    monkeypatch.setitem(GUIDES, "independent", Old)
    with pytest.raises(ConfigError, match="--guide independent: has no mask for each of several targets; take --masks"):
        prepare_run(small(**{**OPTIONS, "guide": "independent"}), tmp_path / "run")


def test_a_fit_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """Controls, running priors and selection of every target are in the checkpoint; unknown ratings cost nothing."""
    config = small(**{**OPTIONS, "epoch_steps": 2, "documents": 16})
    corpus = thinned(prepare_run(config, tmp_path / "none").corpus)
    train(config, tmp_path / "whole", corpus=corpus)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", corpus=corpus, callbacks=[Break(steps=3)])
    train(config, tmp_path / "parts", corpus=corpus, resume=True)
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


@pytest.mark.parametrize(
    ("guide", "more"),
    [
        ("recurrent", {}),
        ("relaxed", {"warmup": 1, "warmup_texts": "masked", "any_rate": 0.3, "judge": "mcd"}),
        ("independent", {"unit": "sentence", "rate_as": "target", "nonempty": True, "overlap": 2.0}),
        ("hardkuma", {"laplace": True}),
        ("chain", {"exclude": "punctuation", "overlap": 1.0, "condition_on_target": True}),
    ],
)
def test_every_guide_fits_masks_of_each_target(guide: str, more: dict[str, Any], tmp_path: Path) -> None:
    """With what else a fit can be asked for."""
    options = {**OPTIONS, "guide": guide, "steps": 2, "documents": 12, "samples": None, "tau": None, **more}
    run, metrics = train(small(**options), tmp_path / "run")
    assert tuple(metrics.test["aspects"]) == NAMES
    assert len(run.fitted.predict(run.corpus.test[:1], samples=4)[0].aspects) == 4


def test_members_share_nothing_but_the_texts(tmp_path: Path) -> None:
    run, metrics = train_ensemble(small(**{**OPTIONS, "members": 2, "steps": 2, "documents": 12}), tmp_path / "run")
    assert tuple(metrics.test["aspects"]) == NAMES
    assert FittedModel.load(tmp_path / "run", "cpu").aspects == 4
    assert isinstance(run.fitted.model.prior, AspectPriors)


def test_one_mask_for_all_targets_on_demand(tmp_path: Path) -> None:
    """It is what run folders of before have, and says how it agrees with each target's own rationale."""
    run, metrics = train(small(**{**OPTIONS, "masks": "shared", "steps": 2}), tmp_path / "run")
    assert run.fitted.aspects == 1
    assert run.fitted.predict(run.corpus.test[:1], samples=4)[0].aspects == ()
    assert "f1" in metrics.test["aspects"]["palate"]
    path = tmp_path / "run" / "config.json"
    facts = json.loads(path.read_text())
    del facts["config"]["model"]["masks"], facts["config"]["model"]["overlap"]
    from pyro_rationale.config import Config

    assert Config.from_dict(facts["config"]).model.masks == "shared"


def test_options_that_need_masks_of_each_target() -> None:
    with pytest.raises(ConfigError, match="--overlap: one mask is shared"):
        small(overlap=1.0, masks="shared")
    with pytest.raises(ConfigError, match="no exact marginals"):
        small(overlap=1.0, guide="recurrent")


def test_overlap_of_one_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="appearance is the only target"):
        prepare_run(small(**{**OPTIONS, "aspect": "appearance", "overlap": 1.0}), tmp_path / "run")


def test_every_target_is_held_to_its_share() -> None:
    """A target that keeps too much becomes dearer, the others do not; one that is not rated goes on as it should."""
    schedule, prior = Schedule(0, 0, 0.1), ChainPrior.from_rate_span(0.1, 2.0)
    controls = AspectControls(tuple(RateControl(schedule, prior) for _ in range(3)))
    for step in range(60):
        found = controls.update(step, (0.5, 0.1, math.nan), (0.1, 0.1, math.nan))
    assert found.chains[0].alpha > found.chains[1].alpha + 1.0
    assert abs(found.chains[2].alpha - found.chains[1].alpha) < 1.0
    other = AspectControls(tuple(RateControl(schedule, prior) for _ in range(3)))
    other.restore(controls.state())
    assert other.update(60, (0.5, 0.1, 0.1)) == controls.update(60, (0.5, 0.1, 0.1))
    controls.schedule = replace(schedule, rate=0.3)
    assert controls.controls[2].schedule.rate == 0.3


def test_shifts_of_each_target_are_those_of_its_rows_alone(run: TrainingRun) -> None:
    fitted = run.fitted
    rows = by_aspect(run.corpus.dev, 4)
    batch = fitted.encode(rows)
    found = shifts_to(0.3, [fitted.guide.posterior(batch)], [batch], 4)
    for aspect in (0, 3):
        own = fitted.encode([row for row in rows if row.aspect == aspect])
        assert found[aspect] == pytest.approx(shift_to(0.3, [fitted.guide.posterior(own)], [own]), abs=0.02)


def test_a_target_that_no_held_out_text_rates(run: TrainingRun) -> None:
    """It is neither shifted nor steered, and keeps no epoch from being chosen."""
    fitted = run.fitted
    some = fitted.encode([row for row in by_aspect(run.corpus.dev, 4) if row.aspect in (0, 2)])
    found = shifts_to(0.3, [fitted.guide.posterior(some)], [some], 4)
    assert len(found) == 4
    assert (found[1], found[3]) == (0.0, 0.0)
    rated = [replace(text, targets=(*text.targets[:3], math.nan)) for text in run.corpus.dev]
    score = score_modes(fitted, fitted.batches(rated, 64))
    assert [math.isnan(rate) for rate in score.rates] == [False, False, False, True]
    prior = ChainPrior.from_rate_span(0.1, 2.0)
    one, other = (RateControl(Schedule(0, 0, 0.1), prior, average=0.1, meet=True) for _ in range(2))
    AspectControls((one, other)).observe_modes(5, (0.05, math.nan))
    assert one.correction != 1.0
    assert other.correction == 1.0


def test_the_terms_of_a_document_are_summed_wherever_its_rows_are_read(run: TrainingRun) -> None:
    """Rows of one document in two batches, and equal texts side by side, are as many documents as they are."""
    documents = [*run.corpus.dev[:5], run.corpus.dev[4], replace(run.corpus.dev[5], id=run.corpus.dev[4].id)]
    whole = objective_report(run.fitted.eval(), documents)
    rows = [row for row in by_aspect(documents, 4) if not math.isnan(row.targets[row.aspect or 0])]
    assert objective_report(run.fitted, rows, batch_size=3)["kl"] == pytest.approx(whole["kl"], rel=1e-4)


def test_errors_averaged_over_masks_stand_beside_each_target() -> None:
    test = json.loads((whole_run(**OPTIONS) / "metrics.json").read_text())["test"]
    for name in ("averaged_mse", "averaged_mse_scaled", "averaged_mae"):
        each = [figures[name] for figures in test["aspects"].values()]
        assert len(each) == 4
        assert sum(each) / 4 == pytest.approx(test[name])  # every target is known in all texts
