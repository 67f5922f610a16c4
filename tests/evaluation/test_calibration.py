"""Calibration of marginals: by hand, against simulated truth, and the command on a small run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pyro_rationale.cli.studies import calibration as command
from pyro_rationale.cli.studies.calibration import study
from pyro_rationale.data import load_corpus
from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.evaluation import calibration as c
from pyro_rationale.experiments.studies.calibration import LAYERS, marginals, measure, words_of
from pyro_rationale.fitted import FittedModel
from pyro_rationale.reporting.plots import check_figure
from tests.support.small_fit import refusal, whole


def words(probability: Any, gold: Any, document: Any = None) -> c.Forecasts:
    probability = np.array(probability, dtype=float)
    document = np.arange(len(probability)) if document is None else np.array(document)
    return c.Forecasts(probability, np.array(gold, dtype=bool), document)


def simulated(truth: Any, count: int = 40_000, documents: int = 400) -> c.Forecasts:
    """Words that are gold with a probability that is a function of their marginal."""
    random = np.random.default_rng(3)
    said = random.beta(0.3, 1.5, count)
    return words(said, random.random(count) < truth(said), np.arange(count) % documents)


# By hand.


def test_the_command_knows_the_layers_without_importing_the_study() -> None:
    assert command.LAYERS == LAYERS


def test_a_curve_by_hand() -> None:
    some = words([0.0, 0.05, 0.3, 0.4, 0.5, 1.0], [0, 1, 0, 1, 1, 1])
    curve = c.reliability(some, c.bin_edges(some.probability, 4))
    assert curve.count.tolist() == [2, 2, 1, 1]  # .5 opens the third bin, 1 belongs to the last
    assert curve.low.tolist() == [0.0, 0.25, 0.5, 0.75]
    assert curve.confidence.tolist() == pytest.approx([0.025, 0.35, 0.5, 1.0])
    assert curve.accuracy.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert curve.ece == pytest.approx((2 * 0.475 + 2 * 0.15 + 0.5) / 6)
    assert curve.mce == pytest.approx(0.5)


def test_bins_without_words_are_left_out() -> None:
    curve = c.reliability(words([0.02, 0.97], [0, 1]), np.linspace(0, 1, 11))
    assert curve.count.tolist() == [1, 1]
    assert curve.high.tolist() == pytest.approx([0.1, 1.0])


def test_bins_of_equal_mass() -> None:
    said = np.linspace(0.0, 1.0, 1000) ** 6
    edges = c.bin_edges(said, 8, "mass")
    counts = c.reliability(words(said, said > 0.5), edges).count
    assert len(counts) == 8
    assert counts.sum() == 1000
    assert counts.max() - counts.min() <= 2
    tied = c.bin_edges(np.array([0.0] * 97 + [0.2, 0.6, 0.9]), 10, "mass")
    assert tied[0] == 0.0
    assert tied[-1] == 1.0
    assert (np.diff(tied) > 0).all()


def test_the_brier_score_is_the_sum_of_its_parts() -> None:
    for truth in (lambda p: p, lambda p: p**3, lambda p: 0.5 + 0 * p):
        some = simulated(truth, 2000)
        for equal in ("width", "mass"):
            parts = c.brier(some, c.bin_edges(some.probability, 7, equal))
            total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within"]
            assert parts["brier"] == pytest.approx(total, abs=1e-12)
    points = words([0.2, 0.2, 0.2, 0.2, 0.8, 0.8], [0, 0, 0, 1, 1, 1])  # Murphy's own case: a point in each bin
    parts = c.brier(points, np.linspace(0, 1, 6))
    assert parts["within"] == pytest.approx(0.0)
    assert parts["reliability"] == pytest.approx((4 * 0.05**2 + 2 * 0.2**2) / 6)
    assert parts["resolution"] == pytest.approx((4 * 0.25**2 + 2 * 0.5**2) / 6)
    assert parts["uncertainty"] == pytest.approx(0.25)
    assert parts["skill"] == pytest.approx(1 - (3 * 0.04 + 0.64 + 2 * 0.04) / 6 / 0.25)
    assert c.brier(words([0.25] * 4, [0, 0, 0, 1]), np.linspace(0, 1, 6))["skill"] == pytest.approx(0.0)
    assert np.isnan(c.brier(words([0.25] * 4, [0] * 4), np.linspace(0, 1, 6))["skill"])


def test_ambiguous_words() -> None:
    some = words([0.01, 0.05, 0.06, 0.0], [False, False, False, True], [5, 6, 7, 8])
    chosen = some.ambiguous()
    assert chosen.probability.tolist() == [0.06, 0.0]
    assert chosen.document.tolist() == [7, 8]
    found = c.calibration_metrics(words([0.01, 0.02], [0, 0]))
    assert found["ambiguous"] is None
    assert found["all"]["share"] == 1.0


# What it is for.


def test_calibrated_words_have_no_error_and_others_have_theirs() -> None:
    assert c.calibration_metrics(simulated(lambda p: p))["all"]["ece"] < 0.01
    wrong = simulated(lambda p: p**2)
    expected = float(np.abs(wrong.probability - wrong.probability**2).mean())
    found = c.calibration_metrics(wrong)["all"]
    assert found["ece"] == pytest.approx(expected, abs=0.01)
    assert found["ece_mass"] == pytest.approx(expected, abs=0.01)


def test_easy_words_make_a_small_error_of_any_model() -> None:
    """Why all words are not the only ones to look at: half of what is kept is wrong here."""
    some = words([0.0] * 970 + [0.9] * 30, [0] * 985 + [1] * 15)
    found = c.calibration_metrics(some)
    assert found["all"]["ece"] == pytest.approx(0.012)
    assert found["ambiguous"]["ece"] == pytest.approx(0.4)
    assert found["ambiguous"]["share"] == pytest.approx(0.03)
    nothing = c.calibration_metrics(words(0 * some.probability, some.true))
    assert nothing["all"]["ece"] == nothing["all"]["gold"] == pytest.approx(0.015)


def test_the_interval_is_over_documents() -> None:
    """Copies of each word within its document say nothing new."""
    some = simulated(lambda p: p**2, 4000)
    edges = np.linspace(0, 1, 11)
    low, high = c.ece_interval(some, edges)
    assert low < c.reliability(some, edges).ece < high
    copied = c.Forecasts(np.repeat(some.probability, 5), np.repeat(some.true, 5), np.repeat(some.document, 5))
    assert c.ece_interval(copied, edges) == pytest.approx((low, high))
    apart = replace(copied, document=np.arange(len(copied)))
    tight = c.ece_interval(apart, edges, replicates=60)
    assert tight[1] - tight[0] < 0.75 * (high - low)


def test_an_interval_by_brute_force() -> None:
    """The resampled ECE of one draw is that of the documents actually put together anew."""
    some = simulated(lambda p: p**2, 600, documents=20)
    edges, n = np.linspace(0, 1, 6), 20
    found = []
    for draw in np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=200):
        index = np.concatenate([np.flatnonzero(some.document == d) for d in np.repeat(np.arange(n), draw)])
        drawn = c.Forecasts(some.probability[index], some.true[index], some.document[index])
        found.append(c.reliability(drawn, edges).ece)
    assert c.ece_interval(some, edges, replicates=200) == pytest.approx(tuple(np.quantile(found, [0.025, 0.975])))


def test_temperature_scaling_finds_the_temperature() -> None:
    for temperature in (0.5, 1.0, 3.0):
        some = simulated(lambda p, t=temperature: c.rescale(p, t), 200_000)
        found = c.fit_temperature(some)
        assert found == pytest.approx(temperature, rel=0.03)
        assert c.calibration_metrics(some.rescaled(found))["all"]["ece"] < 0.01
    sure = words([0.1, 0.9], [0, 1])
    assert c.fit_temperature(sure, most=50.0) == pytest.approx(1 / 50)
    assert np.isfinite(c.rescale(np.array([0.0, 1.0]), 2.0)).all()


def test_nonsense_is_refused() -> None:
    for probability in ([1.2, 0.0], [float("nan"), 0.0]):
        with pytest.raises(ValueError, match="from 0 to 1"):
            words(probability, [0, 1])
    with pytest.raises(ValueError, match="one shape"):
        words([0.5], [0, 1])
    with pytest.raises(ValueError, match="bins of equal"):
        c.bin_edges(np.array([0.5]), 0)
    with pytest.raises(ValueError, match="bins of equal"):
        c.bin_edges(np.array([0.5]), 3, "depth")
    with pytest.raises(ValueError, match="at least one word"):
        c.reliability(words([], []), np.linspace(0, 1, 3))


# The command.


def test_marginals_are_the_guides_and_in_order() -> None:
    fitted = FittedModel.load(whole(guide="chain"), "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    found = marginals(fitted, documents)
    assert [len(row) for row in found] == [len(document.tokens) for document in documents]
    alone = marginals(fitted, documents[3:4])[0]
    assert found[3] == pytest.approx(alone, abs=1e-6)
    some = words_of(documents, found, "opinion")
    assert len(some) == sum(map(len, found))
    assert int(some.true.sum()) == sum(sum(d.opinion or ()) for d in documents)
    assert some.probability[some.document == 3] == pytest.approx(found[3])
    bare = [replace(document, opinion=None) for document in documents]
    with pytest.raises(DataError, match=r"^--gold opinion"):
        words_of(bare, found, "opinion")


def test_each_target_with_masks_of_its_own_is_compared_with_its_gold() -> None:
    fitted = FittedModel.load(whole(guide="chain", aspect="all", masks="per-target"), "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    (found,) = measure(fitted, documents, None, ("clause",), 5)
    rows = by_aspect(documents, fitted.aspects)
    gold = words_of(rows, marginals(fitted, rows), "clause", fitted.aspects)
    assert len(gold) == fitted.aspects * sum(len(document.tokens) for document in documents)
    assert sorted(set(gold.document.tolist())) == list(range(len(documents)))
    assert found["all"]["gold"] == pytest.approx(gold.true.mean())


def test_the_command_writes_what_it_measures(tmp_path: Path) -> None:
    folders = [whole(guide="chain"), whole(guide="chain", condition_on_target=True)]
    out, picture = tmp_path / "out.json", tmp_path / "curve.png"
    arguments = ["--run", *map(str, folders), "--rescale", "--json", str(out), "--figure", str(picture), "--bins", "5"]
    result = CliRunner().invoke(study, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    runs = json.loads(out.read_text())["runs"]
    kinds = [[(r["reads"], r["gold"], r["rescaled"]) for r in run["results"]] for run in runs]
    one = [("x", gold, scaled) for gold in ("clause", "opinion") for scaled in (False, True)]
    assert kinds == [one, one + [("x, y", *rest) for _, *rest in one]]
    fitted = FittedModel.load(folders[0], "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    again = measure(fitted, documents, None, ("clause",), 5)[0]
    for part in (runs[0]["results"][0]["all"], again["all"]):
        part |= part.pop("curve")
    assert runs[0]["results"][0]["all"] == {name: pytest.approx(value) for name, value in again["all"].items()}
    assert runs[0]["results"][1]["temperature"] != 1.0
    assert set(runs[0]["quality"]) >= {"precision", "opinion_recall", "empty", "mse"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_bad_requests_are_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = whole(guide="chain")
    assert "--figure" in refusal(capfd, study, "--run", run, "--figure", tmp_path / "curve.doc")
    assert "no such folder" in refusal(capfd, study, "--run", run, "--figure", tmp_path / "a" / "b.png")
    assert "no such folder" in refusal(capfd, study, "--run", run, "--json", tmp_path / "a" / "b.json")
    assert "--rescale" in refusal(capfd, study, "--run", run, "--rescale", "--split", "dev")
    assert "no such run" in refusal(capfd, study, "--run", run, tmp_path / "nowhere")


def test_a_missing_matplotlib_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="figures need matplotlib: pip install"):
        check_figure(tmp_path / "x.png")


def test_a_curve_knows_the_error_of_perfect_probabilities() -> None:
    """By hand, for many words in each bin, and for a bin of one word."""
    low, high, sure = np.array([0.4, 0.9]), np.array([0.6, 1.0]), np.array([0.5, 0.98])
    curve = c.Curve(low, high, np.array([100, 1]), sure, sure)
    assert curve.chance_ece == pytest.approx((np.sqrt(2 * 25 / np.pi) + 2 * 0.98 * 0.02) / 101)
    words = np.random.default_rng(0).binomial(100, 0.5, 20_000)
    assert np.abs(words - 50).mean() == pytest.approx(np.sqrt(2 * 25 / np.pi), rel=0.02)
