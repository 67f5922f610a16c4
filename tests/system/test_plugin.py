"""A package of its own that adds one thing of every kind through entry points, and is used through every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "support" / "plugin"
ROOT = Path(__file__).parents[2]

# Runs in a fresh interpreter, in which the package is installed: each line of standard input is a command.
DRIVER = """
import json, sys
from click.testing import CliRunner
from pyro_rationale.__main__ import load
import click

@click.command()
def sklearn():
    from pyro_rationale import RationaleRegressor
    model = RationaleRegressor(guide="two-layer", encoder="bag", hidden=6, embedding=6, steps=4, anneal=1, min_count=1,
                               threads=1, device="cpu", schedule="square")
    texts = [f"the soup was {word} and warm" for word in ("awful", "dull", "superb")] * 9
    model.fit(texts, [1.0, 2.0, 5.0] * 9)
    print(model.predict(texts[:3]), model.explain(texts[:1]))

for line in sys.stdin:
    name, *words = json.loads(line)
    result = CliRunner().invoke(sklearn if name == "sklearn" else load(name), words)
    problem = result.exception if result.exit_code else None
    print(json.dumps([result.exit_code, result.output, repr(problem)]), flush=True)
"""

FIT = (
    "--data soups --task laplace --guide two-layer --encoder bag --schedule square --callback step-counter "
    "--tokenizer spaces --hidden 6 --embedding 6 --batch-size 16 "
    "--steps 20 --anneal 5 --min-count 1 --threads 1 --device cpu --quiet"
).split()

BENCHMARK = """
out = "benchmark"
rates = [0.2]
methods = ["two-layer", "first-words"]
[base]
hidden = 6
embedding = 6
batch_size = 16
steps = 9
anneal = 4
threads = 1
min_count = 1
[[corpora]]
name = "soups"
data = "soups"
"""


def install(target: Path) -> None:
    """An installed package in a folder: the modules, and metadata with the entry points."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    shutil.copytree(PLUGIN / project["name"], target / project["name"])
    about = target / f"{project['name']}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")


COMMANDS: dict[str, list[str]] = {
    "fit": ["fit", *FIT, "--out", "run"],
    "other": ["fit", *FIT, "--seed", "1", "--out", "other"],
    "resume": ["fit", "--out", "run", "--resume"],
    "explain": ["explain", "--run", "run", "--json", "The soup was superb."],
    "evaluate": ["evaluate", "--run", "run", "--json", "evaluated.json"],
    "test": ["test", "run", "other", "--draws", "99"],
    "posterior": ["posterior", "--run", "run", "--samples", "8", "--chains", "2", "--documents", "5", "--quiet"],
    "compare": ["compare-objectives", "run", "other", "--out", "compared", "--quiet"],
    "rate-curve": ["rate-curve", "--run", "run", "--rates", "0.1,0.5"],
    "sklearn": ["sklearn"],
    "benchmark": ["benchmark", "benchmark.toml", "--quiet"],
    "stress": ["stress", "--run", "run", "--only", "random-masks"],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """Exit status, output and exception of every command; they are run in one process, one after the other."""
    for name in ("matplotlib", "arviz", "h5netcdf", "h5py", "sklearn"):
        pytest.importorskip(name)
    folder, target = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("installed")
    install(target)
    (folder / "benchmark.toml").write_text(BENCHMARK)
    paths = [str(target), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIVER],
        input="".join(json.dumps(words) + "\n" for words in COMMANDS.values()),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=folder, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    files = {path.name: path.read_text() for path in (folder / "run").glob("*.txt")}
    files |= {"evaluated.json": (folder / "evaluated.json").read_text()} if (folder / "evaluated.json").exists() else {}
    (target / "files.json").write_text(json.dumps(files))
    return dict(zip(COMMANDS, lines, strict=True)) | {"files": (0, json.dumps(files), "")}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_works_with_it(results: dict[str, tuple[int, str, str]], name: str) -> None:
    status, output, problem = results[name]
    assert status == 0, f"{problem}\n{output}"


def test_its_tokenizer_cuts_a_text(results: dict[str, tuple[int, str, str]]) -> None:
    record = results["explain"][1].splitlines()[-1]  # behind a line that doubts a text of unknown words
    assert json.loads(record)["tokens"] == ["the", "soup", "was", "superb."]


def test_its_metric_and_callback_have_run(results: dict[str, tuple[int, str, str]]) -> None:
    files = json.loads(results["files"][1])
    assert int(files["steps.txt"]) >= 20
    assert "first_word" in json.loads(files["evaluated.json"])["metrics"]
