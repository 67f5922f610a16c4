"""The command `fit`: what it prints, what it writes, and where."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.fit import default_name, fit, free_folder, show_metrics
from pyro_rationale.config import Config
from pyro_rationale.data import CORPORA, Corpus, DataOptions, load_corpus
from pyro_rationale.errors import FAILED, ConfigError
from pyro_rationale.evaluation.evaluate import evaluate_documents
from pyro_rationale.fitted import FittedModel
from pyro_rationale.models import NormalLikelihood
from pyro_rationale.reporting.plots.training import recorded_series
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.run_files import read_config
from pyro_rationale.training.history import EpochRecord, read_history
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.validation import score_modes, settle_noise
from tests.support.small_fit import (
    ROOT,
    Break,
    differences,
    disk_of,
    fit_small,
    flags,
    refusal,
    result,
    small,
    table,
    whole,
)
from tests.support.tiny_bert import make_tiny_bert

TEST_KEYS = {"mse", "selected", "span", "empty", "elbo", "expected_cost", "kl", "entropy"}
GOLD_KEYS = {"precision", "recall", "f1", "opinion_recall", "precision_lei"}
NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"


def call(*words: object, **options: Any) -> Result:
    words = (*flags(**options), "--baselines", "none", *words)
    done = CliRunner().invoke(fit, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def strict(text: str) -> Any:
    """JSON in the strict sense: no NaN, no Infinity."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run folder and what was printed."""
    folder = tmp_path_factory.mktemp("fit") / "a [run]"
    return folder, call("--out", folder, max_words=256).output


# What is printed.


def after_reading(output: str) -> list[str]:
    """The lines of a fit without the first, which slow machines alone print: reading took more than five seconds."""
    lines = output.splitlines()
    return lines[lines[0] == "reading the texts" :]


def test_it_says_that_ratings_may_be_classes(tmp_path: Path) -> None:
    rows = [f"a text of number {i},{1 + i % 2}" for i in range(40)]
    data = table(tmp_path / "a.csv", "text,y", rows)
    output = call("--out", tmp_path / "run", "--target-column", "y", data=str(data), steps=2, anneal=1).output
    assert "regression of y (two values only: --task binary makes them classes)" in after_reading(output)[0]


def test_it_says_what_is_fitted(run: tuple[Path, str]) -> None:
    folder, output = run
    lines = after_reading(output)
    assert lines[0] == "synthetic: 48 train, 12 dev, 12 test; regression of appearance"
    assert lines[1] == "copies: none, neither between the splits nor in training"
    assert lines[2] == "prior: keeps 13 % of the words in runs of 1.5 to begin with; its rate and span are learned"
    assert lines[3] == f"guide relaxed, estimator relaxed, seed 0, cpu; run folder {folder}"
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == 3
    constant = rf"dev error: squared error of ratings scaled to 0 to 1; always guessing the average has {NUMBER}"
    assert 0.0 < float(re.fullmatch(constant, lines[4])[1]) < 0.5  # type: ignore[index]
    shape = rf"epoch +\d/3  dev error {NUMBER}  keeps {NUMBER} % of the words \(target {NUMBER} %\)"
    assert all(re.match(shape, line) for line in epochs)


def test_with_verbose_it_says_everything(tmp_path: Path) -> None:
    lines = call("--out", tmp_path / "run", "--verbose").output.splitlines()
    epochs = [line for line in lines if re.match(r"epoch +\d+  loss", line)]
    assert len(epochs) == 3
    error = rf"squared error of ratings scaled to 0 to 1 {NUMBER}"
    shape = rf"epoch +\d+  loss +{NUMBER}  kept +{NUMBER} % \(target {NUMBER} %\)  dev: {error}  kept +{NUMBER} %"
    assert all(re.match(shape, line) for line in epochs)
    assert sum(line.startswith("prior: ") for line in lines) == 2  # asked for, and learned
    assert not any("more figures" in line for line in lines)


def test_an_epoch_of_the_warm_up_shows_no_masks(tmp_path: Path) -> None:
    """The guide's would be those that it has without having taken a step."""
    folder = tmp_path / "run"
    lines = call("--out", folder, steps=9, warmup=4, anneal=4).output.splitlines()
    epochs = [line for line in lines if re.match(r"epoch +\d/3", line)]
    assert "warm-up: the encoder alone, on whole texts" in epochs[0]
    assert "keeps" not in epochs[0]
    assert re.search(rf"keeps {NUMBER} % ", epochs[1])
    history = read_history(folder / "epochs.jsonl")
    assert [record.untrained for record in history] == [True, False, False]
    assert 0.0 < history[1].warmup < 1.0
    for quantity, name in (("rate", "training, expected"), ("elbo", "dev")):
        values = recorded_series(history, quantity)[name][1]
        assert [math.isnan(value) for value in values] == [True, False, False]


def test_it_says_which_epoch_is_kept_and_why_training_ended(run: tuple[Path, str]) -> None:
    last = next(line for line in run[1].splitlines() if re.search(r" steps are done; \d+ (s|min)$", line))
    assert re.match(r"(epoch \d+ of 3 is kept: least cost|the weights of the last epoch, 3, are kept: none)", last)


def test_it_ends_with_a_table_and_three_documents(run: tuple[Path, str]) -> None:
    folder, output = run
    after = output.partition("Test set (synthetic, relaxed), with 95 % intervals")[2]
    for name in ("mean squared error", "words kept", "precision", "recall", "F1", "documents with none kept"):
        assert name in after
    assert "noise floor of the squared error: 0.0025" in after
    rows = after.partition("figures: --verbose")[0].strip().splitlines()
    assert len(rows) <= 13  # with the line that says how many more there are
    corpus = load_corpus(small(max_words=256).data)
    words = " ".join(after.split())
    line = r"(planted test \d+): appearance [^;]+ interval [^;]+; from these words alone [^;]+; true (\S+)"
    told = re.findall(line, words)
    assert told == [(document.id, f"{document.targets[0]:.4g}") for document in corpus.test[:3]]
    assert corpus.test[2].text.split()[0] in words
    assert "[" in words.partition(told[0][0])[2]  # kept words are in brackets where there is no colour
    assert "taken together, these words say little about appearance" in words  # after so few steps
    assert output.rstrip().endswith(f"explain --run '{folder}'")


def test_it_says_what_else_predicts_the_texts_and_that_it_has_failed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    words = [*flags(steps=3), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as end:
        run_command(fit, words)
    out, err = capfd.readouterr()
    assert (end.value.code, err) == (FAILED, "")
    lines = out.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("this fit "))
    assert lines[head - 1].split() == "mean squared error mean absolute error".split()
    assert lines[head + 1].startswith("  averaged over masks ")
    told = [line.rsplit(maxsplit=2) for line in (lines[head], *lines[head + 2 : head + 5])]
    names = ["this fit", "a constant", "tf-idf on all words", "same encoder on all words (1/2 steps)"]
    assert [name.strip() for name, *_ in told] == names
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    rows = [stored["test"], *stored["baselines"].values()]
    assert [float(mse) for _, mse, _ in told] == pytest.approx([row["mse"] for row in rows], rel=1e-3)
    [failure] = stored["failures"]
    assert f"FAILED: {failure}" in lines
    assert "These were few steps: fit again with --steps 1000 or more" in failure


@pytest.mark.parametrize("members", [1, 2])
def test_callbacks_hear_what_ends_a_fit_after_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    heard: list[BaseException] = []
    monkeypatch.setattr(TrainingRun, "tell_exception", lambda run, problem: heard.append(problem))

    def stopped(*values: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_rationale.experiments.yardsticks.baseline_rows", stopped)
    words = [*flags(steps=1), "--out", str(tmp_path), "--members", str(members)]
    assert CliRunner().invoke(fit, words).exit_code == 1
    assert [type(problem) for problem in heard] == [KeyboardInterrupt] * members


def test_a_finished_run_gets_the_baselines_that_are_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    fit_small(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    levels = [("none", True), ("quick", False), ("quick", True), ("all", False), ("all", True), ("lost", False)]
    for level, told in levels:
        if level == "lost":
            (tmp_path / "reader.safetensors").unlink()
        output = call("--out", tmp_path, "--resume", "--quiet", "--baselines", level.replace("lost", "all")).output
        assert ("is finished already" in output) == told
    assert (tmp_path / "reader.safetensors").exists()
    assert list(json.loads((tmp_path / "metrics.json").read_text())["baselines"]) == ["constant", "tfidf", "full-text"]
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert differences(tmp_path, whole()) == []


def test_an_epoch_may_be_a_part_of_the_texts(tmp_path: Path) -> None:
    """48 texts in batches of 16 are three steps; resumed in the middle of such an epoch it is the same fit."""
    fit_small(tmp_path / "two", steps=8, epoch_steps=2)
    epochs = [json.loads(line) for line in (tmp_path / "two" / "epochs.jsonl").read_text().splitlines()]
    assert [epoch["step"] for epoch in epochs] == [2, 4, 6, 8]
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "broken", Break(steps=5), steps=8, epoch_steps=2)
    fit_small(tmp_path / "broken", resume=True, steps=8, epoch_steps=2)
    assert differences(tmp_path / "two", tmp_path / "broken") == []
    assert fit_small(tmp_path / "short", steps=2)[0].trainer.step == 2  # no more than was asked for
    assert fit_small(tmp_path / "whole", steps=4)[0].trainer.step == 6  # whole epochs
    with pytest.raises(ConfigError, match="--epoch-steps: expected a number above 0"):
        small(epoch_steps=0)


def test_a_fit_from_an_arrow_file_is_the_fit_from_memory(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    fit_small(tmp_path / "arrow", cache=str(tmp_path / "cache"))
    assert differences(whole(), tmp_path / "arrow") == []


def test_it_says_that_a_transformer_reads(tmp_path: Path) -> None:
    bert = make_tiny_bert(tmp_path / "bert", ("the", "good"), positions=128)
    words = ("--pretrained", bert, "--guide", "chain", "--out", tmp_path / "run")
    said = call(*words, documents=16, steps=2, anneal=1).output
    assert re.search(rf"^reading [\d,]+ words with {re.escape(str(bert))}, once$", said, re.MULTILINE)


def test_quiet_prints_the_result_alone(tmp_path: Path) -> None:
    output = call("--out", tmp_path / "run", "--quiet", steps=3).output
    assert output.lstrip().startswith("Test set (synthetic, relaxed)")
    assert "epoch" not in output
    assert "planted test 2: " in output


@pytest.mark.parametrize(
    "asked", [{"rate": 0.2, "span": 3.0}, {"lambda1": 3e-4, "lambda2": 2e-4}], ids=["rate and span", "lambdas"]
)
def test_the_prior_is_recorded_in_both_languages(tmp_path: Path, asked: dict[str, float]) -> None:
    """A prior recorded in one parametrisation and given back in the other is the same prior."""
    output = call("--out", tmp_path / "run", steps=1, nats=200, **asked).output
    told = strict((tmp_path / "run" / "metrics.json").read_text())["prior_asked"]
    start = f"prior: keeps {100 * told['rate']:.3g} % of the words in runs of {told['span']:.3g}"
    learned = " to begin with; its rate and span are learned" if "rate" in asked else ""
    assert start + learned in output.splitlines()
    for name, value in asked.items():
        assert told[name] == pytest.approx(value, rel=1e-6)
    other = {name: told[name] for name in ("rate", "span", "lambda1", "lambda2") if name not in asked}
    call("--out", tmp_path / "back", steps=1, nats=200, **other)
    assert strict((tmp_path / "back" / "metrics.json").read_text())["prior_asked"] == pytest.approx(told)


def test_classes_are_fitted_and_named(tmp_path: Path) -> None:
    rows = [f"{('what a bad room', 'what a good room')[i % 2]} number {i},{('poor', 'fine')[i % 2]}" for i in range(40)]
    path = table(tmp_path / "rooms.csv", "text,tone", rows)
    output = call("--out", tmp_path / "run", "--data", path, "--target-column", "tone").output
    assert "binary of tone" in output
    assert "accuracy" in output
    assert "noise floor" not in output
    assert re.search(r"tone: (poor|fine) [\d.]+ %.*; true (poor|fine)", " ".join(output.split()))


def test_word_vectors_say_their_coverage(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("the 0.1 0.2 0.3\nthis 0.3 0.2 0.1\nqwertz 1 1 1\n")
    output = call("--out", tmp_path / "run", "--vectors", tmp_path / "v.txt", "--freeze-vectors", steps=1).output
    fitted = FittedModel.load(tmp_path / "run", "cpu")
    assert "qwertz" in fitted.vocabulary  # which no text has
    share = 3 / (len(fitted.vocabulary) - 2)
    assert f"word vectors: {100 * share:.1f} % of" in output
    row = fitted.guide.generator.embedding.weight[fitted.vocabulary.encode(["the"])[0]]
    assert row.tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("pretrained", [None, "minilm"])
def test_a_better_baseline_is_told_with_what_may_help(tmp_path: Path, pretrained: str | None) -> None:
    """A transformer that the fit stands on already is no advice."""
    run, metrics = fit_small(tmp_path / "run")
    error = 0.1 * metrics.test["averaged_mse"]
    better = replace(metrics, failures=(), baselines={"tfidf": {"mse": error}, "constant": {"mse": 1e6}})
    told = io.StringIO()
    config = run.fitted.config
    config = replace(config, model=replace(config.model, pretrained=pretrained))
    show_metrics(Terminal(file=told, width=400), better, config)
    assert "tf-idf on all words: predicts better (squared error " in told.getvalue()
    assert ("--pretrained minilm" in told.getvalue()) == (pretrained is None)


def test_what_may_help_heeds_what_was_chosen_by_the_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit without flags once advised a transformer that it had chosen itself."""
    seen: list[Config] = []
    shown = "pyro_rationale.cli.fit.show_metrics"
    monkeypatch.setattr(shown, lambda console, metrics, config, verbose: seen.append(config))
    lines = [f"what a {word} room {i},{i % 5}" for i, word in enumerate(["lovely", "dull"] * 20)]
    (tmp_path / "rooms.csv").write_text("text,stars\n" + "\n".join(lines))
    words = ["--data", tmp_path / "rooms.csv", "--target-column", "stars", "--steps", 1, "--threads", 1]
    words += ["--out", tmp_path / "run", "--baselines", "none"]
    CliRunner().invoke(fit, list(map(str, words)), catch_exceptions=False)
    assert seen == [read_config(tmp_path / "run")[0]]
    assert seen[0].model.guide == "chain"


def test_a_path_that_looks_like_markup(tmp_path: Path) -> None:
    folder = tmp_path / "[bold]"
    folder.mkdir()
    rows = [f"what a room {i},{i % 5}" for i in range(30)]
    path = table(folder / "[red].csv", "text,y", rows)
    output = call("--out", folder / "run", "--data", path, "--target-column", "y", steps=1).output
    assert "[red].csv" in output.partition("Test set")[0]
    assert "[bold]/run" in output


# What is written.


def test_the_run_folder(run: tuple[Path, str]) -> None:
    folder, _ = run
    names = {"config.json", "vocabulary.json", "epochs.jsonl", "checkpoint.safetensors", "model.safetensors"}
    names |= {"training_texts.safetensors", "calibration.json", "manifest.json", "metrics.json", "README.md"}
    assert {path.name for path in folder.iterdir()} == names


def test_the_metrics(run: tuple[Path, str]) -> None:
    metrics = strict((run[0] / "metrics.json").read_text())
    assert {"data", "guide", "estimator", "seed", "test", "seconds"} <= metrics.keys()
    assert [metrics[name] for name in ("data", "guide", "estimator", "seed")] == ["synthetic", "relaxed", "relaxed", 0]
    assert metrics["test"].keys() >= TEST_KEYS | GOLD_KEYS
    assert all(isinstance(value, (int, float)) and math.isfinite(value) for value in metrics["test"].values())
    assert metrics["test"]["documents"] == 12
    assert metrics["noise_floor"] == pytest.approx(0.0025)
    assert 0 < metrics["seconds"] < 600
    assert {"rate", "span", "alpha", "gamma", "lambda1", "lambda2", "share", "run"} == metrics["prior"].keys()


def test_rationale_keys_only_where_gold_exists(tmp_path: Path) -> None:
    rows = [f"what a room {i},{'xyz'[i % 3]}" for i in range(30)]
    path = table(tmp_path / "a.csv", "text,y", rows)
    fit_small(tmp_path / "run", data=str(path), target_column=("y",), steps=1)
    test = result(tmp_path / "run")["test"]
    assert "accuracy" in test
    assert TEST_KEYS - {"mse"} <= test.keys()
    assert not test.keys() & {*GOLD_KEYS, "mse"}


def test_the_history(run: tuple[Path, str]) -> None:
    records = [strict(line) for line in (run[0] / "epochs.jsonl").read_text().splitlines()]
    assert len(records) == result(run[0])["epochs"] == 3
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert [record["step"] for record in records] == [3, 6, 9]
    assert all(list(record) == [item.name for item in fields(EpochRecord)] for record in records)


def test_a_history_without_a_target_is_json_too(tmp_path: Path) -> None:
    fit_small(tmp_path, lambda1=1e-3, lambda2=1e-3, steps=1)
    assert strict((tmp_path / "epochs.jsonl").read_text())["target"] is None


def test_the_configuration_comes_back(run: tuple[Path, str]) -> None:
    config, spec = read_config(run[0])
    assert config == small(max_words=256)
    assert spec == load_corpus(config.data).spec
    facts = strict((run[0] / "config.json").read_text())
    assert facts["version"]
    assert Config.from_dict(facts["config"]) == config


def test_the_folder_reproduces_its_own_table(run: tuple[Path, str]) -> None:
    """The weights written are those that were measured."""
    fitted = FittedModel.load(run[0], "cpu")
    test = result(run[0])["test"]
    again = evaluate_documents(fitted, load_corpus(fitted.config.data).test)
    assert {name: test[name] for name in again} == pytest.approx(again)


def test_the_best_epoch_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_rationale.training.model_selection.collapse", lambda *figures: "")
    made, metrics = fit_small(tmp_path, rate=0.95, span=30.0, anneal=1, steps=12, learning_rate=0.05)
    best = min((r for r in made.history if r.dev_rate <= 1.1 * 0.95 and r.step > 1), key=lambda r: r.dev_cost)
    assert metrics.best_epoch == best.epoch
    fitted = FittedModel.load(tmp_path, "cpu")
    assert score_modes(fitted, made.dev).error == pytest.approx(best.dev_error)


def test_sigma_is_what_is_left_on_dev_and_the_gain_stays(tmp_path: Path) -> None:
    made, _ = fit_small(tmp_path, steps=3)
    gain = made.fitted.model.gain
    settle_noise(made.fitted, made.dev)
    error = score_modes(made.fitted, made.dev).error
    assert isinstance(made.fitted.model.likelihood, NormalLikelihood)
    assert float(made.fitted.model.likelihood.sigma) ** 2 == pytest.approx(error, rel=1e-5)
    assert made.fitted.model.gain == pytest.approx(gain, rel=1e-6)
    assert made.trainer.scale / gain == pytest.approx(made.fitted.config.model.nats / gain, rel=1e-6)


# Where.


def test_folders_are_numbered_and_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        call("--quiet", steps=1, guide="chain", seed=7)
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"synthetic-chain-7", "synthetic-chain-7-2"}
    assert free_folder(Path("runs/synthetic-chain-7")) == Path("runs/synthetic-chain-7-3")
    assert free_folder(Path("runs/other")) == Path("runs/other")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        *((name, f"{name}-relaxed-0") for name in CORPORA),
        ("beer:/data/beer/", "beer-relaxed-0"),
        ("/data/my reviews.csv.gz", "my reviews-relaxed-0"),
        ("~/lounge.csv", "lounge-relaxed-0"),
        (".", "data-relaxed-0"),
    ],
)
def test_a_default_name(data: str, name: str) -> None:
    assert default_name(small(data=data)) == name


def test_force_starts_anew(tmp_path: Path) -> None:
    call("--out", tmp_path / "run", "--quiet", seed=3)
    call("--out", tmp_path / "run", "--quiet", "--force", steps=1, seed=4)
    metrics = result(tmp_path / "run")
    assert (metrics["seed"], metrics["epochs"]) == (4, 1)
    assert len((tmp_path / "run" / "epochs.jsonl").read_text().splitlines()) == 1


def test_as_a_program_from_another_folder(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "pyro_rationale.fit", *flags(steps=3), "--baselines", "none"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert (done.returncode, done.stderr) == (FAILED, "")
    assert "Test set (synthetic, relaxed)" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("explain --run runs/synthetic-relaxed-0")
    assert result(tmp_path / "runs" / "synthetic-relaxed-0")["epochs"] == 1


# Small things.


def test_fewer_documents_than_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(options: DataOptions, **rest: Any) -> Corpus:
        corpus = load_corpus(options)
        return replace(corpus, test=corpus.test[:2])

    monkeypatch.setattr("pyro_rationale.training.prepare.load_corpus", short)
    output = call("--out", tmp_path / "run", "--quiet", steps=1).output
    assert output.count("planted test ") == 2


def test_no_noise_at_all(tmp_path: Path) -> None:
    output = call("--out", tmp_path / "run", "--quiet", steps=1, noise=0.0, max_words=256).output
    assert "noise floor" not in output


def test_a_full_disk_is_one_line_with_the_file_and_the_fit_goes_on_later(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with disk_of(10_000):  # configuration and vocabulary, but no checkpoint
        said = refusal(capfd, fit, *flags(), "--out", folder, "--quiet")
    assert said == f"{folder / 'checkpoint.safetensors'}: File too large"
    fit_small(folder, resume=True)
    assert differences(folder, whole()) == []
