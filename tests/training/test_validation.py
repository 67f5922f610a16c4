"""Figures on development texts: the shift under which mode masks keep the requested share, and where it ends up."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.data import Document, load_corpus
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.validation import CLOSE, LARGEST_SHIFT, score_modes, shift_to, validate
from tests.support.small_fit import small

GUIDES = [
    pytest.param({"guide": "chain"}, id="chain"),
    pytest.param({"guide": "chain", "nonempty": True, "exclude": "punctuation,stopwords"}, id="nonempty, exclude"),
    pytest.param({"guide": "independent"}, id="independent"),
    pytest.param({"guide": "relaxed"}, id="relaxed"),
    pytest.param({"guide": "chain", "unit": "sentence"}, id="sentences"),
]


def a_fit(folder: Path, **options: Any) -> TrainingRun:
    """A fit with a guide that prefers some words to others by up to a nat; nothing has been trained."""
    fit = prepare_run(small(rate_as="target", **options), folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.init.normal_(fit.fitted.guide.head.weight, std=1.0)
    return fit


@pytest.mark.parametrize("options", GUIDES)
def test_modes_keep_the_share_under_the_shift_and_the_bias_is_the_shift(tmp_path: Path, options: Any) -> None:
    fit = a_fit(tmp_path / "run", **options)
    fitted, rate = fit.fitted.eval(), 0.3
    batch = next(iter(fit.dev.ordered(256)))
    q = fitted.guide.posterior(batch)
    share = float(q.mode.sum() / batch.lengths.sum())
    nats = shift_to(rate, [q], [batch])
    shifted = q.tilt(nats) if nats else q
    assert abs(nats) < LARGEST_SHIFT
    found = float(shifted.mode.sum() / batch.lengths.sum())
    close = 0.12 if fit.fitted.config.whole_units else CLOSE  # a sentence is a large part of these texts
    assert found == pytest.approx(rate, rel=close + 1e-6) or abs(found - rate) < abs(share - rate)
    fitted.guide.shift(nats)
    again = fitted.guide.posterior(batch).discrete()
    masks = again.sample()
    torch.testing.assert_close(again.log_prob(masks), shifted.discrete().log_prob(masks), atol=2e-4, rtol=1e-4)


def test_a_guide_that_is_far_away_moves_by_two_nats_at_most_and_one_that_is_there_not_at_all(tmp_path: Path) -> None:
    fit = a_fit(tmp_path / "run", guide="chain")
    batch = next(iter(fit.dev.ordered(256)))
    q = fit.fitted.eval().guide.posterior(batch)
    assert shift_to(0.01, [q.tilt(-9.0)], [batch]) == pytest.approx(LARGEST_SHIFT, abs=0.01)
    share = float(q.mode.sum() / batch.lengths.sum())
    assert shift_to(share, [q], [batch]) == 0.0


def test_figures_of_a_shifted_guide_are_those_of_the_guide_with_that_bias(tmp_path: Path) -> None:
    fit = a_fit(tmp_path / "run", guide="chain", nonempty=True)
    score = validate(fit.fitted, fit.dev, fit.prior, rate=0.3)
    assert score.shift != 0.0
    fit.fitted.guide.shift(score.shift)
    by_bias = validate(fit.fitted, fit.dev, fit.prior)
    for name in ("error", "rate", "words", "changes", "elbo", "expected_cost"):
        assert getattr(by_bias, name) == pytest.approx(getattr(score, name), rel=1e-4), name


def test_the_best_epoch_is_saved_with_its_shift_also_by_a_fit_that_was_interrupted(tmp_path: Path) -> None:
    options = {"guide": "chain", "tau": 1.0, "nonempty": True, "rate_as": "target"}
    options |= {"steps": 12, "rate": 0.3, "start_rate": 0.4}
    fit = prepare_run(small(**options), tmp_path / "run")
    fit.run()
    fit.save()
    resumed = prepare_run(small(**options), tmp_path / "run", resume=True)
    best = max((r for r in fit.history if r.event == "best"), key=lambda r: r.epoch)
    assert fit.selection.best_shift != 0.0
    assert resumed.selection.best_shift == fit.selection.best_shift
    for run in (fit, resumed):
        run.finish()
        assert score_modes(run.fitted, run.dev).rate == pytest.approx(best.dev_rate, abs=1e-6)


@pytest.mark.parametrize("masks", ["shared", "per-target"])
def test_sigma_is_the_error_of_a_rating_that_is_there(tmp_path: Path, masks: str) -> None:
    """Each text has one rating of four; those that are missing are no errors of 0."""
    config = small(aspect="all", masks=masks, task="auto", steps=3, documents=64)
    corpus = load_corpus(config.data)
    count, parts = len(corpus.spec.names), dict[str, tuple[Document, ...]]()
    for split in ("train", "dev", "test"):
        documents = getattr(corpus, split)
        targets = np.array([document.targets for document in documents])
        targets[np.arange(len(targets))[:, None] % count != np.arange(count)] = math.nan
        rows = zip(documents, targets.tolist(), strict=True)
        parts[split] = tuple(replace(document, targets=tuple(row)) for document, row in rows)
    fitted = fit_run(config, tmp_path / "run", corpus=replace(corpus, **parts)).fitted  # type: ignore[arg-type]
    values = decode_all(fitted, parts["dev"], DecodeOptions("mode"))[1]
    low, high = np.array(corpus.spec.ranges).T
    errors = (values - np.array([document.targets for document in parts["dev"]])) / (high - low)
    assert fitted.model.likelihood.noise == pytest.approx(math.sqrt(np.nanmean(errors**2)), rel=1e-5)
