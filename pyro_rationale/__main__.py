"""All commands behind one door: `pyro-rationale COMMAND`, `python -m pyro_rationale COMMAND`.

Only the module of the command that is run is imported. `python -m pyro_rationale.NAME` goes through :func:`run`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from pyro_rationale import __version__
from pyro_rationale.errors import INTERRUPTED

# Name: module of `pyro_rationale.cli`, its click command, one line of help.
COMMANDS = {
    "fit": ("fit", "fit", "fit a model and write a run folder"),
    "explain": ("explain", "explain", "show the rationale, prediction and uncertainty of texts"),
    "predict": ("predict", "predict", "predict a table of texts, a row each, into another table"),
    "evaluate": ("evaluate", "evaluate", "score a run on labelled texts"),
    "inspect": ("posterior", "inspect", "draws of guide, prior and posterior for ArviZ, figures and an HTML report"),
    "compare": ("compare_objectives", "compare", "ELBO and expected cost of runs, term by term"),
    "curve": ("rate_curve", "curve", "prediction error against the share of words kept"),
    "against": ("significance_test", "against", "paired significance tests between runs or baselines"),
    "benchmark": ("benchmark", "benchmark", "fit and score a grid of methods, rates and seeds"),
    "stress": ("stress", "stress", "robustness tests: degenerate rationales and how they are detected"),
    "study": ("study", "studies", "studies of the inference: estimators, evidence, calibration"),
    "index": ("index", "index", "make a corpus searchable with a run that ranks texts"),
    "search": ("search", "search", "find similar texts, with the words that the similarity rests on"),
    "serve": ("serve", "serve", "a page to paste texts into, and a JSON endpoint"),
    "prepare": ("prepare", "prepare", "tokenise a table once and cache it on disk"),
}
ALIASES = {"posterior": "inspect", "compare-objectives": "compare", "rate-curve": "curve", "test": "against"}


def load(name: str) -> click.Command:
    """The click command of that name, or alias; imports its module."""
    module, attribute, _ = COMMANDS[ALIASES.get(name, name)]
    command: click.Command = getattr(import_module(f"pyro_rationale.cli.{module}"), attribute)
    return command


class Commands(click.Group):
    """A click group that imports a command when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table, aliases left out."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or `None` for an unknown name."""
        return load(cmd_name) if ALIASES.get(cmd_name, cmd_name) in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, written without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.command("pyro-rationale", cls=Commands)
@click.version_option(__version__)
def commands() -> None:
    """Predict from a few words of each text, and show which words they are."""


def run(name: str | None = None) -> NoReturn:
    """Run one command, or the group of all, as a program, and end the program.

    Args:
        name: of a command in `COMMANDS`, or an alias; `None` for the group.
    """
    from pyro_rationale.cli.common import run_command
    from pyro_rationale.cli.streams import safe_streams

    with safe_streams():  # before any module of a command opens a file
        try:
            command = commands if name is None else load(name)
        except KeyboardInterrupt:  # torch takes a while to be imported
            sys.exit(INTERRUPTED)
        run_command(command)


def main() -> NoReturn:
    """Entry point of the console script."""
    run()


if __name__ == "__main__":
    main()
