"""What all commands share: a click command run as a program, whose errors end in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from pyro_rationale.errors import BAD_INPUT, INTERRUPTED, RationaleError

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def run_command(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs `command` as a program, and ends the program.

    A :class:`RationaleError`, a wrong flag or an unreadable file becomes one line ``error: ...`` on standard
    error and exit status 2; Ctrl-C is 130; a closed pipe (``| head``) is silent.

    Args:
        command: a click command; ``-h`` is added to its ``--help``.
        arguments: the words after the program's name; those of this process by default.
    """
    for key, value in CONTEXT.items():
        command.context_settings.setdefault(key, value)
    words = None if arguments is None else list(arguments)
    sys.exit(_status(command, words))


def _status(command: click.Command, words: list[str] | None) -> int:
    try:
        result = command.main(args=words, prog_name=_program(command), standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        # Whoever read our output has left; at exit Python would try to flush it once more and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.ClickException as error:
        return _fail(error.format_message())
    except RationaleError as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED


def _fail(message: str) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT


def _program(command: click.Command) -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None:
        return command.name or "pyro_rationale"
    return f"python -m {spec.name.removesuffix('.__main__')}"
