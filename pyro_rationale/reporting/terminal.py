"""The rich console of all commands: what it is given is text, never markup, and the terminal obeys none of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.file_proxy import FileProxy
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from pyro_rationale.errors import escaped, harmless

__all__ = ["Pace", "ProgressBar", "Terminal", "progress_bar", "waiting"]

MEMORY = 60.0  # seconds after which an earlier estimate of the time left has hardly any weight


class Terminal(Console):
    """A rich console that shows names, labels and texts of strangers as they are.

    Square brackets are no markup, `:smile:` is no emoji, control characters and bidi overrides are replaced.

    Args:
        stderr: write to standard error.
        wide: columns where the output is no terminal, if those are more than rich would take; 0: as rich does.
        settings: of `rich.console.Console`.
    """

    def __init__(self, stderr: bool = False, wide: int = 0, **settings: Any) -> None:
        output = sys.stderr if stderr else sys.stdout
        settings = {"file": getattr(output, "unescaped", output), **settings}  # see pyro_rationale.cli.streams
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **settings)
        if not self.is_terminal:
            self.width = max(self.width, wide)

    def render_str(self, text: str, **settings: Any) -> Text:
        """A string as text that is harmless."""
        return super().render_str(harmless(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything, each text in it harmless."""
        if isinstance(renderable, Text) and renderable.plain != harmless(renderable.plain):
            renderable = renderable.copy()
            renderable.plain = harmless(renderable.plain)  # one for one: styles stay where they are
        return super().render(renderable, options)

    def say(self, text: str | Text, style: str | None = None, whole: bool = False) -> None:
        """Print one line, broken between words on a terminal; in files and pipes it is as long as it is.

        Args:
            text: the line.
            style: of rich.
            whole: never break it: a command that is to be copied.
        """
        self.print(text, style=style, soft_wrap=whole or not self.is_terminal)


class ProgressBar(Progress):
    """A progress bar of rich, which prints above itself what is printed meanwhile: without obeying any of it."""

    def start(self) -> None:
        """Draw the bar."""
        super().start()
        for name in ("stdout", "stderr"):
            if isinstance(getattr(sys, name), FileProxy):
                setattr(sys, name, _Escaped(getattr(sys, name)))  # to the end of the bar, as what it wraps


class _Escaped:
    def __init__(self, file: FileProxy) -> None:
        self._file = file

    def write(self, text: str) -> int:
        self._file.write(escaped(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def progress_bar(
    console: Console, *fields: str, quiet: bool = False, share: bool = False
) -> ProgressBar:
    """A progress bar, drawn only on a terminal and taken away at its end.

    Args:
        console: where it is drawn.
        fields: of each task, shown behind the bar.
        quiet: draw nothing.
        share: show the share that is done, instead of numbers and the time that it took.
    """
    ends = [] if share else [TimeElapsedColumn()]
    return ProgressBar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12 if share else 20),
        TaskProgressColumn() if share else MofNCompleteColumn(),
        *(TextColumn(f"{{task.fields[{field}]}}", markup=False) for field in fields),
        *ends,
        console=console,
        redirect_stdout=not console.stderr,  # else what is printed for a file would go to the terminal
        disable=quiet or not console.is_terminal,
        transient=True,
    )


def duration(seconds: float) -> str:
    """`40 s` or `12 min`."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


class Pace:
    """How long the rest of some work takes, at the pace so far; it counts down, and corrects itself little by little.

    Parts of the work are faster than others, and the machine has other things to do: an estimate that is made anew at
    every step jumps.

    Args:
        total: units of work.
        done: those done before now.
    """

    def __init__(self, total: float = 0, done: float = 0) -> None:
        self.end: float | None = None
        self.go_on(total, done)

    def go_on(self, total: float, done: float) -> None:
        """Go on with work of another pace, of `total` units; the countdown goes on from where it is."""
        self.total, self.first, self.started = total, done, time.monotonic()
        self.estimated = self.started

    def put_off(self, seconds: float) -> None:
        """Count down to a later end: there is more work than was known."""
        if self.end is not None:
            self.end += seconds

    def left(self, done: float) -> str:
        """Text for the bar, `""` in the first seconds; training may end sooner, when dev cost gets no better."""
        now = time.monotonic()
        seconds = now - self.started
        if seconds >= 5 and done > self.first:
            end = now + seconds * (self.total - done) / (done - self.first)
            if self.end is None:
                self.end = end
            memory = max(MEMORY, 0.25 * (self.end - now))  # far ahead, a small change of pace is a large one of the end
            self.end += min(1.0, (now - self.estimated) / memory) * (end - self.end)
            self.estimated = now
        if self.end is None:
            return ""
        rest = self.end - now
        return f"about {rest / 60:.0f} min left" if rest >= 60 else "less than 1 min left"


@contextmanager
def waiting(what: str, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal, on standard error, that something takes its time; elsewhere nothing."""
    console = Terminal(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    with console.status(Text(what)):
        yield
