"""Posterior by resampling and by Markov chains: `python -m pyro_rationale.study posterior --run RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pyro_rationale.cli.outputs import check_output
from pyro_rationale.cli.studies._common import run_documents, run_options, show
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.inference.limits import TRUSTED
from pyro_rationale.optional import arviz
from pyro_rationale.options import write_result
from pyro_rationale.reporting.terminal import Terminal


@click.command("posterior")
@run_options
@click.option("--number", default=50, show_default=True, type=click.IntRange(min=1),
              help=f"documents to compare on: the first whose k-hat is below {TRUSTED}")
@click.option("--words", default=40, show_default=True, type=click.IntRange(min=0),
              help="take documents of so many words at most, whole; 0: any")
@click.option("--proposal", default="guide", show_default=True, type=click.Choice(("guide", "refined")),
              help="what is resampled from: the guide, or the chain refined from it for each document")
@click.option("--samples", default=100_000, show_default=True, type=click.IntRange(min=100),
              help="draws of it per document")
@click.option("--chains", default=8, show_default=True, type=click.IntRange(min=2), help="Markov chains per document")
@click.option("--draws", default=500, show_default=True, type=click.IntRange(min=4), help="sweeps of each that count")
@click.option("--warmup", default=100, show_default=True, type=click.IntRange(min=0), help="sweeps before")
@click.option("--block", default=3, show_default=True, type=click.IntRange(1, 8), help="words redrawn together")
@click.option("--refine-steps", "steps", default=300, show_default=True, type=click.IntRange(min=0),
              help="Adam steps of the refined chains; 0: no amortization gap")
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(min=1), help="documents at once")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="of all draws")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1, 1024), help="CPU threads")
def study(
    flags: DataOptions, folder: Path, split: str, number: int, words: int, seed: int, device: str, threads: int,
    json_path: Path | None, **budget: Any,
) -> None:
    """Compare posterior word marginals by importance resampling with those of Markov chains."""
    import torch

    from pyro_rationale.experiments.studies.posterior import Budget, compare

    check_output("--json", json_path)
    arviz()
    if budget["proposal"] == "refined" and not budget["steps"]:
        raise ConfigError("--proposal refined needs --refine-steps above 0")
    torch.set_num_threads(threads)
    fitted, documents = run_documents(folder, flags, split, device)
    short = [d for d in documents if not words or len(d.tokens) <= words]
    if not short:
        raise DataError(f"--words {words}: no document is so short; raise it")
    with fitted.seeded(seed):
        result = compare(fitted, short, number, Budget(**budget))
    facts = {"run": str(folder), "kappa": float(fitted.model.kappa), "tau": fitted.config.tau, "seed": seed}
    result = {**facts, "words": words or None, **budget, **result}
    report(result)
    write_result(json_path, result)


def report(result: dict[str, Any]) -> None:
    """The tables on the terminal."""
    from pyro_rationale.experiments.studies.posterior import AGREE, SHOWN

    worst = sorted(result["each"], key=lambda row: -row["difference"])[:SHOWN]
    columns = ("document", "target", "words", "k_hat", "ess", "difference", "r_hat", "chain_ess", "gap")
    rows = [{name: row[name] for name in columns if name in row} for row in worst]
    show(f"{result['run']}: the {len(worst)} documents that differ most", rows, digits=3)
    totals = result["summary"]
    show("all documents", [{"figure": name.replace("_", " "), "value": value} for name, value in totals.items()])
    Terminal().say(
        f"k-hat below {TRUSTED}: {result['documents']} of the first {result['seen']} documents; word marginals by "
        f"{result['samples']} draws and by {result['chains']} chains of {result['draws']} sweeps agree to {AGREE} "
        f"on {totals['agree']} of them"
    )
