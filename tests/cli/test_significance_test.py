"""`evaluate` with a judge and intervals, and `against`: two small runs on the same documents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyro_rationale.cli.common import CONTEXT
from pyro_rationale.cli.evaluate import evaluate
from pyro_rationale.cli.significance_test import against, differences_table
from pyro_rationale.data import load_corpus
from pyro_rationale.evaluation import evaluate as evaluation
from pyro_rationale.evaluation.metrics import every_metric, faithfulness_metrics
from pyro_rationale.evaluation.significance import intervals, paired_test
from pyro_rationale.experiments.baselines import ModelRationalizer
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.reporting.console import label_of
from tests.support.small_fit import refusal, result, whole

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")

TESTED = {metric.name for metric in every_metric() if metric.tested}


# A command keeps the help flags that it was first run with, and other tests ask it for -h.
AS_RUN: dict[str, Any] = {"catch_exceptions": False, **CONTEXT}


@pytest.fixture(scope="module")
def runs() -> tuple[Path, Path, Path]:
    """Three runs on the same texts that differ in their seeds."""
    return whole(), whole(seed=1), whole(seed=2)


def figures(command: Any, *words: object) -> dict[str, Any]:
    """Output of a command with `--json -`, parsed."""
    done = CliRunner().invoke(command, [*map(str, words), "--json", "-", "--device", "cpu"], **AS_RUN)
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def table(command: Any, *words: object) -> str:
    done = CliRunner().invoke(command, [*map(str, words), "--device", "cpu"], **AS_RUN)
    assert done.exit_code == 0, done.output
    return str(done.stdout)


@pytest.mark.parametrize("rule", ["agreeing", "mode", "threshold", "sample"])
def test_measuring_a_run_gives_its_test_table(runs: tuple[Path, Path, Path], rule: str) -> None:
    fitted = FittedModel.load(runs[0], "cpu")
    documents = load_corpus(fitted.config.data).test
    found = evaluation.evaluate(ModelRationalizer(fitted, DecodeOptions(rule, 0.3, 5)), documents).metrics
    known = evaluation.evaluate_documents(fitted, documents, rule, 0.3, seed=5)
    assert known == found
    assert {"iou_f1", "token_f1", "auprc", "average_precision"} <= found.keys()


def test_evaluate_prints_what_json_holds(runs: tuple[Path, Path, Path]) -> None:
    found = figures(evaluate, "--run", runs[0])
    assert "bootstrap" not in found
    assert "judge" not in found
    printed = table(evaluate, "--run", runs[0], "--verbose")
    for name in ("iou_f1", "token_f1", "auprc"):
        assert f"{label_of(name)} " in printed
        assert 0.0 <= found["metrics"][name] <= 1.0
    assert "iou_f1_micro" in found["metrics"]
    assert "iou_f1_micro" not in printed
    assert len(printed.splitlines()) < 45
    short = table(evaluate, "--run", runs[0]).splitlines()
    head = next(i for i, line in enumerate(short) if "more figures: --verbose" in line)
    first = next(i for i, line in enumerate(short) if line.startswith("documents "))  # the name of a run may be long
    assert head - first <= 12
    assert re.fullmatch(r"words kept +\d+ %", next(line for line in short if line.startswith("words kept")).strip())


def test_evaluate_says_how_honest_the_uncertainty_is(runs: tuple[Path, Path, Path]) -> None:
    """Figures are those of the fit, beside its baselines; not of another file, or without draws."""
    found, stored = figures(evaluate, "--run", runs[0], "--threads", 1), result(runs[0])
    for name in ("crps", "log_score", "covered_90", "width_90", "averaged_mse"):
        assert found["metrics"][name] == pytest.approx(stored["test"][name], rel=1e-4)
    assert found["curves"].keys() == stored["curves"].keys() == {"pit"}
    assert found["baselines"] == stored["baselines"]
    printed = table(evaluate, "--run", runs[0])
    assert "this fit" in printed
    assert "truth in the 90 % interval" in printed
    without = figures(evaluate, "--run", runs[0], "--samples", 0, "--split", "dev")
    assert not {"crps", "covered_90", "averaged_mse"} & without["metrics"].keys()
    assert "baselines" not in without


def test_evaluate_asks_the_judge(runs: tuple[Path, Path, Path]) -> None:
    found = figures(evaluate, "--run", runs[0], "--judge", runs[1], "--bootstrap", 50)
    one, judge = (ModelRationalizer(FittedModel.load(folder, "cpu")) for folder in runs[:2])
    documents = load_corpus(one.fitted.config.data).test
    expected = faithfulness_metrics(judge, documents, one.masks(documents), one.marginals(documents))
    assert expected.items() <= found["metrics"].items()
    whole_texts = [(True,) * len(document.tokens) for document in documents]
    mse = ((judge.predict(documents, whole_texts) - [d.targets for d in documents]) ** 2).mean()
    assert found["metrics"]["judge_mse"] == pytest.approx(mse)
    assert found["judge"] == str(runs[1])
    ends = found["bootstrap"]["intervals"]
    assert (found["bootstrap"]["draws"], found["bootstrap"]["level"]) == (50, 0.95)
    assert ends["f1"] == list(intervals(evaluation.evaluate(one, documents).statistics, 50)["f1"])
    assert ends.keys() == found["metrics"].keys() - {
        *("documents", "noise_floor", "elbo", "expected_cost", "kl", "entropy", "spearman_sd"),
    }


def test_intervals_stand_beside_their_figures(runs: tuple[Path, Path, Path]) -> None:
    printed = table(evaluate, "--run", runs[0], "--bootstrap", 20, "--verbose")
    assert "95 % intervals" in printed
    [line] = [line for line in printed.splitlines() if line.startswith("words kept")]
    assert re.fullmatch(r"words kept +\S+ %  [\d.]+ to [\d.]+ % *", line)
    assert " to " not in next(line for line in printed.splitlines() if line.startswith("ELBO"))


def test_against_is_what_the_tests_say(runs: tuple[Path, Path, Path]) -> None:
    found = figures(against, runs[0], runs[1], "--draws", 99, "--judge", runs[2])
    measured = []
    for folder in runs[:2]:
        fitted = FittedModel.load(folder, "cpu")
        measured.append(evaluation.evaluate(ModelRationalizer(fitted), load_corpus(fitted.config.data).test))
    row = found["metrics"]["f1"]
    one, other = (item.statistics["f1"] for item in measured)
    assert (row["one"], row["other"]) == (one.value, other.value)
    assert row["difference"] == one.value - other.value
    assert (row["p"], row["exact"]) == paired_test(one, other, 99)
    assert row["low"] <= row["difference"] <= row["high"]
    assert all(row["p"] <= row["p_holm"] <= 1.0 for row in found["metrics"].values())
    assert {"mse", "f1", "auprc", "comprehensiveness", "judge_kept_mse"} <= found["metrics"].keys() <= TESTED
    assert found["documents"] == measured[0].documents


def test_the_table_of_two_runs(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    printed = table(against, runs[0], runs[1], "--draws", 50, "--json", str(tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    assert "F1, mean of documents" in printed
    assert f"{100 * found['metrics']['f1']['difference']:+.1f} (" in printed
    assert printed.startswith(f"{found['documents']} documents of synthetic (test split), masks by agreeing")


def test_every_metric_is_in_the_documentation(runs: tuple[Path, Path, Path]) -> None:
    found = figures(evaluate, "--run", runs[0], "--judge", runs[1], "--lexicon", "README.md")
    described = set(re.findall(r"`([^`\n]+)`", PAGE))
    names = {re.sub(r"_at_\d+$", "_at_N", name) for name in found["metrics"]}
    assert not names - described
    assert described >= TESTED


def test_a_run_does_not_judge_itself(runs: tuple[Path, Path, Path], capfd: pytest.CaptureFixture[str]) -> None:
    said = refusal(capfd, evaluate, "--run", runs[0], "--judge", runs[0])
    assert said.startswith(f"--judge {runs[0]}: is the run that is judged")
    said = refusal(capfd, against, runs[0], runs[1], "--judge", runs[1])
    assert said.startswith(f"--judge {runs[1]}: is the run that is judged")
    assert "name two runs" in refusal(capfd, against, runs[0], runs[0])


def test_runs_and_judges_must_predict_the_same(
    runs: tuple[Path, Path, Path], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = whole(aspect="all")
    assert "predicts" in refusal(capfd, against, runs[0], other)
    assert refusal(capfd, evaluate, "--run", runs[0], "--judge", other).startswith(f"--judge {other}: predicts")
    assert "no such run folder" in refusal(capfd, evaluate, "--run", runs[0], "--judge", tmp_path / "none")
    assert "no such folder" in refusal(capfd, against, runs[0], runs[1], "--json", tmp_path / "none" / "a.json")


def test_texts_that_the_other_run_may_have_seen_are_told(runs: tuple[Path, Path, Path]) -> None:
    other = whole(documents=56)
    done = CliRunner().invoke(against, [str(runs[0]), str(other), "--draws", "9", "--device", "cpu"], **CONTEXT)
    assert done.exit_code == 0
    assert "was fitted on other texts" in done.stderr


def test_every_metric_that_is_tested_has_a_label() -> None:
    """`maps_f1_majority` had none, and `against` ended in a KeyError on documents with several annotators."""
    row = {"one": 0.5, "other": 0.4, "difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.5, "p_holm": 0.5}
    result = {"documents": 3, "data": "d", "split": "test", "decode": "mode", "metrics": dict.fromkeys(TESTED, row)}
    differences_table(result, ["one", "other"])
    assert all(label_of(name) != name or name in ("accuracy", "precision", "recall", "sufficiency", "comprehensiveness")
               for name in TESTED)
