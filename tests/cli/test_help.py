"""Help: common flags under headings, all flags on demand; both ways of starting a command."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from pyro_rationale.__main__ import ALIASES, COMMANDS, commands, load, run
from pyro_rationale.cli.common import run_command
from pyro_rationale.options import Flag

HEADINGS = ["Data:", "Model:", "Prior and objective:", "Training:", "Run:"]


def shown(*words: str) -> str:
    result = CliRunner().invoke(commands, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_help_of_fit_lists_common_flags_by_heading() -> None:
    text = shown("fit", "--help")
    assert [line for line in text.splitlines() if line in HEADINGS] == HEADINGS
    flags = [param for param in load("fit").params if isinstance(param, Flag) and param.common]
    assert 15 <= len(flags) <= 25
    assert all(f"{flag.opts[0]} " in text for flag in flags)
    assert "--lagrange-rate" not in text


@pytest.mark.parametrize("words", [[], ["study"]])
def test_a_program_without_a_command_prints_its_help_line_by_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(commands, words)
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert lines[0].startswith("Usage: ")
    assert "Commands:" in lines


def test_defaults_of_real_texts_are_short_and_the_rest_is_said_once() -> None:
    """Twelve options repeated "by --preset and texts; --preset planted: ..." over two lines."""
    text = " ".join(shown("fit", "--help-all").split())
    assert text.count("--preset planted") == 0
    assert text.count('called "by texts"') == 1
    assert text.index('called "by texts"') < text.index("Data:")
    for line in (
        "family of q(z | x) [default: chain]",
        "what training steers to [default: 0.15]",
        "learning rate of Adam [default: 0.003]",
        "see --patience [default: by texts]",
        "in prior and guide (chain and independent) [default: yes]",
    ):
        assert line in text
    assert "(by texts)" not in text


def test_help_all_lists_every_flag() -> None:
    text = shown("fit", "--help-all")
    assert [line for line in text.splitlines() if line in HEADINGS] == HEADINGS
    assert all(param.opts[0] in text for param in load("fit").params)
    assert "more options" not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    assert "Usage:" in shown(name, "--help")
    assert COMMANDS[name][2] in " ".join(shown("--help").split())


@pytest.mark.parametrize(
    "name", ["fit", "predict", "explain", "evaluate", "against", "compare", "curve", "inspect", "stress", "serve",
             "index", "search"],
)  # fmt: skip
def test_whatever_reads_texts_can_be_held_to_few_threads(name: str) -> None:
    assert "--threads INTEGER" in shown(name, "--help-all" if "--help-all" in shown(name, "--help") else "--help")


def test_help_needs_no_torch() -> None:
    """It is imported by what a command does: three seconds that nobody waits for who mistypes a flag."""
    code = "import sys; from pyro_rationale.__main__ import COMMANDS, load; list(map(load, COMMANDS)); "
    code += "study = load('study'); [study.get_command(None, name) for name in study.list_commands(None)]; "
    code += "print([name for name in ('torch', 'pyro', 'sklearn', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_aliases_are_the_same_commands() -> None:
    assert all(load(alias) is load(name) for alias, name in ALIASES.items())


@pytest.mark.parametrize("start", [["-m", "pyro_rationale"], ["-m", "pyro_rationale.fit"]])
def test_programs_start(start: list[str]) -> None:
    words = [*start, *([] if start[-1].endswith("fit") else ["fit"]), "--rate", "2"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --rate: expected a share between 0 and 1, got 2.0\n"


def test_the_console_script_is_the_group_of_all_commands() -> None:
    from importlib.metadata import entry_points

    scripts = [point for point in entry_points(group="console_scripts") if point.name == "pyro-rationale"]
    if not scripts:
        pytest.skip("a checkout that is not installed has no console script")
    assert scripts[0].value == "pyro_rationale.__main__:main"
    assert isinstance(commands, click.Group)


def test_ctrl_c_while_a_command_is_imported_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> click.Command:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_rationale.__main__.load", interrupted)
    with pytest.raises(SystemExit) as end:
        run("explain")
    assert end.value.code == 130


@pytest.mark.parametrize("name", ["explain", "evaluate", "predict"])
def test_help_shows_what_matters_to_a_command(name: str) -> None:
    text = shown(name, "--help")
    hidden = {"explain": "--threads", "evaluate": "--documents", "predict": "--separator"}[name]
    assert hidden not in text
    assert hidden in shown(name, "--help-all")
    assert "--run PATH" in text


def test_the_help_of_an_answer_shows_what_to_type() -> None:
    text = " ".join(shown("explain", "--help").split())
    told = text.partition("--for ANSWER ")[2].partition(" --method ")[0]
    assert told.startswith("which words would speak for this rating, or label, if it were the right one? ")
    assert "--for 1 --for 5" in told
    assert told.endswith("name one: --for food=1")
