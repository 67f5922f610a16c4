"""Standard output and error in whatever state they are: no traceback, the right status, nothing that is obeyed."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyro_rationale.cli.streams import Stream, safe_streams
from pyro_rationale.reporting.terminal import Terminal

ROOT = Path(__file__).parents[2]
# Prints a name of a stranger in every way there is, as often as asked, and then does some work.
PROGRAM = r"""
import logging, sys, warnings
from pathlib import Path
import click
from pyro_rationale.cli.common import Command, run_command
from pyro_rationale.reporting.terminal import Terminal, progress_bar
NAME = "caf\xe9 [/x] \x1b[31mred \u202eevil \U0001f363 \u2713"
@click.command(cls=Command, prints_only="--prints-only" in sys.argv)
@click.argument("work", required=False)
@click.option("--times", default=1)
@click.option("--prints-only", is_flag=True)
def command(work, times, prints_only):
    for _ in range(times):
        print(NAME)
        click.echo(NAME)
        Terminal().say(NAME)
    with progress_bar(Terminal()) as bar:  # while it is drawn, what is printed goes through rich
        bar.add_task(NAME)
        print(NAME)
    logging.getLogger("x").warning(NAME)
    print(NAME, file=sys.stderr)
    Terminal(stderr=True).say(NAME)
    Path(work).write_text("done")
run_command(command)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(PROGRAM)
    return path


def shell(line: str, program: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The end of a line of shell, in which `$RUN` is the program."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {**os.environ, "PYTHONPATH": paths, "RUN": f"{sys.executable} {program}", **environment}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, check=False, env=settings, cwd=program.parent,
        encoding="utf-8", errors="surrogateescape",
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii:strict", "utf-8"])
def test_any_encoding_takes_any_name(program: Path, tmp_path: Path, encoding: str) -> None:
    done = shell(f"$RUN {tmp_path}/work", program, PYTHONIOENCODING=encoding)
    assert (done.returncode, (tmp_path / "work").read_text()) == (0, "done")
    assert (len(done.stdout.splitlines()), len(done.stderr.splitlines())) == (4, 3)
    for text in (done.stdout, done.stderr):
        assert not set(text) & set("\x1b\u202e")
        assert "[/x]" in text
        assert "Traceback" not in text
    assert ("✓" in done.stdout) is (encoding == "utf-8")


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(program: Path, tmp_path: Path, closed: str) -> None:
    done = shell(f"$RUN {tmp_path}/work {closed}", program)
    assert (done.returncode, (tmp_path / "work").read_text()) == (0, "done")
    assert "Traceback" not in done.stderr


def test_a_terminal_gets_our_colours_and_obeys_nobody_else(program: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(program), str(tmp_path / "work")]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, env=settings)
    os.close(writer)
    text = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert (done.returncode, (tmp_path / "work").read_text()) == (0, "done")
    assert "\x1b[?25l" in text  # the bar's own: the cursor is hidden
    assert "\\u001b[?25l" not in text
    assert text.count("evil") >= 5
    assert not re.search("\x1b\\[31mred|\u202e", text)


def test_the_page_of_commands_says_how_control_characters_are_shown() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if "bidi overrides" in line)
    shown, printed = io.StringIO(), io.StringIO()
    Terminal(file=shown).say("\x1b\u202e")
    Stream(printed, "standard output").write("\x1b\u202e")
    assert (shown.getvalue(), printed.getvalue()) == ("\ufffd\ufffd\n", r"\u001b\u202e")
    assert "U+FFFD" in line
    assert r"`\u001b`" in line


def test_work_goes_on_when_nobody_reads(program: Path, tmp_path: Path) -> None:
    done = shell(f"$RUN {tmp_path}/work --times 1000 2>&1 | head -1", program)
    assert (done.returncode, (tmp_path / "work").read_text()) == (0, "done")
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_a_command_that_only_prints_ends_when_nobody_reads(program: Path, tmp_path: Path) -> None:
    done = shell(f"$RUN {tmp_path}/work --times 1000 --prints-only | head -1", program)
    assert (done.returncode, (tmp_path / "work").exists()) == (0, False)
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("times", "unbuffered"), [(1, ""), (1, "1"), (1000, "")])
def test_a_full_disk_is_named(program: Path, tmp_path: Path, times: int, unbuffered: str) -> None:
    done = shell(f"$RUN {tmp_path}/work --times {times} > /dev/full", program, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: standard output: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_work_goes_on_without_messages(program: Path, tmp_path: Path) -> None:
    done = shell(f"$RUN {tmp_path}/work 2> /dev/full", program)
    assert (done.returncode, (tmp_path / "work").read_text()) == (0, "done")


def test_arguments_that_are_not_utf_8_are_refused(program: Path) -> None:
    done = shell(r"$RUN $'caf\xe9.csv'", program)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: argument caf\\udce9.csv: is not UTF-8; write it in UTF-8, or rename the file\n"


def test_json_means_the_same_when_it_is_escaped() -> None:
    value = {"name\x1b\u202e\x7f": "é 🍣 \t \ud800"}
    for encoding in ("ascii", "cp1252", "utf-8"):
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        before, sys.stdout = sys.stdout, file
        try:
            with safe_streams():
                print(json.dumps(value, ensure_ascii=False))
        finally:
            sys.stdout = before
        text = file.buffer.getvalue().decode(encoding)
        assert not set(text) & set("\x1b\u202e\x7f")
        assert json.loads(text) == value


def test_bars_may_return_to_the_start_of_the_line() -> None:
    file = io.StringIO()
    stream = Stream(file, "standard error")
    stream.writelines(["\r 50 %\t", "a\rb\n"])
    assert file.getvalue() == "\r 50 %\ta\\rb\n"
    with pytest.raises(AttributeError):
        _ = stream.buffer
    with pytest.raises(TypeError, match="must be str, not bytes"):
        stream.write(b"")  # type: ignore[arg-type]
