"""Standard output and error as a command finds them: closed, not UTF-8, on a full disk, a pipe that nobody reads.

Names, labels and texts come from files of strangers. Nothing that is printed makes a terminal do anything: of
`print`, `click.echo`, log lines and warnings, control characters are escaped here; a rich console writes colours, and
makes what it is given harmless itself (:class:`pyro_rationale.reporting.terminal.Terminal`).
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from pyro_rationale.errors import escaped

GONE = (errno.EPIPE, errno.EIO, errno.ESHUTDOWN)  # the reader of a pipe has closed it; the terminal is no more
NAMES = {"stdout": "standard output", "stderr": "standard error"}


class Stream:
    """Text output on which control characters are escaped, and which outlives its reader.

    When nobody reads any more, what a command still writes is dropped: files that it makes are made, its exit status
    is that of its work. A command whose only work is to print (`prints_only`) ends at once, with status 0.

    Args:
        stream: the output as Python opened it.
        name: for error messages.
        written: makes of a text what is written.
    """

    def __init__(self, stream: Any, name: str, written: Callable[[str], str] = escaped) -> None:
        self._stream, self._name, self._written = stream, name, written

    @property
    def unescaped(self) -> Stream:
        """The output to which a rich console writes in place of this one."""
        return Stream(self._stream, self._name, str)

    def write(self, text: str) -> int:
        """Write a text. A carriage return at its beginning, as progress bars write it, stays.

        Raises:
            OSError: it cannot be written; names the stream.
        """
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:  # click writes nothing, to see whether it can, and goes on if it cannot
            start = text[:1] if text.startswith("\r") else ""
            self._tried(self._stream.write, start + self._written(text[len(start) :]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, as `write` does."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand over what was written, as `write` does."""
        self._tried(self._stream.flush)

    def _tried(self, function: Callable[..., object], *values: str) -> None:
        try:
            function(*values)
        except OSError as problem:
            with suppress(OSError, ValueError), open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), self._stream.fileno())  # at exit Python flushes again, and would complain
            if problem.errno not in GONE and self._name == NAMES["stdout"]:  # of the other, nobody could be told
                raise OSError(problem.errno, problem.strerror, self._name) from None
            context = click.get_current_context(silent=True)
            if context is not None and getattr(context.command, "prints_only", False):
                raise click.exceptions.Exit(0) from None

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # who writes bytes would write past this
            raise AttributeError(name)
        return getattr(self._stream, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Standard output and error that take any text, to the end of the block."""
    codecs.register_error("pyro_rationale.escaped", _escaped)
    before = {name: getattr(sys, name) for name in NAMES}
    for number, (name, title) in enumerate(NAMES.items(), 1):
        if isinstance(before[name], Stream):
            continue
        stream = _opened(number) if before[name] is None else before[name]
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="pyro_rationale.escaped")
        setattr(sys, name, Stream(stream, title))
    try:
        yield
    finally:
        for name, stream in before.items():
            with suppress(OSError):  # what is left of the output of a command that has failed already
                getattr(sys, name).flush()
            if stream is not None:
                setattr(sys, name, stream)


def _opened(number: int) -> Any:
    """Nothing, in place of a standard stream that was closed (`>&-`): else the next file opened would have its number.

    Args:
        number: of the file descriptor.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.fstat(number)
    except OSError:
        os.dup2(nothing, number)
    return open(nothing, "w", encoding="utf-8")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Characters that the encoding of the output does not have, as JSON escapes them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
