"""The bridge from dataclasses to flags, and how a command line ends."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import click
import pytest
import torch
from click.testing import CliRunner

from pyro_rationale.cli.common import run_command
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, DataError, RationaleError
from pyro_rationale.options import given, option, options_from, with_given

HERE = Path("here")


@dataclass(frozen=True)
class Sample:
    rate: float = option(0.13, "share of words")
    steps: int | None = option(None, "how many")
    pair: tuple[float, float] | None = option(None, "two numbers")
    names: tuple[str, ...] = option((), "some names")
    colour: str = option("red", "a colour", choices=("red", "blue"))
    mode: Literal["a", "b"] = option("a", "a mode")
    out_folder: Path = option(HERE, "a folder")  # noqa: RUF009
    quick: bool = option(False, "be quick")
    warm: bool = option(True, "be warm")
    hidden: int = field(default=7)

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ConfigError(f"--rate: expected a share of words,\n got {self.rate}")


@dataclass(frozen=True)
class Other:
    depth: int = option(2, "how deep")


def parse(*words: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    @click.command()
    @options_from(Sample, Other)
    @click.option("--run", default="r")
    @click.argument("texts", nargs=-1)
    def command(sample: Sample, other: Other, run: str, texts: tuple[str, ...]) -> None:
        seen.update(sample=sample, other=other, run=run, texts=texts, given=given())

    result = CliRunner().invoke(command, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen


def test_defaults_are_those_of_the_dataclass() -> None:
    seen = parse()
    assert seen["sample"] == Sample()
    assert seen["other"] == Other()
    assert seen["given"] == set()


def test_every_type_is_read() -> None:
    seen = parse(
        *("--rate", ".5", "--steps", "3", "--pair", "0", "5", "--names", "x", "--names", "y", "--colour", "blue"),
        *("--mode", "b", "--out-folder", "o", "--quick", "--no-warm", "--depth", "4", "--run", "q", "t1", "t2"),
    )
    expected = Sample(0.5, 3, (0.0, 5.0), ("x", "y"), "blue", "b", Path("o"), quick=True, warm=False)
    assert seen["sample"] == expected
    assert isinstance(seen["sample"].out_folder, Path)
    assert seen["other"] == Other(4)
    assert (seen["run"], seen["texts"]) == ("q", ("t1", "t2"))
    fields = {"rate", "steps", "pair", "names", "colour", "mode", "out_folder", "quick", "warm", "depth"}
    assert seen["given"] == fields | {"run", "texts"}


def test_a_flag_set_to_its_default_still_counts_as_given() -> None:
    base = Sample(rate=0.4, steps=9)
    seen = parse("--rate", "0.13")
    assert with_given(base, seen["sample"], seen["given"]) == Sample(rate=0.13, steps=9)


def test_all_data_options_are_flags() -> None:
    @click.command()
    @options_from(DataOptions)
    def command(data: DataOptions) -> None:
        click.echo(repr(data))

    result = CliRunner().invoke(command, ["--target-column", "food", "--target-range", "1", "10"])
    assert result.output.strip() == repr(DataOptions(target_column=("food",), target_range=(1.0, 10.0)))


def test_two_owners_of_one_flag_are_refused() -> None:
    with pytest.raises(TypeError, match="depth is a field of both"):
        options_from(Other, Other)


def test_a_field_left_out_keeps_its_default_and_frees_its_flag() -> None:
    seen: dict[str, Any] = {}

    @click.command()
    @options_from(Sample, without=("steps",))
    @click.option("--steps", "count", default=5)
    def command(sample: Sample, count: int) -> None:
        seen.update(sample=sample, count=count, given=given())

    result = CliRunner().invoke(command, ["--steps", "7", "--rate", "0.2"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert seen == {"sample": Sample(rate=0.2), "count": 7, "given": {"count", "rate"}}
    with pytest.raises(TypeError, match="no class has a flag stepps"):
        options_from(Sample, without=("stepps",))


def _end(capfd: pytest.CaptureFixture[str], problem: BaseException | None, *words: str) -> tuple[Any, str, str]:
    @click.command()
    @options_from(Sample)
    def command(sample: Sample) -> None:
        if problem is not None:
            raise problem

    with pytest.raises(SystemExit) as end:
        run_command(command, list(words))
    out, err = capfd.readouterr()
    return end.value.code, out, err


@pytest.mark.parametrize(
    ("problem", "words", "message"),
    [
        (DataError("reviews.csv, row 3: no rating"), (), "error: reviews.csv, row 3: no rating\n"),
        (RationaleError("two\nlines"), (), "error: two lines\n"),
        (None, ("--rate", "-1"), "error: --rate: expected a share of words, got -1.0\n"),
        (FileNotFoundError(2, "No such file", "x.txt"), (), "error: x.txt: No such file\n"),
        (None, ("--colour", "pink"), "error: Invalid value for '--colour': 'pink' is not one of 'red', 'blue'.\n"),
        (None, ("--steps", "many"), "error: Invalid value for '--steps': 'many' is not a valid integer.\n"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    capfd: pytest.CaptureFixture[str], problem: BaseException | None, words: tuple[str, ...], message: str
) -> None:
    assert _end(capfd, problem, *words) == (2, "", message)


def test_an_unknown_flag_is_one_line_and_status_2(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = _end(capfd, None, "--rat", "1")
    assert (status, out) == (2, "")
    assert err.startswith("error: No such option")
    assert err.count("\n") == 1


def test_ctrl_c_is_130_and_success_is_0(capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = _end(capfd, KeyboardInterrupt())
    assert status == 130
    assert "Traceback" not in err
    assert _end(capfd, None) == (0, "", "")


def test_a_bug_keeps_its_traceback() -> None:
    @click.command()
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(command, [])


@pytest.mark.parametrize("sizes", [(1 << 46,), (1 << 40, 1 << 40)])
def test_too_little_memory_is_one_line(capfd: pytest.CaptureFixture[str], sizes: tuple[int, ...]) -> None:
    @click.command()
    def command() -> None:
        torch.empty(sizes)

    with pytest.raises(SystemExit) as end:
        run_command(command, [])
    err = capfd.readouterr().err
    assert (end.value.code, err.count("\n")) == (2, 1)
    assert err.startswith("error: not enough memory; take smaller --batch-size")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_both_help_flags(capfd: pytest.CaptureFixture[str], flag: str) -> None:
    status, out, _ = _end(capfd, None, flag)
    assert status == 0
    assert "--no-warm" in out
    assert "[default: 0.13]" in out


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    program = tmp_path / "many.py"
    program.write_text(
        "import click\nfrom pyro_rationale.cli.common import run_command\n"
        "@click.command()\ndef many():\n    for n in range(100000):\n        print(n)\nrun_command(many)\n"
    )
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
