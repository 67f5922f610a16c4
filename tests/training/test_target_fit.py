"""`--condition-on-target` from the command's side: fits, resumes, run folders, and no target in any prediction."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_rationale.data import load_corpus
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Document
from pyro_rationale.evaluation.evaluate import evaluate_documents
from pyro_rationale.evaluation.objective_report import objective_report
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import GUIDES
from pyro_rationale.prediction.options import DecodeOptions, PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.validation import score_modes
from tests.support.small_fit import Break, differences, fit_small, table, whole, without_manifest

EVERY = pytest.mark.parametrize("guide", list(GUIDES))
GIVEN = ("elbo_given_target", "expected_cost_given_target", "kl_given_target", "entropy_given_target")
OF_TARGETS = {"mse", "mse_scaled", "mae"}  # what compares with the targets must change with them


def loud(guide: str) -> tuple[FittedModel, list[Document]]:
    """A small fit whose guide says something quite different once it sees the target, and its test documents."""
    fitted = FittedModel.load(whole(guide=guide, condition_on_target=True), "cpu")
    torch.manual_seed(3)
    for name, part in fitted.guide.named_parameters():
        if "context" in name:
            torch.nn.init.normal_(part, std=20.0)
        elif name.startswith(("head", "cell")):
            torch.nn.init.normal_(part)
    return fitted, list(load_corpus(fitted.config.data, fitted.spec).test)


def otherwise(documents: Sequence[Document]) -> list[Document]:
    """Equal texts with other targets, some of them unknown."""
    values = [(1.0 - d.targets[0],) if i % 3 else (math.nan,) for i, d in enumerate(documents)]
    return [replace(d, targets=value) for d, value in zip(documents, values, strict=True)]


# No target reaches a prediction.


@EVERY
def test_what_is_predicted_does_not_depend_on_the_targets(guide: str) -> None:
    fitted, documents = loud(guide)
    others = otherwise(documents)
    for rule in ("agreeing", "mode", "threshold", "sample"):
        masks, values = decode_all(fitted, documents, DecodeOptions(decode=rule), 4)
        again, same = decode_all(fitted, others, DecodeOptions(decode=rule), 4)
        assert masks == again
        assert (values == same).all()
        one = evaluate_documents(fitted, documents, rule, batch_size=4)
        other = evaluate_documents(fitted, others, rule, batch_size=4)
        assert {k: v for k, v in one.items() if k not in OF_TARGETS} == {
            k: v for k, v in other.items() if k not in OF_TARGETS
        }
        assert one["mse"] != other["mse"]
    options = PredictOptions(samples=5)
    for reading, twin in zip(predict(fitted, documents, options), predict(fitted, others, options), strict=True):
        assert replace(reading, document=twin.document) == twin


@EVERY
def test_nor_do_the_masks_of_the_dev_figures_and_the_report_under_the_text_alone(guide: str) -> None:
    fitted, documents = loud(guide)
    some = [replace(d, targets=(0.2,)) for d in documents]
    others = [replace(d, targets=(0.9,)) for d in documents]

    def figures(texts: Sequence[Document]) -> tuple[list[float], dict[str, float]]:
        score = score_modes(fitted, BucketedBatches(texts, fitted.vocabulary, fitted.spec, 4))
        return [score.rate, score.empty, score.words, score.changes], objective_report(fitted, texts, samples=4)

    (rates, report), (again, changed) = figures(some), figures(others)
    assert rates == again
    assert (report["kl"], report["entropy"]) == (changed["kl"], changed["entropy"])
    assert report["elbo"] != changed["elbo"]
    assert report["kl_given_target"] != changed["kl_given_target"]


# Fits and their folders.


@EVERY
def test_a_fit_reports_both_bounds_and_its_folder_loads(guide: str) -> None:
    folder = whole(guide=guide, condition_on_target=True)
    figures = json.loads((folder / "metrics.json").read_text())["test"]
    assert all(math.isfinite(figures[name]) for name in GIVEN)
    fitted = FittedModel.load(folder, "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    report = objective_report(fitted, documents, batch_size=16)
    assert {name: figures[name] for name in report} == pytest.approx(report, rel=1e-5)
    plain = objective_report(FittedModel.load(whole(guide=guide), "cpu"), documents)
    assert not set(GIVEN) & plain.keys()


@EVERY
def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path: Path, guide: str) -> None:
    options: dict[str, Any] = {"guide": guide, "condition_on_target": True}
    for progress in (Break(steps=2), Break(steps=3)):
        with pytest.raises(KeyboardInterrupt):
            fit_small(tmp_path, progress, resume=progress.steps == 3, **options)
    fit_small(tmp_path, resume=True, **options)
    assert differences(tmp_path, whole(**options)) == []


def test_hiding_is_drawn_from_the_seed() -> None:
    one, other = (read_tensors(whole(condition_on_target=flag) / "model.safetensors")[0] for flag in (True, False))
    assert set(one) - set(other) == {"guide.generator.context.weight"}
    assert not torch.equal(one["guide.head.weight"], other["guide.head.weight"])


def test_a_run_from_before_the_option_loads(tmp_path: Path) -> None:
    folder = whole()
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    without_manifest(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["config"]["model"].pop("condition_on_target") is False
    (tmp_path / "config.json").write_text(json.dumps(config))
    old = FittedModel.load(tmp_path, "cpu")
    assert not old.config.model.condition_on_target
    assert old.guide.target is None
    fit_small(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("columns", "cells"),
    [
        ("stars,food", [f"{1 + i % 5},{'' if i % 3 else i % 4}" for i in range(30)]),
        ("tone", [("bad", "good")[i % 2] for i in range(30)]),
        ("clean,quiet", [f"{i % 2},{'' if i % 3 else i // 3 % 2}" for i in range(30)]),
        ("kind", [("x", "y", "z")[i % 3] for i in range(30)]),
    ],
)
def test_every_kind_of_target(tmp_path: Path, columns: str, cells: list[str]) -> None:
    rows = [f"{'good room ' * (i % 4)}text number n{i} and more,{cell}" for i, cell in enumerate(cells)]
    path = table(tmp_path / "data.csv", f"text,{columns}", rows)
    names = tuple(columns.split(","))
    options: dict[str, Any] = {"data": str(path), "text_column": "text", "target_column": names}
    options["condition_on_target"] = True
    _, metrics = fit_small(tmp_path / "run", guide="chain", min_count=1, **options)
    assert all(math.isfinite(metrics.test[name]) for name in GIVEN)
    fitted = FittedModel.load(tmp_path / "run", "cpu")
    assert fitted.guide.target is not None
    assert fitted.guide.generator.context is not None
    assert float(fitted.guide.generator.context.weight.detach().abs().sum()) > 0
