"""Every command that the README and the pages show in a block is run, at the size of `shown_commands.SMALLER`."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from pyro_rationale.cli.common import run_command
from pyro_rationale.errors import FAILED
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.reader import full_text_reader
from tests.support.shown_commands import (
    APART,
    ROOT,
    SMALLER,
    Shown,
    click_command,
    shown_commands,
    shown_targets,
    write_inputs,
)
from tests.support.small_fit import small, whole
from tests.support.untrained_pairs import untrained_run

COMMANDS = [shown for shown in shown_commands() if not shown.apart]
WRITING = ("--json", "--csv", "--figure", "--markdown", "--out", "--into")


def command_of(shown: Shown) -> click.Command:
    if not shown.name.endswith(".py"):
        return click_command(shown.name)
    found = runpy.run_path(str(ROOT / shown.name))["main"]
    assert isinstance(found, click.Command)
    return found


def small_run(shown: Shown) -> Path:
    """A run of the kind that the command reads: sampling the posterior wants a guide that knows the rating."""
    if shown.name in ("study posterior", "study sbc"):
        return whole(guide="chain", kappa=1e-3, max_words=8, condition_on_target=True)
    return untrained_run(questions=True) if "runs/questions" in shown.words else whole(guide="chain")


def made_index(run: str, folder: str) -> None:
    """Index the texts of a run."""
    with pytest.raises(SystemExit) as end:
        run_command(click_command("index"), ["--run", run, "--out", folder, "--quiet"])
    assert not end.value.code


def add_reader(run: Path) -> None:
    """Train the full-text reader of a copied run, as `fit` does."""
    full_text_reader(fit_run(small(guide="chain"), run, resume=True))


def test_commands_were_found() -> None:
    assert len(COMMANDS) >= 35
    pages = {"README.md", "docs/tutorial.md", "docs/reference/commands.md", "docs/research/inference.md"}
    assert {shown.page for shown in COMMANDS} >= pages
    assert {shown.name for shown in COMMANDS} == set(SMALLER)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that readers have, to be copied."""
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.mark.filterwarnings("ignore:no epoch came down to the share of words")  # a look is no fit
@pytest.mark.parametrize("shown", COMMANDS, ids=lambda shown: f"{shown.page}: {' '.join(shown.words)[:70]}")
def test_a_command_of_a_block_runs(
    shown: Shown, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    words = shown.arguments()
    files = [words[words.index(flag) + 1] for flag in WRITING if flag in words and shown.name != "explain"]
    made = set() if "--resume" in words else set(files)
    for run in {word for word in words if re.fullmatch(r"runs/[\w-]+", word)} - made:
        shutil.copytree(small_run(shown), tmp_path / run)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))  # as Python does for a script there
    if "--method" in words:
        add_reader(tmp_path / words[words.index("--run") + 1])
    if shown.name == "search":
        made_index(words[words.index("--run") + 1], words[words.index("--index") + 1])
    before = [[word for word in words if word != "--tables"]] if "--tables" in words else []  # tables want cells
    for typed in (*before, words):
        with pytest.raises(SystemExit) as end:
            run_command(command_of(shown), typed)
        out, err = capfd.readouterr()
        assert end.value.code == 0 or (shown.name == "fit" and end.value.code == FAILED), err  # after nine steps
    assert out or shown.name.endswith(".py")
    assert all(Path(file).exists() for file in files)


def test_what_is_not_run_here_is_run_there() -> None:
    apart = [shown for shown in shown_commands() if shown.apart]
    assert apart
    for word, name in APART.items():
        assert any(word in shown.words for shown in apart)
        assert Path(word).name in (ROOT / "tests" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("shown", shown_targets(), ids=lambda shown: " ".join(shown.words))
def test_make_knows_what_it_is_asked(shown: Shown) -> None:
    """A dry run: the tests cannot run the tests, and `ways_of_running.sh` installs and fits from a clean start."""
    done = subprocess.run(["make", "-n", *shown.words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
