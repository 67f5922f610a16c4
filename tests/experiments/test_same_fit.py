"""A folder of another fit is refused, finished, measured, or only begun: options and rows are compared."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.experiments.baselines import fit_method
from pyro_rationale.experiments.benchmark.runner import CELL, FIT, BenchmarkRunner
from pyro_rationale.experiments.benchmark.spec import make_plan
from pyro_rationale.experiments.same_fit import check_same_options
from pyro_rationale.experiments.studies.cells import STUDY, Study
from pyro_rationale.experiments.studies.question_variants import QUESTIONS, RELAXED, Variant
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.run_files import CONFIG, read_config
from tests.support.small_fit import content, ratings_table, small, without_manifest

BASE: dict[str, Any] = {"documents": 48, "hidden": 4, "embedding": 4, "batch_size": 16, "steps": 4, "anneal": 2}


def other_rate(config: Config) -> Config:
    return config.changed(learning_rate=0.1)


@pytest.mark.parametrize("name", ["full-text", "tfidf", "relaxed"])
def test_a_baseline_of_another_learning_rate_is_not_taken(name: str, tmp_path: Path) -> None:
    config = small(guide="independent", steps=4, anneal=2)
    corpus = load_corpus(config.data)
    fit_method(name, config, corpus, tmp_path / name)
    with pytest.raises(ConfigError, match=r"was made with learning_rate = .*, and 0\.1 is requested"):
        fit_method(name, other_rate(config), corpus, tmp_path / name)
    elsewhere = config.changed(threads=2)
    fit_method(name, elsewhere, corpus, tmp_path / name)  # is read: the number of threads is no other fit


def test_methods_are_compared_by_their_most_probable_masks(tmp_path: Path) -> None:
    """Their cells hold modes, too: a rule that weighs predictions as well would mix two measures."""
    config = small(guide="independent", steps=4, anneal=2)
    fitted = fit_method("relaxed", config, load_corpus(config.data), tmp_path / "relaxed")
    assert isinstance(fitted, ModelRationalizer)
    assert fitted.decode.decode == "mode"


def test_defaults_that_are_given_are_the_same_options(tmp_path: Path) -> None:
    config = small(guide="independent")
    check_same_options(config.to_dict(), small(guide="independent", samples=config.samples), tmp_path)
    with pytest.raises(ConfigError, match="samples"):
        check_same_options(config.to_dict(), small(guide="independent", samples=config.samples + 1), tmp_path)


def test_a_cell_without_its_file_is_not_made_of_weights_of_other_options(tmp_path: Path) -> None:
    """A cell that was fitted and not measured, or whose `cell.json` is lost: old weights get no new configuration."""
    table = {
        "rates": [0.2], "methods": ["relaxed", "full-text"],
        "base": {k: v for k, v in BASE.items() if k != "documents"},
        "corpora": [{"name": "planted", "data": "synthetic", "documents": 48}],
    }
    plan = replace(make_plan(table), out=tmp_path)
    again = replace(plan, base={**plan.base, "learning_rate": 0.1})
    for cell, same in zip(plan.cells(), again.cells(), strict=True):
        BenchmarkRunner(plan).run(cell)
        folder = BenchmarkRunner(plan).folder(cell)
        (folder / CELL).unlink()
        before = {path: path.read_bytes() for path in (folder / FIT).iterdir()}
        with pytest.raises(ConfigError, match=r"was made with learning_rate = .*, and 0\.1 is requested"):
            BenchmarkRunner(again).run(same)
        assert {path: path.read_bytes() for path in (folder / FIT).iterdir()} == before
        BenchmarkRunner(plan).run(cell)
        assert BenchmarkRunner(plan).state(cell) == "finished"


def test_a_study_refuses_cells_of_other_options(tmp_path: Path) -> None:
    study, variant = Study(tmp_path, BASE), RELAXED
    measures = study.measures(variant, 0)
    folder = next(tmp_path.rglob(STUDY)).parent
    for other in ({"learning_rate": 0.1}, {"steps": 5}):
        with pytest.raises(ConfigError, match=f"{re.escape(str(folder))}: was made with {next(iter(other))} = "):
            Study(tmp_path, {**BASE, **other}).measures(variant, 0)
    assert Study(tmp_path, {**BASE, "threads": 2}).measures(variant, 0) == measures
    (folder / STUDY).unlink()
    with pytest.raises(ConfigError, match="was made with learning_rate"):
        Study(tmp_path, {**BASE, "learning_rate": 0.1}).measures(variant, 0)
    assert read_config(folder)[0].train.learning_rate != 0.1


def test_attention_in_a_study_is_checked_as_well(tmp_path: Path) -> None:
    soft = next(variant for variant in QUESTIONS[6].variants if variant.attention == "soft")
    Study(tmp_path, BASE).measures(soft, 0)
    with pytest.raises(ConfigError, match="was made with steps = 4, and 5 is requested"):
        Study(tmp_path, {**BASE, "steps": 5}).measures(soft, 0)
    folder = without_manifest(tmp_path / "attention-soft" / "seed-0")
    (folder / STUDY).write_text('{"arm": "soft", "flags": {}, "measures": {"mse": 1}}')
    assert Study(tmp_path, BASE).measures(soft, 0) == {"mse": 1}  # an older file: RELAXED's options hold
    with pytest.raises(ConfigError, match="was made with steps = 4, and 5 is requested"):
        Study(tmp_path, {**BASE, "steps": 5}).measures(soft, 0)


def test_an_older_study_is_read_and_checked(tmp_path: Path) -> None:
    """Before, `study.json` held no configuration; `config.json` beside it does."""
    study, variant = Study(tmp_path, BASE), Variant("relaxed", {"guide": "relaxed"})
    study.measures(variant, 0)
    path = without_manifest(next(tmp_path.rglob(STUDY)).parent) / STUDY
    path.write_text('{"arm": "relaxed", "flags": {"guide": "relaxed"}, "seed": 0, "measures": {"mse": 1.0}}')
    assert (path.parent / CONFIG).exists()
    assert study.measures(variant, 0) == {"mse": 1.0}
    with pytest.raises(ConfigError, match="was made with steps = 4, and 5 is requested"):
        Study(tmp_path, {**BASE, "steps": 5}).measures(variant, 0)


# Other rows.


@pytest.mark.parametrize("name", ["full-text", "tfidf", "relaxed"])
def test_a_baseline_of_other_rows_is_not_taken(name: str, tmp_path: Path) -> None:
    data: dict[str, Any] = {"data": str(ratings_table(tmp_path / "a.csv")), "target_column": ("y",), "min_count": 1}
    config = small(guide="independent", steps=4, anneal=2, **data)
    fit_method(name, config, load_corpus(config.data), tmp_path / name)
    ratings_table(tmp_path / "a.csv", flipped=True)
    with pytest.raises(RunError, match=r"a\.csv has changed since \(train, dev, test\); restore the data"):
        fit_method(name, config, load_corpus(config.data), tmp_path / name)


def test_a_benchmark_and_a_study_refuse_cells_of_other_rows(tmp_path: Path) -> None:
    data = {"data": str(ratings_table(tmp_path / "a.csv")), "target_column": ["y"]}
    base = {**{k: v for k, v in BASE.items() if k != "documents"}, "min_count": 1}
    made = make_plan({"rates": [0.2], "methods": ["full-text"], "base": base, "corpora": [{"name": "a", **data}]})
    plan = replace(made, out=tmp_path / "benchmark")
    [cell] = plan.cells()
    flags = {**base, **data, "target_column": ("y",)}
    BenchmarkRunner(plan).run(cell)
    Study(tmp_path / "study", flags).measures(RELAXED, 0)
    before = content(tmp_path)
    BenchmarkRunner(plan).run(cell)
    Study(tmp_path / "study", flags).measures(RELAXED, 0)
    ratings_table(tmp_path / "a.csv", flipped=True)
    for run in (lambda: BenchmarkRunner(plan).run(cell), lambda: Study(tmp_path / "study", flags).measures(RELAXED, 0)):
        with pytest.raises(RunError, match=r"a\.csv has changed since \(train, dev, test\); restore the data"):
            run()
    assert BenchmarkRunner(plan).read(cell)["views"]  # tables of what is finished need no data
    ratings_table(tmp_path / "a.csv")
    assert content(tmp_path) == before
