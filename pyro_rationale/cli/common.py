"""Shared by all commands: help that is grouped, and a click command run as a program whose errors end in one line."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Timer, get_ident
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pyro_rationale.cli.streams import safe_streams
from pyro_rationale.errors import BAD_INPUT, END_SIGNALS, INTERRUPTED, ConfigError, RationaleError
from pyro_rationale.options import Flag
from pyro_rationale.storage import write_bytes

if TYPE_CHECKING:
    from pyro_rationale.tasks import TargetSpec

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Command(click.Command):
    """A command whose `--help` shows the common flags under their headings; `--help-all` shows every flag.

    Args:
        values: of click.
        prints_only: it ends when nobody reads its output any more; it writes nothing else.
        settings: of click.
    """

    def __init__(self, *values: Any, prints_only: bool = False, **settings: Any) -> None:
        # Not later: click keeps the names of the help option from the first time that they are asked for.
        settings["context_settings"] = CONTEXT | (settings.get("context_settings") or {})
        super().__init__(*values, **settings)
        self.prints_only = prints_only

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The flags; with `--help-all` where `--help` leaves some out."""
        params = super().get_params(ctx)
        if any(_is_rare(param) for param in params):
            params.append(
                click.Option(["--help-all"], is_flag=True, is_eager=True, expose_value=False, callback=_show_all,
                             help="Show every option and exit.")
            )
        return params

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The flags, by heading."""
        sections: dict[str, list[tuple[str, str]]] = {}
        params = self.get_params(ctx)
        rare = [] if ctx.meta.get(SHOW_ALL) else [param for param in params if _is_rare(param)]
        groups = [param.group for param in params if isinstance(param, Flag)]
        own = "Run" if "Run" in groups else "Options"  # heading of the flags that are no fields
        for param in params:
            record = param.get_help_record(ctx)
            if record is not None and param not in rare:
                sections.setdefault(param.group if isinstance(param, Flag) else own, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)
        if rare:
            formatter.write_paragraph()
            formatter.write_text(f"{len(rare)} more options are listed by --help-all.")


SHOW_ALL = f"{__name__}.show_all"
_NO_MEMORY = re.compile("out of memory|not enough memory|allocate memory|Storage size calculation overflowed")
Decorator = Callable[[Any], Any]


def together(*options: Decorator) -> Decorator:
    """Several click options as one decorator, for commands that share them."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def make_folder(path: Path, runs: Sequence[Path] = ()) -> None:
    """Make the folder that `--out` names, and make sure that it can be written to.

    Args:
        path: the folder.
        runs: run folders that the results are about; those of other runs are no place for them.

    Raises:
        ConfigError: it cannot, or it is another run's.
    """
    from pyro_rationale.run_files import CONFIG

    if runs and (path / CONFIG).is_file() and path.resolve() not in [run.resolve() for run in runs]:
        raise ConfigError(f"--out {path}: is the folder of another run; name another folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_bytes(path / ".probe", b"")
        (path / ".probe").unlink()
    except OSError as problem:
        raise ConfigError(f"--out {path}: cannot be written to ({problem.strerror}); name another folder") from None


def refuse_ranking(command: str, spec: TargetSpec) -> None:
    """Refuse a run that ranks texts, for commands that have no meaning for one.

    Raises:
        ConfigError: it is one.
    """
    from pyro_rationale.tasks import task_of

    if task_of(spec).of_pairs:
        what = f"{command}: is about predictions of single texts, and the run ranks texts"
        raise ConfigError(f"{what}; evaluate, inspect and explain read it, and study rankers compares such runs")


def _is_rare(param: click.Parameter) -> bool:
    return isinstance(param, Flag) and not param.common


def _show_all(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[SHOW_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


def run_command(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `command` as a program, and end the program.

    A :class:`RationaleError`, a wrong flag or an unreadable file becomes one line ``error: ...`` on standard
    error and exit status 2; Ctrl-C, SIGTERM and SIGHUP are 130; a closed pipe (``| head``) is silent. For standard
    output and error see :mod:`pyro_rationale.cli.streams`.

    Args:
        command: a click command; ``-h`` is added to its ``--help``.
        arguments: the words after the program's name; those of this process by default.
    """
    for key, value in CONTEXT.items():
        command.context_settings.setdefault(key, value)
    words = sys.argv[1:] if arguments is None else list(arguments)
    for number in END_SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:  # not one that `nohup` has taken away
            signal.signal(number, _interrupt)
    hook, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        with safe_streams():
            sys.exit(_status(command, words))
    finally:
        sys.unraisablehook = hook
        for number in END_SIGNALS:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt as Ctrl-C does. A terminal that closes may say so twice: once is enough, progress is being saved."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _interrupt_again(lost: Any) -> None:
    """Interrupt a moment later if it came where Python ignores all exceptions, as when an object is deleted."""
    if lost.exc_type is not KeyboardInterrupt or not hasattr(signal, "pthread_kill"):
        sys.__unraisablehook__(lost)
        return
    signal.signal(signal.SIGTERM, _interrupt)
    thread = get_ident()  # the main one: the only one that handles signals
    Timer(0.05, signal.pthread_kill, [thread, signal.SIGTERM]).start()


def _status(command: click.Command, words: list[str]) -> int:
    try:
        for word in words:
            if any("\ud800" <= letter <= "\udfff" for letter in word):  # bytes that could not be decoded
                raise ConfigError(f"argument {word}: is not UTF-8; write it in UTF-8, or rename the file")
        result = command.main(args=words, prog_name=_program(command), standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:  # a group without a command: its help is no error to squeeze
        print(error.format_message(), file=sys.stderr)
        return BAD_INPUT
    except click.ClickException as error:
        return _fail(error.format_message())
    except RationaleError as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (MemoryError, RuntimeError) as error:  # torch has its own errors of its allocators
        if isinstance(error, RuntimeError) and not _NO_MEMORY.search(str(error)):
            raise
        smaller = "--batch-size, --hidden, --embedding, --samples or --max-words"
        return _fail(f"not enough memory; take smaller {smaller}")


def _fail(message: str) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT


def _program(command: click.Command) -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None:
        return command.name or "pyro_rationale"
    return f"python -m {spec.name.removesuffix('.__main__')}"
