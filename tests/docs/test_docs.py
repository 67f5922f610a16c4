"""The pages of the documentation: their Python runs, their commands have the flags that they are shown with."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.__main__ import COMMANDS as COMMAND_NAMES
from pyro_rationale.data import CORPORA
from pyro_rationale.data.tokenizers import TOKENIZERS
from pyro_rationale.evaluation.metrics import METRICS
from pyro_rationale.evaluation.verdict import Course, failures
from pyro_rationale.guides import GUIDES
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.nn.encoders import ENCODERS
from pyro_rationale.registry import Registry
from pyro_rationale.tasks import TASKS, task_of
from pyro_rationale.training.callbacks import CALLBACKS
from pyro_rationale.training.schedules import SCHEDULES
from tests.support.shown_commands import flags_of
from tests.support.tiny import SPECS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
WHOLE = {name: re.sub(r"\\\n\s*", "", text) for name, text in PAGES.items()}  # commands on one line each
COMMAND = re.compile(r"python -m (pyro_rationale\.\w+)((?: [^`|\n]*)?)")
COMMANDS = sorted({(name, *found) for name, text in WHOLE.items() for found in COMMAND.findall(text)})


@pytest.fixture
def registries() -> Iterator[None]:
    """Whatever a page registers is forgotten after it."""
    every: list[Registry[Any]] = [
        GUIDES, CORPORA, TOKENIZERS, TASKS, METRICS, ESTIMATORS, ENCODERS, SCHEDULES, CALLBACKS
    ]
    known = [(registry, set(registry)) for registry in every]
    yield
    for registry, names in known:
        for name in set(registry) - names:
            del registry[name]


def test_the_page_of_commands_says_what_they_say() -> None:
    sections = "".join(runpy.run_path(str(DOCS / "theme" / "commands.py"))["sections"]())
    told = dict(re.findall(r"^## ([^\n]*)\n\n```text\n(.*?)^```", sections, flags=re.MULTILINE | re.DOTALL))
    assert {name.split()[0] for name in told} == set(COMMAND_NAMES)
    for name, text in told.items():
        assert {flag for flag in flags_of(name) if flag.startswith("--")} <= set(re.findall(r"--[\w-]+", text)), name


def test_pages_outside_research_are_short() -> None:
    """A person reads them; what was measured on the way is under research/. Code is not counted."""
    prose = {name: re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL) for name, text in PAGES.items()}
    words = {name: len(re.findall(r"\w[^\s|]*", text)) for name, text in prose.items() if "research/" not in name}
    assert sum(words.values()) < 15_000, sorted(words.items(), key=lambda pair: -pair[1])
    assert all(count <= 400 for name, count in words.items() if name.startswith("how-to/")), words


def test_the_page_on_arviz_names_the_tasks_that_have_a_log_likelihood_under_any_kappa() -> None:
    row = next(line for line in PAGES["how-to/arviz.md"].splitlines() if line.startswith("| `log_likelihood`"))
    having = {name for name, spec in SPECS.items() if task_of(spec).make_likelihood().has_powers}
    assert {name for name in SPECS if name in row} == having
    assert "`--kappa 1`" in row


@pytest.mark.parametrize(
    "sought", ["install", "BERT", "German", "class imbalance", "how long", "choose rate"]
)
def test_a_heading_answers_what_people_search_for(sought: str) -> None:
    """The site's search puts headings first."""
    headings = [line.lower() for text in PAGES.values() for line in text.splitlines() if line.startswith("#")]
    assert any(all(word in line for word in sought.lower().split()) for line in headings)


def test_every_page_is_in_the_menu() -> None:
    """How-to pages and notebooks are added by the build."""
    menu = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    assert [name for name in PAGES if not name.startswith("how-to/") and name not in menu] == []


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```python" in text])
@pytest.mark.usefixtures("registries")
def test_the_python_of_a_page_runs_from_top_to_bottom(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGES[page], flags=re.DOTALL):
        exec(compile(block, page, "exec"), names)


def test_examples_of_extensions_are_short() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGES["reference/extending.md"], flags=re.DOTALL)
    assert len(blocks) == 11
    assert max(len(block.splitlines()) for block in blocks) < 40


def test_each_reason_of_a_failed_fit_has_its_row_with_the_flags_that_help() -> None:
    section = PAGES["how-to/own-csv.md"].partition("| FAILED")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", section, flags=re.MULTILINE))
    worse, told = "mean squared error 3 against 2", []
    for rise in ("", "1 in epoch 2 to 2 in epoch 4"):
        course = Course(steps=900, usual=500, preset="fast", rise=rise)
        told += [*failures(0, 0.15, 0.5, worse, course), *failures(3, 0.15, 0.01, "", course)]
    assert len(told) == 6
    for failure in told:
        [cause] = [cause for cause in rows if cause in failure]
        assert set(re.findall(r"--[\w-]+", failure)) - {"--resume"} <= set(re.findall(r"--[\w-]+", rows[cause]))


@pytest.mark.parametrize(("page", "module", "rest"), COMMANDS)
def test_flags_exist(page: str, module: str, rest: str) -> None:
    words, name = shlex.split(rest, comments=True), module.rpartition(".")[2]
    known = flags_of(f"study {words[0]}" if name == "study" and words else name)
    assert {word for word in words if word.startswith("--")} <= known | {"--help", "--help-all"}
