"""The compare command from outside: what it prints and writes, the runs that it fits, and how it says no."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.compare_objectives import compare
from pyro_rationale.data import load_corpus
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.evaluation.evaluate import evaluate_documents
from pyro_rationale.evaluation.objective_comparison import (
    Compared,
    ComparisonOptions,
    compare_run,
    fit_grid,
    grid,
    short_names,
)
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import GUIDES, own_guides
from pyro_rationale.optional import install_command
from pyro_rationale.reporting.plots import COST_TERMS, OBJECTIVE_TERMS, bar_scores, figures, plot_elbo_cost, plot_terms
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.history import read_history
from tests.support.commands import ended
from tests.support.grids import some
from tests.support.small_fit import Break, content, differences, flags, refusal, small, table, whole

FEW = ["--draws", "3", "--iwae", "3", "--threads", "1"]
TINY = {"documents": 16, "steps": 4, "anneal": 1, "patience": 1}  # four steps of one epoch each


def training(**options: Any) -> list[str]:
    """`--train` and the flags of tiny fits, without the one that it sets itself."""
    words = flags(**{**TINY, **options})
    at = words.index("--tau")
    return ["--train", *words[:at], *words[at + 2 :], *FEW[:4]]


def run(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[str, str]:
    """Standard output and error of a command that goes well."""
    status, out, err = ended(capfd, compare, *words)
    assert status == 0, err
    return out, err


def both_classes(folder: Path, kind: str) -> Path:
    """A table of labels, binary or of three classes."""
    names = ["good", "bad", "odd"][: 2 if kind == "binary" else 3]
    rows = [f'"the {names[i % len(names)]} beer was number {i} of many",{names[i % len(names)]}' for i in range(60)]
    return table(folder / f"{kind}.csv", "text,label", rows)


@pytest.fixture(scope="module")
def four() -> list[Path]:
    return [whole(guide=guide) for guide in own_guides()]


@pytest.fixture(scope="module")
def compared(four: list[Path]) -> list[Compared]:
    documents = load_corpus(FittedModel.load(four[0], "cpu").config.data).test
    how = ComparisonOptions(draws=3, iwae=3)
    names = short_names(four)
    return [compare_run(name, folder, documents, how, "cpu") for name, folder in zip(names, four, strict=True)]


@some("dtype,bar", [("float64", 1e-10)], [("float32", 1e-5)])
def test_all_that_is_written(
    four: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], dtype: str, bar: float
) -> None:
    before = [content(folder) for folder in four]
    out, err = run(capfd, *four, *FEW, "--dtype", dtype, "--out", tmp_path / "new" / "out")
    assert [content(folder) for folder in four] == before
    names = {f"{name}.{kind}" for name in ("training", "lambda", "terms") for kind in ("png", "pdf")}
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == names | {"comparison.csv", "comparison.json"}
    result = json.loads((tmp_path / "new" / "out" / "comparison.json").read_text())
    assert (result["data"], result["split"], result["documents"], result["draws"]) == ("synthetic", "test", 12, 3)
    assert [row["guide"] for row in result["runs"]] == list(own_guides())
    for row in result["runs"]:
        scores = row["scores"]
        assert max(scores["residual"], scores["residual_worst"]) <= bar
        assert scores["cost"] == pytest.approx(scores["cost_from_elbo"], rel=bar)
        assert set(row["rules"]) == {"agreeing", "mode", "threshold", "sample", "average"}
        for metrics in row["rules"].values():
            assert {"mse", "selected", "empty", "precision", "recall", "opinion_recall"} <= metrics.keys()
        assert len(row["history"]) == 3
    with (tmp_path / "new" / "out" / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["elbo"]) for line in lines] == [row["scores"]["elbo"] for row in result["runs"]]
    assert [float(line["mode_mse"]) for line in lines] == [row["rules"]["mode"]["mse"] for row in result["runs"]]
    assert "residual, relative" in out
    assert "comparing 4 of 4" in err


@some("width", [60, 160], [80])
def test_the_table_fits_the_terminal(
    four: list[Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out, err = run(capfd, *four, *four, *FEW, "--quiet")
    assert err == ""
    lines = out.splitlines()
    assert max(len(line.rstrip()) for line in lines[1:]) <= width
    assert "…" not in out
    blocks = {60: 4, 80: 2, 160: 1}[width]
    assert sum(line.startswith("  residual, relative") for line in lines) == 2 * blocks  # of two identities
    for guide in own_guides():
        assert sum(line.split().count(guide) for line in lines if line.startswith("guide")) == 2


def test_test_results_stand_first(four: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capfd, four[0], *FEW, "--quiet")
    lines = [line.strip() for line in out.splitlines()]
    titles = [line for line in lines if line.startswith(("Test time:", "Objective (2)", "Bounds", "The run"))]
    assert [title.split()[0] for title in titles] == ["Test"] * 5 + ["Objective", "Bounds,", "The"]
    assert lines.index("Test time: the shown mask") < 7


def test_scores_belong_together(compared: list[Compared]) -> None:
    for one in compared:
        score = one.scores
        assert one.tau == score["tau"] == 0.25
        assert score["objective_tau1"] - score["objective_tau0"] == pytest.approx(score["entropy"])
        assert score["objective"] == pytest.approx(0.25 * score["objective_tau1"] + 0.75 * score["objective_tau0"])
        assert score["elbo"] == pytest.approx(score["log_likelihood"] - score["kl"])
        parts = score["error"] + score["penalty_kept"] + score["penalty_changes"]
        assert score["cost"] == pytest.approx(parts)
        assert score["penalty_kept"] == pytest.approx(score["lambda1"] * score["kept"])
        bars = bar_scores(one)
        gaussian = score["objective"] + bars["loss"]  # what (2) has beside its terms
        assert gaussian == pytest.approx(score["reconstruction"] + score["gain"] * score["error"])
        own = [point for point in one.curve if point["lambda1"] == pytest.approx(score["lambda1"])]
        shown = score["lambda1"] > 0  # a learned prior may favour words; that has no place on a log axis
        assert [point["elbo"] for point in own] == pytest.approx([score["elbo"]] * shown)
        assert [point["cost"] for point in own] == pytest.approx([score["cost"]] * shown)
        # The cost is a straight line in lambda1.
        first, *others = one.curve
        slopes = {(p["cost"] - first["cost"]) / (p["lambda1"] - first["lambda1"]) for p in others}
        assert min(slopes) == pytest.approx(score["kept"], rel=1e-3)
        assert max(slopes) == pytest.approx(score["kept"], rel=1e-3)


def test_rules_are_those_of_evaluate(compared: list[Compared]) -> None:
    for one in compared:
        fitted = FittedModel.load(one.folder, "cpu")
        documents = load_corpus(fitted.config.data).test
        for rule in ("agreeing", "mode", "threshold", "sample"):
            assert one.rules[rule] == evaluate_documents(fitted, documents, rule)
        average = one.rules["average"]
        assert average["documents"] == len(documents)
        assert average["selected"] == pytest.approx(one.scores["share"], abs=0.1)
        assert average["gold"] == one.rules["mode"]["gold"]


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_classes(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = {"data": str(both_classes(tmp_path, kind)), "target_column": "label", "task": kind, "text_column": "text"}
    words = training(**options, guide="chain")
    out, _ = run(capfd, *words, "--into", tmp_path / "runs", "--out", tmp_path)
    result = json.loads((tmp_path / "comparison.json").read_text())
    assert [row["objective"] for row in result["runs"]] == ["elbo", "expected-cost"]
    for row in result["runs"]:
        assert row["scores"]["residual_worst"] <= 1e-10
        assert row["scores"]["sigma"] is None
        assert row["scores"]["error"] == pytest.approx(-row["scores"]["log_likelihood"])
        assert {"accuracy", "log_loss"} <= row["rules"]["average"].keys()
    assert "nats of cross entropy" in out
    assert "accuracy" in out
    assert "sigma" not in out


def test_several_ratings_some_of_them_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cells = [("4", ""), ("", "2"), ("1", "5"), ("3", "3")]
    rows = [f"the beer was number {i} of many,{cells[i % 4][0]},{cells[i % 4][1]}" for i in range(60)]
    path = table(tmp_path / "two.csv", "text,look,smell", rows)
    words = [*training(data=path, target_column="look", text_column="text"), "--target-column", "smell"]
    run(capfd, *words, "--into", tmp_path / "runs", "--out", tmp_path, "--no-figures")
    result = json.loads((tmp_path / "comparison.json").read_text())
    assert len(result["runs"]) == 8
    assert max(row["scores"]["residual_worst"] for row in result["runs"]) <= 1e-10
    assert not list(tmp_path.glob("*.png"))


# Training.


def test_eight_runs_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*training(), "--into", tmp_path / "runs"]
    _, err = run(capfd, *words)
    folders = sorted((tmp_path / "runs").iterdir())
    expected = {f"{guide}-{name}" for guide in own_guides() for name in ("elbo", "expected-cost")}
    assert {folder.name for folder in folders} == expected
    taus = {folder.name: FittedModel.load(folder, "cpu").config.model.tau for folder in folders}
    assert all(tau == (1.0 if name.endswith("-elbo") else 0.0) for name, tau in taus.items())
    assert err.count("fitting ") == 8
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    _, err = run(capfd, *words)
    assert "fitting " not in err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before


def test_an_interrupted_grid_goes_on_to_the_same_result(tmp_path: Path) -> None:
    configs = grid(small(**TINY), ("relaxed", "chain"))
    fit_grid(configs, tmp_path / "whole", lambda name: Callback())
    begun: list[str] = []

    def begin(name: str) -> Any:
        begun.append(name)
        return Callback()

    def breaking(name: str) -> Any:
        begin(name)
        return Break(steps=3) if len(begun) == 2 else Callback()

    with pytest.raises(KeyboardInterrupt):
        fit_grid(configs, tmp_path / "broken", breaking)
    assert begun == ["relaxed-elbo", "relaxed-expected-cost"]
    begun.clear()
    fit_grid(configs, tmp_path / "broken", begin)
    assert begun == ["relaxed-expected-cost", "chain-elbo", "chain-expected-cost"]
    for name in configs:
        assert differences(tmp_path / "whole" / name, tmp_path / "broken" / name) == []


def test_other_options_are_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    last = list(grid(small(**TINY)).items())[-1:]
    fit_grid(dict(last), tmp_path, lambda name: Callback())
    with pytest.raises(ConfigError, match=r"--hidden: the run in .*chain-expected-cost has 6, got 7"):
        fit_grid(grid(small(**{**TINY, "hidden": 7})), tmp_path, lambda name: Callback())
    assert [path.name for path in tmp_path.iterdir()] == ["chain-expected-cost"]


# Figures, by what they hold.


def test_bars_add_up_to_their_sums(compared: list[Compared]) -> None:
    for terms, total in ((COST_TERMS, "cost"), (OBJECTIVE_TERMS, "loss")):
        axes = plot_terms(Figure().subplots(), compared, terms, total, "cost (units)")
        widths = [sum(bar.get_width() for bar in bars) for bars in zip(*axes.containers, strict=True)]
        assert widths == pytest.approx([bar_scores(one)[total] for one in compared])
        assert axes.get_xlabel() == "cost (units)"
        assert [text.get_text() for text in axes.get_yticklabels()] == [one.name for one in compared]


def test_a_path_per_run_of_what_its_epochs_recorded(compared: list[Compared]) -> None:
    axes = plot_elbo_cost(Figure().subplots(), compared, "units")
    paths = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    assert [line.get_label() for line in paths] == [one.name for one in compared]
    for line, one in zip(paths, compared, strict=True):
        assert np.array_equal(line.get_xdata(), [record.dev_expected for record in one.history])
        assert np.array_equal(line.get_ydata(), [record.dev_elbo for record in one.history])
    old = [replace(one, history=[]) for one in compared]
    assert set(figures(old, "units")) == {"lambda", "terms"}
    assert set(figures([old[0], compared[1]], "units")) == {"training", "lambda", "terms"}


@pytest.fixture
def stiff() -> Iterator[str]:
    """The name of a registered guide that is none of ours."""
    GUIDES["stiff"] = GUIDES["chain"]
    yield "stiff"
    del GUIDES["stiff"]


def test_any_registered_guide_has_a_style_of_its_own(compared: list[Compared], stiff: str) -> None:
    """Figures of a run whose guide comes from elsewhere ended in `KeyError: 'stiff'`."""
    runs = [*compared, replace(compared[0], guide=stiff, name=stiff)]
    assert set(figures(runs, "units")) == {"training", "lambda", "terms"}
    axes = plot_elbo_cost(Figure().subplots(), runs, "units")
    looks = {line.get_label(): (line.get_color(), line.get_marker()) for line in axes.lines}
    assert len({looks[run.name] for run in runs}) == len(runs)
    again = plot_elbo_cost(Figure().subplots(), runs[-1:], "units").lines[0]
    assert (again.get_color(), again.get_marker()) == looks[stiff]  # whatever it is compared with
    assert set(figures([replace(compared[0], guide="not registered here")], "units")) == {"training", "lambda", "terms"}


def test_histories_of_before_the_elbo_was_recorded(tmp_path: Path) -> None:
    source = whole() / "epochs.jsonl"
    now = read_history(source)
    assert all(math.isfinite(record.dev_elbo) and record.dev_expected > 0.0 for record in now)
    older = [json.loads(line) for line in source.read_text().splitlines()]
    for row in older:
        del row["dev_elbo"], row["dev_expected"]
    (tmp_path / "epochs.jsonl").write_text("".join(json.dumps({**row, "target": None}) + "\n" for row in older))
    then = read_history(tmp_path / "epochs.jsonl")
    assert [record.dev_cost for record in then] == [record.dev_cost for record in now]
    assert all(record.dev_elbo != record.dev_elbo and record.target != record.target for record in then)
    (tmp_path / "epochs.jsonl").write_text('{"epoch": 1')
    with pytest.raises(RunError, match="not a history of this version"):
        read_history(tmp_path / "epochs.jsonl")


def test_names_tell_runs_apart() -> None:
    paths = [Path("/a/x/run-0"), Path("/a/y/run-0"), Path("/a/y/run-1")]
    assert short_names(paths) == ["x/run-0", "y/run-0", "run-1"]
    assert short_names([paths[0], paths[0]]) == ["run-0", "run-0"]


# Bad input: one line.


def test_bad_options(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused = partial(refusal, capfd, compare)
    own = whole()
    assert refused() == "name the run folders to compare, or fit them with --train"
    assert "no such run folder" in refused(tmp_path / "missing")
    assert "config.json: no such file" in refused(tmp_path)
    assert refused(own, "--hidden", "7").startswith("--hidden: is for fitting; give --train as well")
    assert refused(own, "--into", tmp_path).startswith("--into: is where --train fits")
    assert refused("--train", "--tau", "1").startswith("--tau: --train fits both objectives")
    assert refused(own, "--draws", "0") == "--draws: expected at least 1 mask per document, got 0"
    assert refused(own, "--iwae", "0") == "--iwae: expected at least 1 mask per document, got 0"
    assert "float16" in refused(own, "--dtype", "float16")
    assert "no such file, and none of the corpora" in refused(own, "--data", "nowhere.csv")


def test_runs_of_different_targets(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other = whole(aspect="aroma")
    message = refusal(capfd, compare, whole(), other)
    assert message.startswith(f"{other}: predicts ratings (aroma 0 to 1), and {whole()} predicts ratings (appearance")


def test_a_place_that_cannot_be_written_to(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert refusal(capfd, compare, whole(), "--out", place).startswith(f"--out {place}: cannot be written to (")
    if os.geteuid():
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        assert "cannot be written to (Permission denied)" in refusal(capfd, compare, whole(), "--out", closed)


def test_an_earlier_comparison_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    earlier = tmp_path / "comparison.csv"
    earlier.write_text("mine")
    words = (whole(), *FEW, "--out", tmp_path, "--no-figures", "--quiet")
    said = refusal(capfd, compare, *words)
    assert said == f"{earlier}: is there already; replace it with --force, or change --out"
    assert earlier.read_text() == "mine"
    run(capfd, *words, "--force")
    assert earlier.read_text().startswith("run,")
    assert refusal(capfd, compare, whole(), "--force") == "--force: is about --out; leave it out"


def test_without_matplotlib(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = refusal(capfd, compare, whole(), "--out", tmp_path / "out")
    assert message == f"figures need matplotlib: {install_command('viz')}, or give --no-figures"
    assert not (tmp_path / "out").exists()
    run(capfd, whole(), *FEW, "--out", tmp_path / "out", "--no-figures")


def test_a_run_that_was_fitted_on_other_texts_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, err = run(capfd, whole(), whole(split_seed=3), *FEW, "--quiet")
    assert "was fitted on other texts (--split-seed 3); some of the test texts may be among them" in err


def test_an_unfinished_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(whole(), tmp_path / "run")
    (copy / "model.safetensors").unlink()
    assert "model.safetensors: no such file" in refusal_with_progress(capfd, copy)


def refusal_with_progress(capfd: pytest.CaptureFixture[str], folder: Path) -> str:
    """The last line, where lines about progress stand before it."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        run_command(compare, [str(folder), "--quiet"])
    assert end.value.code == 2
    return capfd.readouterr().err


def test_runs_with_masks_for_each_target_show_the_prior_of_each(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = whole(aspect="all", guide="chain")
    out, _ = run(capfd, folder, *FEW, "--out", tmp_path / "out", "--no-figures", "--quiet")
    (record,) = json.loads((tmp_path / "out" / "comparison.json").read_text())["runs"]
    own = json.loads((folder / "metrics.json").read_text())["priors"]
    assert "Prior of each target, nats" in out
    assert list(record["priors"]) == list(own)
    for name, values in record["priors"].items():
        assert f"{name}: per kept unit" in out
        assert values["alpha"] == pytest.approx(own[name]["alpha"], rel=1e-5)
