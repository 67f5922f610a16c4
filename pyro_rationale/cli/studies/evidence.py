"""ELBO, IWAE and exact log evidence of documents: `python -m pyro_rationale.study evidence --run RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_rationale.cli.outputs import check_output
from pyro_rationale.cli.studies._common import run_documents, run_options, show
from pyro_rationale.data.options import DataOptions
from pyro_rationale.inference.limits import LONGEST, TRUSTED
from pyro_rationale.options import write_result
from pyro_rationale.reporting.terminal import Terminal

if TYPE_CHECKING:
    from pyro_rationale.experiments.studies.common import Row


@click.command("evidence")
@run_options
@click.option("--number", default=200, show_default=True, type=click.IntRange(min=1), help="documents: the first ones")
@click.option(
    "--words",
    default=LONGEST,
    show_default=True,
    type=click.IntRange(min=0),
    help=f"cut documents after this many words; exact figures exist up to {LONGEST}; 0: do not cut",
)
@click.option("--samples", default=1000, show_default=True, type=click.IntRange(min=2), help="largest K")
@click.option(
    "--repeats", default=20, show_default=True, type=click.IntRange(min=2), help="bounds of the largest K to average"
)
@click.option(
    "--kappa",
    default="own",
    show_default=True,
    type=click.Choice(("own", "1")),
    help="weight of the log likelihood: the run's own, or 1 for p(y | x) itself",
)
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(min=1), help="documents at once")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="of the draws")
def study(
    flags: DataOptions,
    folder: Path,
    split: str,
    number: int,
    words: int,
    samples: int,
    repeats: int,
    kappa: str,
    batch_size: int,
    seed: int,
    device: str,
    json_path: Path | None,
) -> None:
    """Bounds on the log evidence of a run's documents, the exact value of short ones, and the quality of weights."""
    from pyro_rationale.experiments.studies.bounds import measure
    from pyro_rationale.experiments.studies.common import shorten

    check_output("--json", json_path)
    fitted, documents = run_documents(folder, flags, split, device)
    documents, cut = shorten(documents[:number], words)
    weight = float(fitted.model.kappa) if kappa == "own" else 1.0
    with fitted.seeded(seed):
        measured = measure(fitted, documents, samples, repeats, weight, batch_size)
    facts = {"run": str(folder), "documents": len(documents), "cut": cut, "words": words or None, "kappa": weight}
    facts |= {"tau": fitted.config.tau, "samples": samples, "repeats": repeats, "seed": seed}
    facts |= {"readings": len(measured.k), "unit": "document" if fitted.aspects == 1 else "text and target"}
    result: dict[str, Any] = facts | measured.summary()
    report(result)
    write_result(json_path, result | {"each": measured.each(documents)})


def report(result: dict[str, Any]) -> None:
    """The tables on the terminal."""
    from pyro_rationale.experiments.studies.bounds import FAR

    console, several = Terminal(), "documents" if result["unit"] == "document" else "texts and targets"
    if result["cut"]:
        cut = f"{result['cut']} of {result['documents']}"
        console.say(f"{cut} documents were cut to their first {result['words']} words; their targets are as they were")
    if result["enumerated"] < result["readings"]:
        known = f"there is one of {result['enumerated']} of {result['readings']}"
        console.say(f"no exact evidence where the longest of a batch has over {LONGEST} words: {known}")
    rows: list[Row] = list(result["bounds"])
    if result["enumerated"]:
        blank = dict.fromkeys(("standard_error", "gap", "above_evidence", "out_of_order"))
        elbo, evidence = result["elbo"], result["log_evidence"]
        above = result["exact_elbo_above_evidence"]
        rows.insert(0, {"bound": "ELBO, exact", "nats": elbo, **blank, "gap": evidence - elbo, "above_evidence": above})
        rows.append({"bound": "log evidence", "nats": evidence, **blank})
    title = f"{result['run']}: nats per {result['unit']}, kappa = {result['kappa']:.4g}"
    show(f"{title}, guide fitted at tau {result['tau']:g}", rows, digits=6)
    quality = [
        {"weights": name, **{f"{level:.0%}": value for level, value in zip(result["quantiles"], values, strict=True)}}
        for name, values in ((f"ESS of {result['samples']}", result["ess"]), ("k-hat", result["k_hat"]))
    ]
    show(f"quantiles over {several}", quality)
    console.say(
        f"k-hat above {TRUSTED}: {100 * result['k_hat_above']:.1f} % of the {several} "
        f"({result['k_hat_infinite']} of them without a tail to fit); constant tails: {result['k_hat_constant']}"
    )
    if result.get("far"):
        console.say(
            f"{result['far']} {several} are over {FAR:g} nat short of their evidence at K = {result['samples']}; "
            f"k-hat says nothing against {result['far_unnoticed']} of them, for it knows only masks that were drawn"
        )
