"""Files that commands write: an earlier result is replaced; what the command reads, and the files of a run, are not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pyro_rationale.__main__ import load
from pyro_rationale.cli.compare_objectives import compare
from pyro_rationale.cli.evaluate import evaluate
from pyro_rationale.cli.rate_curve import curve
from pyro_rationale.cli.significance_test import against
from pyro_rationale.cli.stress import stress
from tests.support.commands import ended
from tests.support.small_fit import content, refusal
from tests.support.untrained_run import untrained_classes

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_classes(tmp_path_factory.mktemp("outputs"))


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """The one line of a command, which leaves every file as it is."""

    def line(*words: object) -> str:
        before = content(tmp_path)
        said = refusal(capfd, *words)  # type: ignore[arg-type]
        assert content(tmp_path) == before
        return said

    return line


@pytest.fixture
def place(fitted: Path, tmp_path: Path) -> Path:
    """A folder with a run, `run`, and the table `more.csv`, which is of the same kind as the run's own."""
    shutil.copytree(fitted, tmp_path / "run")
    shutil.copy(fitted.parent / "reviews.csv", tmp_path / "more.csv")
    return tmp_path


def test_the_data_are_not_written_over(place: Path, refused: Refused) -> None:
    run, data = place / "run", place / "more.csv"
    (place / "link.json").symlink_to(data)
    os.link(data, place / "hard.json")
    for path in (data, place / "run" / ".." / "more.csv", place / "link.json", place / "hard.json"):
        said = refused(evaluate, "--run", run, "--data", data, "--json", path)
        assert said == f"--json {path}: is the file that --data names, and would be replaced; name another one"
    assert "is the file that --dev-data names" in refused(
        evaluate, "--run", run, "--data", "x.csv", "--dev-data", data, "--json", data
    )
    assert "is the file that --lexicon names" in refused(evaluate, "--run", run, "--lexicon", data, "--json", data)


def test_the_data_of_a_run_are_not_written_over_either(fitted: Path, refused: Refused) -> None:
    """Which are read where `--data` is not given."""
    data = fitted.parent / "reviews.csv"
    before = data.read_bytes()
    for words in ((evaluate, "--run", fitted), (curve, "--run", fitted), (against, fitted.parent, fitted)):
        said = refused(*words, "--json", data)
        assert said.startswith(f"--json {data}: is the file that the run in {fitted} was fitted on, and would be")
    assert data.read_bytes() == before


def test_word_vectors_of_a_run_are_not_written_over(place: Path, refused: Refused) -> None:
    vectors, config = place / "vectors.json", place / "run" / "config.json"
    vectors.write_text("good 1 2\n")
    for source in (str(vectors), f"glove+{vectors}"):
        values = json.loads(config.read_text())
        values["config"]["model"]["vectors"] = source
        config.write_text(json.dumps(values))
        said = refused(evaluate, "--run", place / "run", "--json", vectors)
        assert said.startswith(f"--json {vectors}: is the file that the run in {place / 'run'} was fitted on, and")


def test_no_file_in_a_folder_of_data_is_written_over(place: Path, refused: Refused) -> None:
    (place / "texts").mkdir()
    path = shutil.copy(place / "more.csv", place / "texts" / "train.csv")
    for data in (place / "texts", f"beer:{place / 'texts'}"):
        said = refused(evaluate, "--run", place / "run", "--data", data, "--json", path)
        assert said == f"--json {path}: is in the folder that --data names, and would be replaced; name another one"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocabulary.json", "manifest.json"])
def test_files_of_a_run_are_not_written_over(place: Path, refused: Refused, name: str) -> None:
    """Neither those of the run that is measured, nor those of any other."""
    run, path = place / "run", place / "run" / name
    for words in ((evaluate, "--run", run), (against, run, place), (stress, "--run", run), (curve, "--run", place)):
        said = refused(*words, "--json", path)
        assert said.startswith(f"--json {path}: is a file of the run or index in {run}, which is unreadable without it")
        assert said.endswith("name another file")


def test_a_transformer_in_a_run_is_not_written_over(place: Path, refused: Refused) -> None:
    path = place / "run" / "pretrained" / "config.json"
    path.parent.mkdir()
    path.write_text("{}")
    assert "is a file of the run or index in" in refused(evaluate, "--run", place / "run", "--json", path)


def test_every_output_of_a_command_is_looked_at(place: Path, refused: Refused) -> None:
    run, data = place / "run", place / "more.csv"
    words = (curve, "--run", run, "--data", data)
    assert refused(*words, "--csv", data).startswith(f"--csv {data}: is the file that --data names")
    figure = shutil.copy(data, place / "more.png")
    assert refused(curve, "--run", run, "--data", figure, "--figure", figure).startswith(f"--figure {figure}: is the f")
    both = place / "new.png"
    assert refused(*words, "--json", both, "--figure", both).startswith(f"--json {both}: is the file that --figure nam")
    table = shutil.copy(data, place / "comparison.csv")
    said = refused(compare, run, run, "--data", table, "--out", place, "--no-figures")
    assert said.startswith(f"--out {table}: is the file that --data names")


@pytest.mark.parametrize("name", ["calibration", "sbc", "posterior", "evidence", "rankers", "estimators"])
def test_studies(place: Path, refused: Refused, name: str) -> None:
    run, data = place / "run", place / "more.csv"
    study = partial(refused, load("study"), name, "--run", run, "--data", data)
    assert study("--json", data).startswith(f"--json {data}: is the file that --data names")
    assert study("--json", run / "config.json").startswith(f"--json {run / 'config.json'}: is a file of the run")
    if name in ("calibration", "sbc"):
        figure = run / "model.safetensors"
        assert study("--figure", figure).startswith(f"--figure {figure}: is a file of the run")


def test_the_table_of_questions(place: Path, refused: Refused) -> None:
    data = place / "more.csv"
    said = refused(load("study"), "questions", "--data", data, "--markdown", data)
    assert said.startswith(f"--markdown {data}: is the file that --data names")


def test_a_folder_is_no_file(place: Path, refused: Refused) -> None:
    said = refused(evaluate, "--run", place / "run", "--json", place)
    assert said == f"--json {place}: is a folder; name a file in it"


def test_results_are_replaced(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Those that lie in the run folder as well, beside a manifest that is some other program's, or on a device."""
    (place / "manifest.json").write_text('{"name": "an app"}')
    for path in (place / "found.json", place / "run" / "found.json"):
        path.write_text("an earlier result")
        words = ("--run", place / "run", "--data", place / "more.csv", "--samples", 0, "--quiet", "--json")
        status, _, said = ended(capfd, evaluate, *words, path)
        assert (status, json.loads(path.read_text())["split"]) == (0, "all"), said
    status, _, said = ended(capfd, evaluate, *words, "/dev/null")
    assert status == 0, said
