"""A report of a run: its figures are those of `evaluate` and of the stored draws."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_rationale.data import load_corpus
from pyro_rationale.evaluation.evaluate import evaluate_documents, evaluate_predictions
from pyro_rationale.evaluation.objective_report import prior_masks
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.inference_data import write_posterior
from pyro_rationale.prediction.netcdf import open_groups
from pyro_rationale.prediction.options import PredictOptions, Size
from pyro_rationale.prediction.predictor import predict as predict_all
from pyro_rationale.reporting.html import ReportContext, build_report, render, write_report
from pyro_rationale.reporting.html.build import facts_of
from pyro_rationale.reporting.html.charts import (
    prior_guide_charts,
    reliability_charts,
)
from pyro_rationale.reporting.plots.posterior import MaskDraws, kept_words
from pyro_rationale.reporting.prior_words import prior_words
from pyro_rationale.storage import read_json
from pyro_rationale.training.history import read_history
from tests.support.report_pages import BINARY, RATING, parse, read
from tests.support.small_fit import whole


def test_a_report_of_a_run_says_what_evaluate_says(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    fitted = FittedModel.load(whole(guide="chain"), "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    write_posterior(tmp_path / "posterior.nc", fitted, documents, Size(40, 4))
    options = PredictOptions(samples=40)
    stored = read_json(whole(guide="chain") / "metrics.json")

    def report() -> ReportContext:
        with open_groups(tmp_path / "posterior.nc") as draws:
            predictions = list(predict_all(fitted, documents, options))
            evaluation = evaluate_predictions(predictions, fitted.spec, fitted)
            return build_report(
                predictions, options, fitted.config, fitted.spec, fitted.name,
                metrics=evaluation.metrics, curves=evaluation.curves,
                history=read_history(whole(guide="chain") / "epochs.jsonl"), stored=stored, draws=draws,
            )  # fmt: skip

    found = report()
    measured = evaluate_predictions(found.documents, fitted.spec).metrics
    assert measured.pop("covered") == measured["covered_90"]
    known = evaluate_documents(fitted, documents, samples=40)
    conformal = {name for name in known if name.startswith("conformal")}
    assert conformal <= evaluate_predictions(found.documents, fitted.spec, fitted).metrics.keys()
    assert measured == pytest.approx({name: known[name] for name in known.keys() - conformal}, abs=1e-5)
    labels = {tile.label for tile in found.tiles}
    assert {"squared error", "words kept", "nothing kept", "precision", "opinion recall", "ELBO"} <= labels
    assert [label for label, _ in found.metrics].count("IOU F1 (ERASER)") == 1
    assert len(found.metrics) > len(found.tiles)
    assert len(found.quality) == 1
    assert [len(section.charts) for section in found.sections] == [3]
    assert [len(section.charts) for section in found.diagnostics] == [4, 2, 2]
    assert found.lead.startswith(f"{len(documents)} documents; squared error ")
    write_report(tmp_path / "report.html", found)
    page = parse((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.data()["documents"]) == len(documents)
    assert [len(document["p"]) for document in page.data()["documents"]] == [len(d.tokens) for d in documents]
    assert render(report()) == render(found)


def test_prior_and_guide_are_those_of_the_stored_draws(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    fitted = FittedModel.load(whole(guide="chain"), "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    write_posterior(tmp_path / "posterior.nc", fitted, documents, Size(400, 4))
    requested = {"rate": 0.4, "span": 3.0}
    with open_groups(tmp_path / "posterior.nc") as draws:
        masks = MaskDraws.of(draws)
        assert np.array_equal(masks.rates, draws["guide/rate"].values)
        prior = {name: draws.attrs[f"prior_{name}"] for name in ("rate", "span")}
        kept, span = prior_guide_charts(masks, prior, requested)
        figures = kept_words(draws, "prior")
        z, lengths = draws["prior/z"].values, draws["constant_data/lengths"].values
        assert figures["share"] == pytest.approx(z.sum() / (400 * lengths.sum()))
        assert figures["run"] == pytest.approx(z.sum() / draws["prior/spans"].values.sum())
        assert figures["share"] == pytest.approx(prior_masks(fitted, documents)["share"], abs=0.01)
    rows = np.array([[float(cell.removesuffix(" %")) for cell in row[1:]] for row in kept.rows])
    assert rows.sum(0) == pytest.approx([100.0, 100.0], abs=1.0)
    means = f"mean {masks.rates.mean():.3g} under the guide, {masks.prior_rates.mean():.3g} under the prior"
    assert means in kept.description
    assert "Prior asked for: keeps 40 % of the words in runs of 3." in kept.notes
    assert "prior asked for, mean 0.400" in kept.drawing
    assert "prior asked for, mean 3.00 words" in span.drawing
    told, _ = prior_guide_charts(masks, prior | {"share": 0.163, "run": 6.47}, requested)
    assert "Prior, learned: keeps 16.3 % of the words in runs of 6.47." in told.notes  # not those of an endless text
    readings = list(predict_all(fitted, documents, PredictOptions(samples=1)))
    assert masks.rates.mean() == pytest.approx(np.mean([np.mean(r.inclusion) for r in readings]), abs=0.02)
    expected = 0.0
    for document in documents:  # exact, word by word
        lengths = torch.tensor([len(document.tokens)])
        expected += float(fitted.model.prior.distribution(lengths, int(lengths)).mean.mean()) / len(documents)
    assert masks.prior_rates.mean() == pytest.approx(expected, abs=0.02)
    each, _ = prior_guide_charts(masks, prior, None, 1.0, {"aroma": {"rate": 0.2, "span": 4.0}})
    assert "Prior of aroma: keeps 20 % of the words of an endless text in runs of 4." in each.notes
    kept, _ = prior_guide_charts(masks, prior, prior)
    assert "asked for" not in kept.drawing
    assert [note.partition(":")[0] for note in kept.notes] == ["Prior", "Guide"]
    assert "Guide: q(z | x), tau 1; it has not seen the targets." in kept.notes


def test_reliability_is_of_all_words_with_gold() -> None:
    one = read("good, bad and ugly")
    (chart,) = reliability_charts([one, read("no gold here", gold=False)])
    assert sum(int(row[3]) for row in chart.rows) == len(one.document.tokens)
    assert {row[0] for row in chart.rows} == {"annotated rationale"}
    assert list(reliability_charts([read("no gold here", gold=False)])) == []


def test_errors_are_of_what_was_expected_and_not_of_what_is_shown() -> None:
    shown = read("good beer")
    assert evaluate_predictions([shown], RATING).metrics["mse"] == pytest.approx((3.0 - 2.5) ** 2)
    clipped = replace(shown, values=(5.0,), expected=(6.0,))
    assert evaluate_predictions([clipped], RATING).metrics["mse"] == pytest.approx((3.0 - 6.0) ** 2)


def test_intervals_are_counted() -> None:
    inside = read("good beer")
    outside = replace(inside, interval=((4.0, 5.0),))
    unrated = replace(inside, document=replace(inside.document, targets=(float("nan"),)))
    assert evaluate_predictions([inside, outside, outside, unrated], RATING).metrics["covered"] == pytest.approx(1 / 3)
    assert "covered" not in evaluate_predictions([read("good beer", spec=BINARY)], BINARY).metrics


def test_each_target_with_masks_of_its_own_has_its_prior_among_the_facts() -> None:
    fitted = FittedModel.load(whole(aspect="all", guide="chain"))
    stored = json.loads((whole(aspect="all", guide="chain") / "metrics.json").read_text())
    facts = dict(facts_of(fitted.config, fitted.spec, "run", "synthetic", [], stored))
    assert "prior, mean of the targets" in facts
    for name in fitted.spec.names:
        assert facts[f"prior, {name}"] == prior_words(stored["priors"][name], texts="an endless text")
