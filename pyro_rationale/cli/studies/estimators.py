"""Bias, variance and time of estimators: `python -m pyro_rationale.study estimators --run RUN`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_rationale.cli.outputs import check_output
from pyro_rationale.cli.studies._common import run_documents, show
from pyro_rationale.data.options import DataOptions
from pyro_rationale.inference.limits import GRADIENTS, Gradient
from pyro_rationale.options import json_option, options_from, split_option, write_result
from pyro_rationale.reporting.terminal import Terminal, progress_bar

if TYPE_CHECKING:
    from pyro_rationale.experiments.studies.estimators import EstimatorVariant


@click.command("estimators")
@click.option("--run", "folders", required=True, multiple=True, type=click.Path(path_type=Path),
              help="folder of a fitted run; repeat it for other guides")
@split_option
@click.option("--state", default="both", show_default=True, type=click.Choice(["both", "trained", "untrained"]),
              help="of the networks")
@click.option("--draws", default=100, show_default=True, type=click.IntRange(3),
              help="gradients per document and estimator")
@click.option("--batches", default=10, show_default=True, type=click.IntRange(1), help="batches the variance is over")
@click.option("--batch", "size", default=16, show_default=True, type=click.IntRange(1), help="documents in a batch")
@click.option("--gradient", default="parameters", show_default=True, type=click.Choice(GRADIENTS),
              help="the guide's whole gradient, or what reaches the features of its words")
@click.option("--bias-draws", default=20000, show_default=True, type=click.IntRange(0),
              help="masks per short text and estimator; 0: no bias")
@click.option("--baseline-steps", default=300, show_default=True, type=click.IntRange(0),
              help="steps in which neural baselines learn, the rest held fixed")
@click.option("--timed-steps", default=10, show_default=True, type=click.IntRange(0), help="steps timed; 0: none")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="of batches and masks")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1, 1024), help="CPU threads")
@json_option
@options_from(DataOptions, show_defaults=False)
def study(
    flags: DataOptions,
    folders: tuple[Path, ...],
    split: str,
    state: str,
    draws: int,
    batches: int,
    size: int,
    gradient: Gradient,
    bias_draws: int,
    baseline_steps: int,
    timed_steps: int,
    seed: int,
    threads: int,
    json_path: Path | None,
) -> None:
    """Bias, variance and time of the gradient estimators.

    The variance is the trace of the covariance of one document's gradient in the guide's parameters; times the
    masks that the encoder reads for it, RLOO at K = 2 is 1; +- is the jackknife's standard error over batches. The
    bias is looked for on windows of ten words, the largest difference to the enumerated gradient in standard errors:
    an unbiased estimator stays below 4.
    """
    import torch

    from pyro_rationale.experiments.studies.estimators import Budget, bar, default, estimator_variants, measure, states

    check_output("--json", json_path)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    budget = Budget(draws, gradient, bias_draws, baseline_steps, timed_steps, seed)
    result: dict[str, Any] = {**vars(budget), "batches": batches, "batch": size, "runs": []}
    for folder in folders:
        fitted, documents = run_documents(folder, flags, split)
        guide, tau = fitted.config.guide, fitted.config.tau
        estimator_variants(guide)  # refuses a guide that has none, before anything is measured
        entry: dict[str, Any] = {"run": str(folder), "guide": guide, "tau": tau}
        for networks in states(fitted, documents, batches, size, seed):
            if state not in ("both", networks.name):
                continue
            rows, spreads = measure(networks, budget, progress)
            show(f"{guide} guide, {networks.name} ({folder}), tau = {tau:g}", rows, digits=3)
            if networks.family == guide:
                entry[f"bar, {networks.name}"] = ratios = bar(default(guide), spreads)
                Terminal().say(sentence(ratios))
            entry[networks.name] = rows
        result["runs"].append(entry)
        write_result(json_path, result)


def progress(rows: Sequence[EstimatorVariant], title: str) -> Iterator[EstimatorVariant]:
    """Rows with a progress bar on a terminal."""
    with progress_bar(Terminal(stderr=True)) as bar:
        yield from bar.track(rows, description=title)


def sentence(ratios: dict[str, Any]) -> str:
    """Ratios of `bar` in a sentence."""
    below = [f"{ratio['value']:.3g} (se {ratio['error']:.2g}) below {name}" for name, ratio in ratios.items()
             if name != "default"]
    return f"variance x masks read of {ratios['default']}, the default, times: {', '.join(below)}\n"
