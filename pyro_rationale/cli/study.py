"""`python -m pyro_rationale.study NAME ...`: each study is a command in the module of its name, loaded on demand."""

from __future__ import annotations

from importlib import import_module

import click

STUDIES = {
    "estimators": "bias, variance and time of the gradient estimators",
    "evidence": "ELBO, IWAE and exact log evidence; k-hat and effective sample size",
    "posterior": "p(z | x, y) by importance resampling against MCMC; the amortization gap",
    "sbc": "simulation-based calibration of the posterior",
    "calibration": "word marginals against gold: reliability curve and ECE",
    "questions": "the questions that the paper leaves open, one by one",
    "rankers": "similar texts found by rationales, BM25, tf-idf, and fixed choices of words",
    "real-texts": "fits of real texts beside simple predictors, and rationales to read",
}


class Studies(click.Group):
    """A click group that imports a study when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(STUDIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command `study` of the module of that name."""
        if cmd_name not in STUDIES:
            return None
        command: click.Command = import_module(f"pyro_rationale.cli.studies.{cmd_name.replace('-', '_')}").study
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(STUDIES.items()))


@click.command(cls=Studies)
def studies() -> None:
    """Measure inference and rationales, a study each."""
