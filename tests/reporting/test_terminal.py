"""A terminal shows what stands in the file, and no more than that."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

import pyro_rationale
from pyro_rationale.reporting.terminal import Pace, Terminal, progress_bar

HOSTILE = "[/x] [bold]a[/bold] :pizza: \x1b[31mred\x9b2J \u202eevil\r\ud800"
SHOWN = "[/x] [bold]a[/bold] :pizza: \ufffd[31mred\ufffd2J \ufffdevil \ufffd"


def table() -> Table:
    made = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    made.add_column(Text(HOSTILE), footer=HOSTILE)
    made.add_row(HOSTILE, Text(HOSTILE, style="bold"))
    return made


@pytest.mark.parametrize(
    "renderable", [HOSTILE, Text(HOSTILE), Group(HOSTILE, Text(HOSTILE)), Rule(HOSTILE), Rule(Text(HOSTILE)), table()]
)
@pytest.mark.parametrize("colour", [True, False])
def test_everything_is_shown_as_it_stands(renderable: RenderableType, colour: bool) -> None:
    console = Terminal(file=io.StringIO(), width=200, force_terminal=colour)
    console.print(renderable)
    text = re.sub(r"\x1b\[[\d;]*m", "", console.file.getvalue())  # type: ignore[attr-defined]  # our own colours
    assert SHOWN.replace("evil ", "evil") in text or SHOWN in text  # rich takes carriage returns out of a Text
    assert not set(text) & set("\x1b\x9b\u202e\r\ud800")


def test_styles_stay_where_they_are() -> None:
    console = Terminal(file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text.assemble("\x1b\u202e", ("kept", "bold")))
    assert console.file.getvalue() == "\ufffd\ufffd\x1b[1mkept\x1b[0m\n"  # type: ignore[attr-defined]


def test_a_line_is_broken_between_words_and_only_on_a_terminal() -> None:
    for terminal, whole in ((False, False), (True, True), (True, False)):
        console = Terminal(file=io.StringIO(), width=23, force_terminal=terminal, no_color=True)
        console.say("word " * 20, whole=whole)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        if terminal and not whole:
            assert {line.strip() for line in lines} == {" ".join(["word"] * 4)}
        else:
            assert lines == ["word " * 20]


def test_bars_show_fields_as_they_stand() -> None:
    console = Terminal(file=io.StringIO(), width=100, force_terminal=True)
    with progress_bar(console, "what") as bar:
        bar.add_task(HOSTILE, total=1, what=HOSTILE)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("[/x] [bold]a") >= 2
    assert not set(text) & set("\x9b\u202e\ud800")


def test_only_here_is_anything_printed() -> None:
    package = Path(pyro_rationale.__file__).parent
    printing = re.compile(r"\b(rich\.(?:print|markup)|Console|Progress|TextColumn)\((?!self)")
    found = [path.name for path in package.rglob("*.py") if printing.search(path.read_text(encoding="utf-8"))]
    assert set(found) <= {"terminal.py"}


def test_what_is_printed_beside_a_bar_on_standard_error_stays_in_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_bar(Terminal(stderr=True, force_terminal=True)) as bar:
        bar.add_task("explaining", total=2)
        print("a line for a file")
    out, err = capsys.readouterr()
    assert out == "a line for a file\n"
    assert "explaining" in err


def test_a_pace_says_how_long_the_rest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = Pace(total=1000, done=100)
    now[0] += 2
    assert pace.left(200) == ""  # too early to say
    now[0] += 58
    assert pace.left(100) == ""
    assert pace.left(400) == "about 2 min left"
    now[0] += 60
    assert pace.left(950) == "less than 1 min left"


def test_a_time_left_falls_steadily_over_uneven_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace, left = Pace(total=100), []
    for step in range(1, 100):
        now[0] += 20.0 if step % 10 == 0 else 8.0  # one of ten is slow: a checkpoint, another program
        if step == 50:
            pace.go_on(100, step)  # another stage of the same pace
        pace.left(step)
        assert pace.end is not None
        left.append(pace.end - now[0])
    assert left == sorted(left, reverse=True)
    assert 0.0 < left[-1] < 30.0
