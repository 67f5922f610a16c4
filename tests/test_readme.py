"""The README's Python runs, and its commands have the flags that they are shown with."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^python -m pyro_rationale\.\w+.*$", README, flags=re.MULTILINE)))


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict[str, object] = {}
        exec(block, names)
        masks = names["masks"]
        assert masks.shape[0] == 10  # type: ignore[attr-defined]


def test_commands_were_found() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_flags_exist(line: str) -> None:
    words = shlex.split(line, comments=True)
    module = words[2]
    command = getattr(import_module(module), module.rpartition(".")[2])
    assert isinstance(command, click.Command)
    known = {flag for item in command.params for flag in (*item.opts, *item.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known
