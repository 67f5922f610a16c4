"""Commands run in this process, as a shell would run them."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from pyro_rationale.__main__ import load
from pyro_rationale.cli.common import run_command


def ended(capfd: pytest.CaptureFixture[str], command: Any, *words: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        run_command(command, [str(word) for word in words])
    out, err = capfd.readouterr()
    return int(end.value.code or 0), out, err


def called(name: str, *words: object) -> str:
    """The output of a command that succeeds, by the command's name."""
    result = CliRunner().invoke(load(name), list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output
