"""`python -m pyro_rationale.inspect` on a fit of half a second."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pyro_rationale.cli.common import make_folder, run_command
from pyro_rationale.cli.posterior import inspect, khat_lines
from pyro_rationale.data import load_corpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.limits import FEWEST_DRAWS
from pyro_rationale.inference.posterior.psis import psis
from pyro_rationale.optional import install_command
from pyro_rationale.prediction.netcdf import open_groups
from tests.support.report_pages import parse
from tests.support.small_fit import content, disk_of, refusal, table, whole

pytest.importorskip("h5netcdf")
pytest.importorskip("h5py")
pytest.importorskip("matplotlib")
FILES = {"posterior.nc", "rate.png", "spans.png", "predictive.png", "khat.png"}
QUICK = ("--documents", "5", "--samples", "40", "--quiet", "--device", "cpu")


def run(*words: object) -> str:
    result = CliRunner().invoke(inspect, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return str(result.output)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    place = tmp_path_factory.mktemp("made") / "deep" / "results"
    return place, run("--run", whole(), "--out", place, *QUICK)


def test_everything_is_there(made: tuple[Path, str]) -> None:
    place, said = made
    assert {path.name for path in place.iterdir()} == FILES | {"report.html"}
    for path in place.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert "5 documents, 4 x 10 draws each" in said
    assert "k-hat up to 0.7" in said
    rows = {row[1].strip(): [cell.strip() for cell in row[2:5]] for line in said.splitlines()
            if len(row := line.replace("┃", "│").split("│")) == 6}  # fmt: skip
    html = (place / "report.html").read_text(encoding="utf-8")
    kept, runs = rows["words kept"], rows["words per run"]
    assert rows[""] == ["prior", "guide", "shown masks"]
    said_there = re.search(r"Prior[^.]*: keeps ([\d.]+) % of the words in runs of ([\d.]+\d)", html)
    assert said_there is not None
    assert f"{float(said_there[1]):.1f} %" == kept[0]
    assert said_there[2] == runs[0]
    assert f"{kept[2]} of the words kept" in html
    with open_groups(place / "posterior.nc") as tree:
        groups = {f"{name}{kind}" for name in ("guide", "prior", "posterior") for kind in ("", "_predictive")}
        others = {"log_likelihood", "observed_data", "sample_stats", "constant_data"}
        assert set(tree.children) == groups | others
        assert tree["guide"].sizes["document"] == 5


def test_the_documents_are_drawn_and_the_page_says_how(made: tuple[Path, str]) -> None:
    """They are not the first of the split, and stand in its order."""
    place, said = made
    fitted = FittedModel.load(whole(), "cpu")
    split = [d.id for d in load_corpus(fitted.config.data, fitted.spec).test]
    sentence = f"5 of the {len(split)} documents of the test split, drawn at random (seed 0), in the order of the file."
    assert f"documents: {sentence}" in " ".join(said.split())
    html = (place / "report.html").read_text(encoding="utf-8")
    assert sentence in html
    listed = [document["i"] for document in parse(html).data()["documents"]]
    assert listed != split[:5]
    assert [split.index(one) for one in listed] == sorted(split.index(one) for one in listed)
    with open_groups(place / "posterior.nc") as tree:
        assert tree["guide"]["document"].values.tolist() == listed


def test_the_same_command_makes_the_same_draws(made: tuple[Path, str], tmp_path: Path) -> None:
    run("--run", whole(), "--out", tmp_path, *QUICK, "--no-report")
    assert {path.name for path in tmp_path.iterdir()} == FILES
    with open_groups(tmp_path / "posterior.nc") as new, open_groups(made[0] / "posterior.nc") as old:
        for name in ("guide/z", "posterior/z", "prior/z", "posterior_predictive/y", "log_likelihood/y"):
            assert new[name].equals(old[name])


def test_nothing_is_overwritten_without_force(made: tuple[Path, str], capfd: pytest.CaptureFixture[str]) -> None:
    before = content(made[0])
    said = refusal(capfd, inspect, "--run", whole(), "--out", made[0], *QUICK)
    assert said.endswith("posterior.nc: is there already; replace it with --force, or change --out")
    assert content(made[0]) == before
    run("--run", whole(), "--out", made[0], *QUICK, "--force", "--seed", "3", "--no-report")
    assert content(made[0])["posterior.nc"] != before["posterior.nc"]


@pytest.mark.parametrize("size", [2_000, 30_000])
def test_a_full_disk_is_one_line_with_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str], size: int) -> None:
    with disk_of(size):
        said = refusal(capfd, inspect, "--run", whole(), "--out", tmp_path, *QUICK)
    assert said == f"{tmp_path / 'posterior.nc'}: File too large"
    assert list(tmp_path.iterdir()) == []


def test_results_do_not_go_into_the_folder_of_another_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="is the folder of another run; name another folder"):
        make_folder(tmp_path, [tmp_path / "mine"])
    make_folder(tmp_path, [tmp_path])
    make_folder(tmp_path)


def test_results_go_into_the_run_by_default(tmp_path: Path) -> None:
    shutil.copytree(whole(), tmp_path / "run")
    run("--run", tmp_path / "run", *QUICK, "--no-report")
    assert {path.name for path in (tmp_path / "run" / "inspect").iterdir()} == FILES


def test_a_file_of_its_own_is_inspected_whole(tmp_path: Path) -> None:
    path = table(tmp_path / "my.csv", "text,appearance", ["a fine look,0.5", "a dull look,", "a look,0.25"])
    words = ("--data", path, "--text-column", "text", "--target-column", "appearance", "--skip-bad-rows")
    run("--run", whole(), "--out", tmp_path / "o", *words, *QUICK, "--no-report")
    with open_groups(tmp_path / "o" / "posterior.nc") as tree:
        assert tree["guide"].sizes["document"] in (2, 3)


def test_k_hat_is_put_into_words() -> None:
    good, poor = (khat_lines(np.array(khat), 100) for khat in ([0.1, 0.7, np.nan], [0.1, 0.71, np.inf, 0.2, np.nan]))
    assert len(good) == 1
    assert " passes: k-hat is up to 0.7 on every document" in good[0]
    assert " is of no use on 50 % of the documents: k-hat is above 0.7, for the target makes" in poor[0]
    assert poor[0].endswith("rationales, here, in the report and of other commands, are made without it")
    assert " on 0.4 % of the documents: " in khat_lines(np.array([0.9, *[0.1] * 249]), 100)[0]
    assert "--condition-on-target" in poor[1]
    assert khat_lines(np.array([np.nan]), 100) == []
    done = khat_lines(np.array([2.0]), 100, {"--condition-on-target", "--tau 1"})  # what the run does is not advised
    assert done[1].startswith("a guide nearer to the posterior: fit with fewer --nats; p(z | x, y) without a guide")


def test_few_draws_say_nothing_of_the_guide() -> None:
    """No tail is fitted to them, so that every k-hat is infinite, whatever the guide."""
    weights = torch.arange(21.0)[:, None]
    assert psis(weights[:20]).k.isinf().all()
    assert psis(weights).k.isfinite().all()
    assert FEWEST_DRAWS == 21
    (line,) = khat_lines(np.array([np.inf, np.inf]), 20)
    assert line.endswith("cannot be judged: k-hat needs more than 20 draws of each document (--samples)")
    assert " is of no use on " in khat_lines(np.array([np.inf]), 21)[0]


def test_of_few_draws_no_k_hat_is_shown(tmp_path: Path) -> None:
    """A chart, or a row, of 0 % would put down to the guide what is a matter of how many were drawn."""
    said = run("--run", whole(), "--out", tmp_path, *QUICK, "--samples", "20")
    assert "cannot be judged: k-hat needs more than 20 draws" in " ".join(said.split())
    assert "k-hat up to" not in said
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"khat.png"} | {"report.html"}
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="chart-predictive-0"' in html
    assert "chart-khat" not in html


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--run", "nowhere"), "nowhere: no such run folder"),
        (("--run", whole, "--samples", "3"), "--samples: expected at least 4 draws per chain (16), got 3"),
        (("--run", whole, "--chains", "0"), "--chains: expected at least 1, got 0"),
        (("--run", whole, "--documents", "0"), "Invalid value for '--documents'"),
        (("--run", whole, "--data", "no.csv"), "no.csv"),
        (("--run", whole, "--out", __file__), "is a file; name a folder"),
        (("--run", whole, "--out", f"{__file__}/below"), "cannot be written to"),
    ],
)
def test_mistakes_are_one_line(capfd: pytest.CaptureFixture[str], words: tuple[Any, ...], said: str) -> None:
    assert said in refusal(capfd, inspect, *(word() if callable(word) else word for word in words))


@pytest.mark.parametrize("missing", ["h5netcdf", "h5py", "matplotlib"])
def test_a_missing_extra_is_said_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, missing: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    said = refusal(capfd, inspect, "--run", whole(), "--out", tmp_path / "o", *QUICK)
    assert said.endswith(f"need {missing}: {install_command('viz')}")
    assert not (tmp_path / "o").exists()


def test_documents_are_those_inspected(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command(inspect, ["--help-all"])
    text = capfd.readouterr().out
    assert text.count("--documents ") == 1
    assert "documents to inspect" in text
    assert "--max-words" in text
