"""`python -m pyro_rationale.stress`: every test on tiny runs, verdicts that are kept, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from pyro_rationale.cli.stress import stress
from pyro_rationale.data import load_corpus
from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.evaluation.stress import TESTS
from pyro_rationale.evaluation.stress._target import OneTarget, about
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from tests.support.small_fit import content, fit_small, refusal, table, whole

CHEAP = [name for name, test in TESTS.items() if not test.refits]
QUICK = ("--threads", "1", "--device", "cpu", "--skew-epochs", "1", "--skew-accuracy", "0.51")


def run(*words: object) -> str:
    result = CliRunner().invoke(stress, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def results(*words: object) -> dict[str, dict[str, Any]]:
    found = json.loads(run(*words, *QUICK, "--json", "-"))
    return {result["test"]: result for result in found}


def test_every_test_has_a_verdict_and_a_reference(tmp_path: Path) -> None:
    place = whole()
    before = content(place)
    path = tmp_path / "out.json"
    out = run("--run", place, "--into", tmp_path / "s", *QUICK, "--json", path, "--details")
    assert content(place) == before  # with --into the run's folder stays as it was
    found = {result["test"]: result for result in json.loads(path.read_text())}
    assert list(found) == list(TESTS)
    for name, result in found.items():
        assert result["answer"] in ("pass", "fail", "not applicable")
        assert re.search(r"(19|20)\d\d", result["reference"]), name
        assert result["bar"]
        assert result["title"] in out
        assert result["answer"] == "pass" or result["reason"]
    assert found["mask-shape"]["answer"] == "not applicable"
    assert "12 test documents are too few" in found["mask-shape"]["reason"]
    fits = sorted(path.name for path in (tmp_path / "s" / "fits").iterdir())
    assert fits == ["correlation-0.5", "correlation-0.8", "generator-0.51", "predictor-1"]
    assert [row["correlation"] for row in found["correlation"]["rows"]] == [0.0, 0.5, 0.8]
    assert {"judged", "f1", "opinion_f1"} <= found["skewed-predictor"]["rows"][1].keys()


def test_what_is_done_is_kept_until_something_differs(tmp_path: Path) -> None:
    words = ("--run", whole(), "--into", tmp_path, "--only", "positions")
    first = results(*words)["positions"]
    path = tmp_path / "positions.json"
    marked = json.loads(path.read_text())
    path.write_text(json.dumps({**marked, "figure": "kept"}))
    assert results(*words)["positions"]["figure"] == "kept"
    assert results(*words, "--seed", 1)["positions"]["figure"] == first["figure"]
    path.write_text(json.dumps({**marked, "figure": "kept"}))
    assert results(*words, "--force")["positions"]["figure"] == first["figure"]


def test_refits_are_taken_from_their_folder(tmp_path: Path) -> None:
    words = ("--run", whole(), "--into", tmp_path, "--only", "skewed-predictor", "--steps", 6)
    first = results(*words)["skewed-predictor"]
    weights = {path: path.stat().st_mtime_ns for path in (tmp_path / "fits").rglob("model.safetensors")}
    assert {path.parent.name for path in weights} == {"plain", "predictor-1"}
    (tmp_path / "skewed-predictor.json").unlink()
    again = results(*words)["skewed-predictor"]
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert {k: v for k, v in first.items() if k != "seconds"} == {k: v for k, v in again.items() if k != "seconds"}


def test_refits_with_other_options_are_not_mixed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("--run", whole(), "--into", tmp_path, "--only", "correlation", *QUICK)
    run(*words, "--steps", 6)
    assert "--steps: the run in" in refusal(capfd, stress, *words, "--steps", 3)


def test_labels_of_real_texts(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = random.choice(["good", "fine"], 120), random.choice(["bad", "sad"], 120)
    lines = [f"the {i}th of them was {words[i % 2][i]} . the end,{i % 2}" for i in range(120)]
    data = table(tmp_path / "texts.csv", "text,y", lines)
    fit_small(tmp_path / "run", data=str(data), text_column="text", target_column=("y",), task="binary")
    found = results("--run", tmp_path / "run")
    assert (tmp_path / "run" / "stress" / "positions.json").exists()
    answers = {name: result["answer"] for name, result in found.items()}
    for name in ("skewed-predictor", "skewed-generator", "correlation", "positions"):
        assert answers[name] == "not applicable", name
    assert "no annotation" in found["skewed-predictor"]["reason"]
    rows = {row["inserted"]: row for row in found["distractors"]["rows"]}
    assert list(rows) == ["neutral", "sentence of another text (not judged)"]
    assert {row["words"] for row in found["random-masks"]["rows"]} >= {"rationale", "as many, at random", "none"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--skew-accuracy", "1.2"), "--skew-accuracy: expected a number between 0.5 and 1, got 1.2"),
        (("--skew-epochs", "0"), "--skew-epochs: expected at least 1"),
        (("--most", "0"), "--most: expected at least 1 document"),
        (("--json", "nowhere/out.json"), "no such folder"),
        (("--only", "luck"), "'luck' is not one of"),
    ],
)
def test_bad_wishes_are_refused(words: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert said in refusal(capfd, stress, "--run", whole(), *words)


def test_a_run_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "no such run folder" in refusal(capfd, stress, "--run", tmp_path / "none")


def test_it_is_a_click_command() -> None:
    assert isinstance(stress, click.Command)


def test_masks_of_one_of_several_targets(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_of_four = whole(aspect="all", guide="chain")
    words = ("--run", run_of_four, "--into", tmp_path)
    quick = ("random-masks", "positions", "distractors", "trivial-patterns", "mask-shape")
    tests = [word for name in quick for word in ("--only", name)]
    found = results(*words, *tests, "--target", "aroma")
    assert set(found) == set(quick)
    assert all(result["asked"]["target"] == "aroma" for result in found.values())
    other = results(*words, *tests, "--target", "taste")  # nothing of the other target is taken for it
    assert other["positions"]["rows"] != found["positions"]["rows"]
    assert "name one of appearance, aroma, palate, taste" in refusal(capfd, stress, *words)
    said = refusal(capfd, stress, *words, "--target", "smell")
    assert said.startswith("--target: no target")
    said = refusal(capfd, stress, "--run", whole(), "--target", "appearance")
    assert said == "--target appearance: this run has one mask for all that it predicts; leave it out"


def test_one_target_has_its_own_column_and_masks() -> None:
    fitted = FittedModel.load(whole(aspect="all", guide="chain"))
    documents = load_corpus(fitted.config.data).test[:4]
    rows, everything = by_aspect(documents, 4), ModelRationalizer(fitted)
    masks = everything.masks(rows)
    for number, name in enumerate(fitted.spec.names):
        own, asked = OneTarget(fitted, number), about(documents, number)
        assert own.spec.names == (name,)
        assert [document.targets for document in asked] == [(document.targets[number],) for document in documents]
        assert own.masks(asked) == masks[number::4]
        values = everything.predict(rows[number::4], masks[number::4])[:, [number]]
        np.testing.assert_allclose(own.predict(asked, masks[number::4]), values, rtol=1e-6)
