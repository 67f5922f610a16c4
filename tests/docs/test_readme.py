"""The README's Python runs, and its commands have the flags that they are shown with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.shown_commands import flags_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^python -m pyro_rationale\.\w+.*$", README, flags=re.MULTILINE)))


BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
RESULTS = {"masks", "explanations"}  # ten each, and one of them in every block
FEWER = ("documents=150", "documents=40")  # nothing else is replaced


@pytest.mark.filterwarnings("ignore:no epoch came down to the share of words")  # a look is no fit
@pytest.mark.parametrize("block", BLOCKS)
def test_the_python_runs(block: str) -> None:
    names: dict[str, Any] = {}
    exec(block.replace(*FEWER), names)
    made = RESULTS & set(names)
    assert made
    assert all(len(names[name]) == 10 for name in made)


def test_pages_that_are_linked_exist() -> None:
    pages = re.findall(r"\]\(([^):]+)\)", README)
    assert len(pages) > 8
    assert [page for page in pages if not _is_there(*page.partition("#")[::2])] == []


def _is_there(page: str, section: str) -> bool:
    """Whether the project has `page`, and `page` a heading that GitHub calls `section`."""
    if not section or not (ROOT / page).is_file():
        return (ROOT / page).is_file()
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return section in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_first_screen_sells() -> None:
    """The README has a description, a picture, how to install, a tutorial, commands, and results with theirs."""
    screen = README[: README.index("## Use it")]
    assert len(screen.splitlines()) <= 60
    told = ["\n\n![", "](docs/rationale.png)", "\nmake install ", "docs/tutorial.md", "\nmake fit ", "\nmake test "]
    told += ["docs/results.md"]
    places = [screen.index(piece) for piece in told]
    assert places == sorted(places)
    results = re.findall(r"^\|.*`(?:make fit|python -m .*)`.*\d.*\|$", screen, flags=re.MULTILINE)
    assert len(results) >= 3


def test_it_is_one_screen_and_a_half() -> None:
    lines = README.splitlines()
    assert len(lines) <= 100
    assert all(len(line) <= 120 or line.startswith(("|", "!")) for line in lines)


def test_the_python_was_found() -> None:
    assert sum(FEWER[0] in block for block in BLOCKS) == 1
    assert all(any(re.search(rf"^{name} = ", block, flags=re.MULTILINE) for block in BLOCKS) for name in RESULTS)


def test_commands_were_found() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_flags_exist(line: str) -> None:
    words = shlex.split(line, comments=True)
    name = words[2].rpartition(".")[2]
    known = flags_of(f"study {words[3]}" if name == "study" else name)
    assert {word for word in words if word.startswith("--")} <= known
