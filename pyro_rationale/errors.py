"""The exceptions a user can meet. Each message is one line: what is wrong, where, and the remedy.

Command lines print the message and end with exit status 2; a library user catches :class:`RationaleError`.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

BAD_INPUT = 2  # exit status where what the user gave cannot be used
FAILED = 3  # exit status of a fit whose model is of no use
INTERRUPTED = 130  # exit status after Ctrl-C
# Signals that ask a program to end, SIGHUP among them where there is one: the terminal has been closed.
END_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class RationaleError(Exception):
    """Base of all errors whose cause the user can fix."""


class DataError(RationaleError):
    """A text, table, rating or vector file cannot be used; the message names the file and the row."""


class ConfigError(RationaleError):
    """An option, or a combination of options, makes no sense; the message names the flag."""


class RunError(RationaleError):
    """A run folder is missing, half-written, or from another version."""


class TrainingError(RationaleError):
    """Training cannot go on (a loss that is not finite, say); the last good state has been kept."""


def shown(value: object, width: int = 40) -> str:
    """A value as it may stand in a one-line message."""
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 4]}...{text[-1]}"


def reason_of(problem: BaseException, most: int = 200) -> str:
    """The text of an error on one line, for a message, cut after so many characters."""
    return " ".join(str(problem).split())[:most]


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names from a file as they may stand in a one-line message."""
    some = ", ".join(shown(name)[1:-1] for name in names[:most])
    return some if len(names) <= most else f"{some} and {len(names) - most} more"


def in_words(value: object) -> str:
    """The value of an option as it may stand in a sentence: `a, b and c` for a list, `nothing` for none."""
    if isinstance(value, (list, tuple)):
        items = [str(item) for item in value]
        return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items) or "nothing"
    return "nothing" if value in (None, "") else str(value)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question `did you mean X?` about the name that is nearest to one that is unknown; empty if none is near."""
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def no_choice(where: str, value: object, choices: Iterable[str]) -> str:
    """The message about a name that is none of the choices.

    Args:
        where: the flag or key that it was given to.
        value: the name, or whatever was given for one.
        choices: all names.
    """
    known = list(choices)
    near = did_you_mean(value, known) if isinstance(value, str) else ""
    return f"{where}: expected one of {', '.join(known)}, got {value!r}" + (f"; {near}" if near else "")


# Characters that a terminal or a page obeys instead of showing them (C0 and C1 controls, line separators, bidi
# overrides), and those that are no text at all: lone surrogates, noncharacters.
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def harmless(text: str) -> str:
    """The text with control characters, bidi overrides and lone surrogates replaced, one character for one.

    Line feeds stay, other white space becomes a space, all else U+FFFD.
    """
    return _CONTROLS.sub(lambda match: " " if match[0].isspace() else "\ufffd", text)


def escaped(text: str) -> str:
    """The text with such characters, save tabs, written as JSON escapes them: JSON that holds them means the same."""
    return _CONTROLS.sub(lambda match: match[0] if match[0] == "\t" else json.dumps(match[0])[1:-1], text)
