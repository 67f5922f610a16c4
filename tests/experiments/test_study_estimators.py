"""`python -m pyro_rationale.study estimators`: every row for every guide, what it writes, and what it refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from pyro_rationale.cli.studies.estimators import study
from pyro_rationale.data import load_corpus
from pyro_rationale.data.document import make_document
from pyro_rationale.experiments.studies import estimators
from pyro_rationale.experiments.studies.estimators import (
    NEURAL,
    PAPER,
    REFERENCE,
    EstimatorVariant,
    bar,
    default,
    estimator_variants,
    windows,
)
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import own_guides
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.inference.variance import BatchSpread
from tests.support.grids import each_value, some
from tests.support.small_fit import refusal, whole

FEW = [PAPER, REFERENCE, default("chain"), NEURAL[0]]
FAST = ("--draws", 3, "--batches", 1, "--batch", 2, "--baseline-steps", 3, "--timed-steps", 1, "--threads", 1)


def run(path: Path, guides: list[str], *words: object) -> dict[str, Any]:
    runs = [word for guide in guides for word in ("--run", str(whole(guide=guide)))]
    arguments = [*runs, *map(str, FAST), "--json", str(path), *map(str, words)]
    end = CliRunner().invoke(study, arguments, catch_exceptions=False, env={"COLUMNS": "220"})
    assert end.exit_code == 0
    torch.set_flush_denormal(False)
    result: dict[str, Any] = json.loads(path.read_text())
    result["said"] = end.output
    return result


@each_value("guide,state", own_guides(), ["trained", "untrained"])
def test_every_row(tmp_path: Path, guide: str, state: str) -> None:
    result = run(tmp_path / "a.json", [guide], "--bias-draws", 0, "--state", state)
    (entry,) = result["runs"]
    expected = [(row.name, row.penalties) for row in estimator_variants(guide)]
    assert len(set(expected)) == len(expected)
    rows = entry[state]
    assert [(row["estimator"], row["penalties"]) for row in rows] == expected
    assert all(math.isfinite(row["variance"]) and row["time"] > 0 for row in rows)
    named = {(row["estimator"], row["penalties"]): row for row in rows}
    assert named[REFERENCE.name, "exact"]["variance x masks"] == 1.0
    assert named[PAPER.name, "sampled"]["masks read"] == 1
    assert 1 < named["muprop-4", "exact"]["masks read"] <= 5, "one more for the slope"
    assert f"{guide} guide, {state}" in result["said"]
    if guide != "relaxed":  # which has no score function of its own
        found = entry[f"bar, {state}"]
        assert found["default"] == default(guide).name
        ours, paper = named[default(guide).name, "exact"], named[PAPER.name, "sampled"]
        ratio = paper["variance x masks"] / ours["variance x masks"]
        assert found[PAPER.name]["value"] == pytest.approx(ratio)
        assert result["said"].replace("\n", " ").count(f"below {PAPER.name}") == 1


@some("guides,state", [(["chain"], "trained")], [(["chain", "independent"], "both")])
def test_bias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guides: list[str], state: str) -> None:
    monkeypatch.setattr(estimators, "estimator_variants", lambda guide: FEW)
    result = run(tmp_path / "a.json", guides, "--bias-draws", 400, "--state", state)
    for entry in result["runs"]:
        for name in ("trained", "untrained") if state == "both" else (state,):
            for row in entry[name]:
                assert row["bias z"] < 4.5
                assert row["relative bias"] < 4 * row["of it noise"]


def test_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "estimator_variants", lambda guide: [PAPER, REFERENCE, default(guide)])
    words = ("--bias-draws", 0, "--state", "trained")
    result = run(tmp_path / "a.json", ["chain", "independent"], *words)
    assert [entry["guide"] for entry in result["runs"]] == ["chain", "independent"]


def test_the_same_seed_gives_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "estimator_variants", lambda guide: FEW)
    words = ("--bias-draws", 0, "--state", "trained")
    entries = [run(tmp_path / name, ["chain"], *words)["runs"][0] for name in ("a", "b")]
    assert "untrained" not in entries[0]
    first, second = (entry["trained"] for entry in entries)
    for one, other in zip(first, second, strict=True):
        assert one | {"time": 0.0} == other | {"time": 0.0}


def test_an_estimator_of_another_package_is_measured_as_well() -> None:
    before = estimator_variants("chain")
    ESTIMATORS["mine"] = ESTIMATORS["rloo"]
    try:
        assert estimator_variants("chain") == [*before, EstimatorVariant("mine", ESTIMATORS["rloo"].default_samples)]
    finally:
        del ESTIMATORS["mine"]


def test_refusals(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = refusal(capfd, study, "--run", whole(guide="chain"), "--batches", 1000)
    assert said.startswith("--batches 1000: the split holds")
    assert "no such run folder" in refusal(capfd, study, "--run", tmp_path / "none")
    assert refusal(capfd, study, "--run", whole(guide="hardkuma")).endswith("there is nothing to compare")
    assert refusal(capfd, study, "--run", tmp_path, "--json", tmp_path / "no" / "a.json").startswith("--json")


def test_the_bar_by_hand() -> None:
    """How many times below: the others' cost over ours."""
    ours = default("chain")
    costs = zip((ours, PAPER, *NEURAL), (1, 30, 4, 5), strict=True)
    spreads = {row: [BatchSpread(cost, 2.0)] * 3 for row, cost in costs}
    found = bar(ours, spreads)
    assert found["default"] == ours.name
    assert [found[row.name]["value"] for row in (PAPER, *NEURAL)] == [30, 4, 5]


def test_stretches_of_a_run_of_several_targets_are_texts() -> None:
    fitted = FittedModel.load(whole(guide="chain", aspect="all"))
    documents = load_corpus(fitted.config.data).test
    batch = windows(fitted, fitted.guide, documents)
    assert batch.index is not None
    assert batch.aspects is not None
    assert set(batch.index.tolist()) == set(range(estimators.SHORT))
    assert set(batch.aspects.tolist()) == set(range(fitted.aspects))
    assert batch.lengths.max() <= estimators.WINDOW


def test_a_stretch_has_its_own_part_of_the_title() -> None:
    words = [f"word{i}" for i in range(3 * estimators.WINDOW + 1)]
    document = replace(make_document("a", words), title=estimators.WINDOW + 2)
    parts = estimators.stretches(document)
    assert [part.title for part in parts] == [estimators.WINDOW, 2, 0]
    for number, part in enumerate(parts):
        assert part.tokens == tuple(words[number * estimators.WINDOW :][: estimators.WINDOW])
        assert tuple(part.text[start:end] for start, end in part.offsets) == part.tokens
