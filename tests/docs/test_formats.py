"""docs/reference/formats.md against files that were really written: no name is missing, none is made up."""

from __future__ import annotations

import json
import re
import runpy
from collections import defaultdict
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.explain import as_dict
from pyro_rationale.cli.posterior import FIGURES
from pyro_rationale.config import Config
from pyro_rationale.data import CORPORA, load_corpus
from pyro_rationale.data.corpora._pair_table import PAIR_TABLE
from pyro_rationale.data.files.tables import _KINDS
from pyro_rationale.data.loading import TABLE
from pyro_rationale.fitted import FittedModel
from pyro_rationale.options import flag
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.training.history import EpochRecord
from tests.support.small_fit import whole

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^#+ (.*?)\n(.*?)(?=^#|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))


def quoted(text: str) -> list[str]:
    """Words between backticks."""
    return re.findall(r"`([^`]+)`", text)


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def first_column(section: str) -> set[str]:
    """The names in the first column of a section's table."""
    return {name for row in rows(section) for name in quoted(row[0])}


@pytest.fixture(scope="module")
def run() -> Path:
    """A run on planted reviews: regression, gold and opinion words known."""
    return whole()


@pytest.fixture(scope="module")
def reading(run: Path) -> dict[str, Any]:
    """A line of `explain --json`."""
    fitted = FittedModel.load(run, "cpu")
    options = ExplainOptions(samples=20)
    [one] = predict(fitted, load_corpus(fitted.config.data).test[:1], options)
    return as_dict(one, fitted.task, options)


def test_the_run_folder(run: Path) -> None:
    assert first_column("The run folder") == {path.name for path in run.iterdir() if not path.name.startswith(".")}
    facts = json.loads((run / "config.json").read_text())
    named = set(quoted(next(row[1] for row in rows("The run folder") if "config.json" in row[0])))
    assert named == {*facts, *facts["config"], *facts["target"]}
    assert set(Config().to_dict()) == set(facts["config"])


def test_the_test_table(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    enough = "9 development texts or more"
    present = {"always", "regression", "gold", "planted reviews", enough, f"{enough}, regression"}
    named = {name for key, _, where in rows("metrics.json") if where in present for name in quoted(key)}
    assert named == set(metrics["test"])
    prose = set(quoted(SECTIONS["metrics.json"]))
    assert {*metrics, *metrics["prior"], *metrics["prior_asked"]} <= prose
    assert len(metrics["test"]) > 15


def test_the_epochs(run: Path) -> None:
    flags = {"--nats"}
    assert set(quoted(SECTIONS["epochs.jsonl"])) - flags == {item.name for item in fields(EpochRecord)}
    assert set(json.loads((run / "epochs.jsonl").read_text().splitlines()[0])) == {f.name for f in fields(EpochRecord)}


def test_the_lines_of_explain(reading: dict[str, Any]) -> None:
    table = rows("Readings: explain --json")
    assert first_column("Readings: explain --json") == set(reading)
    [prediction] = [quoted(row[1]) for row in table if row[0] == "`prediction`"]
    [alternatives] = [quoted(row[1]) for row in table if row[0] == "`alternatives`"]
    others = {"label", "probabilities", "averaged", "levels", "set"}
    assert set(reading["prediction"]["appearance"]) == set(prediction) - others
    assert set(reading["alternatives"][0]) == set(alternatives)


def test_the_draws(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    pytest.importorskip("h5py")
    from pyro_rationale.prediction.inference_data import write_posterior
    from pyro_rationale.prediction.netcdf import open_groups
    from pyro_rationale.prediction.options import Size

    fitted = FittedModel.load(run, "cpu")
    write_posterior(tmp_path / "posterior.nc", fitted, load_corpus(fitted.config.data).test[:3], Size(8, 2))
    with open_groups(tmp_path / "posterior.nc") as groups:
        found = {
            (group, str(name)): tuple(str(dim) for dim in array.dims)
            for group, node in groups.children.items()
            for name, array in node.data_vars.items()
        }
        assert all("description" in v.attrs for node in groups.children.values() for v in node.data_vars.values())
    named: dict[tuple[str, str], tuple[str, ...]] = defaultdict(tuple)
    names: list[str] = []
    for group, variables, dims in rows("Draws: posterior.nc"):
        names = quoted(group) or names
        named |= {(g, v): tuple(dims.split(", ")) for g in names for v in quoted(variables)}
    assert named == found


def test_the_files_that_are_read_and_drawn() -> None:
    endings = {name for name in quoted(SECTIONS["Texts with ratings"]) if re.fullmatch(r"\.\w+", name)}
    assert endings == set(_KINDS) - {".pq"} | {".gz"}
    assert {f"{name}.png" for name in FIGURES} <= set(quoted(SECTIONS["report.html and figures"]))


def test_the_corpora_with_their_options() -> None:
    assert "<!-- table of corpora -->" in SECTIONS["Corpora"]
    table = runpy.run_path(str(ROOT / "docs" / "theme" / "corpora.py"))["table"]().splitlines()[2:]
    described = {}
    for line in table:
        name, title, options = (cell.strip() for cell in line.strip("|").split("|"))
        described[name] = (title, set(quoted(options)))
    loaders = {_shown(name): loader for name, loader in CORPORA.items()}
    loaders |= {"a path": TABLE, "a path, `--task ranking`": PAIR_TABLE}
    assert described == {name: (each.title, set(map(flag, each.options))) for name, each in loaders.items()}


def _shown(name: str) -> str:
    loader = CORPORA[name]
    behind = ":FOLDER" if loader.layout else ":CORPUS" if loader.of_corpus else ""
    return f"`{name}{behind}`"
