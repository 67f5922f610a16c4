"""Simulation-based calibration of a run's posterior: `python -m pyro_rationale.study sbc --run RUN`."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import click

from pyro_rationale.cli.outputs import check_output
from pyro_rationale.cli.studies._common import documents_for, run_documents, run_options, show
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.limits import LONGEST, METHODS
from pyro_rationale.options import write_result
from pyro_rationale.reporting.terminal import Terminal

# Where ranks are not uniform, and nothing was wrong on purpose.
ADVICE = {
    "importance": "not uniform where the guide is too far from the posterior, for then a few of its draws carry all "
    "the weight; fit with --condition-on-target and fewer --nats, or take --method mcmc, which needs no good guide",
    "guide": "its draws are not those of the posterior; --method importance weighs them, --method mcmc needs no good "
    "guide, --sleep 3000 trains it on draws of the model",
}


@click.command("sbc")
@run_options
@click.option("--method", "methods", multiple=True, type=click.Choice(METHODS), default=METHODS[:3], show_default=True,
              help="on trial; repeat it for several. guide: one fitted with --condition-on-target; prior: a wrong one, "
              "to see it caught")
@click.option("--number", default=500, show_default=True, type=click.IntRange(min=10), help="simulated documents")
@click.option("--words", default=LONGEST, show_default=True, type=click.IntRange(min=0),
              help=f"cut texts after so many words, {LONGEST} at most with --method exact; 0: do not cut")
@click.option("--draws", default=100, show_default=True, type=click.IntRange(min=2),
              help="masks to rank the true one among")
@click.option("--samples", default=20_000, show_default=True, type=click.IntRange(min=100),
              help="importance: draws of the guide to resample from")
@click.option("--chains", default=10, show_default=True, type=click.IntRange(min=1), help="mcmc: chains per document")
@click.option("--warmup", default=50, show_default=True, type=click.IntRange(min=0),
              help="mcmc: sweeps before the first draw")
@click.option("--thin", default=5, show_default=True, type=click.IntRange(min=1),
              help="mcmc: sweeps from draw to draw")
@click.option("--block", default=3, show_default=True, type=click.IntRange(1, 8), help="mcmc: words redrawn together")
@click.option("--kappa", type=click.FloatRange(min=0, min_open=True),
              help="weight of the log likelihood; default: the run's. Classes and levels: 1")
@click.option("--wrong-kappa", default=1.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="draw with kappa times this factor, to see it caught")
@click.option("--sleep", default=0, show_default=True, type=click.IntRange(min=0),
              help="guide: steps in which it first learns from masks and targets that the model draws for training "
              "texts; the run stays as it is")
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(min=1), help="documents at once")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="of data and draws")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1, 1024), help="CPU threads")
@click.option("--figure", type=click.Path(path_type=Path), help="draw the ranks' distribution functions to this file")
def study(
    flags: DataOptions, folder: Path, split: str, methods: tuple[str, ...], number: int, words: int,
    kappa: float | None, sleep: int, batch_size: int, seed: int, device: str, threads: int, figure: Path | None,
    json_path: Path | None, **budget: Any,
) -> None:
    """Are draws of the posterior what they should be? Verdicts by ranks of true masks among them."""
    import torch

    from pyro_rationale.experiments.studies.common import shorten
    from pyro_rationale.experiments.studies.sbc import (
        Budget,
        assess,
        check_methods,
        learn_own_draws,
        ranks_by,
        visible_error,
    )
    from pyro_rationale.inference.posterior.sbc import check_kappa

    check_output("--json", json_path)
    check_output("--figure", figure)
    if figure is not None:
        from pyro_rationale.reporting.plots import check_figure

        check_figure(figure)
    spent = Budget(**budget)
    if "exact" in methods and not 0 < words <= LONGEST:
        raise ConfigError(f"--words: --method exact enumerates up to {LONGEST} words, got {words or 'no limit'}")
    torch.set_num_threads(threads)
    fitted, documents = run_documents(folder, flags, split, device)
    if kappa is None:
        kappa = float(fitted.model.kappa) if fitted.model.likelihood.has_powers else 1.0
    check_kappa(fitted.model, kappa)
    check_methods(fitted, methods, spent, sleep)
    texts, _ = shorten(list(islice(cycle(documents), number)), words)
    texts = [replace(text, id=f"{text.id}, simulation {i}") for i, text in enumerate(texts)]
    if sleep:
        training, _ = shorten(documents_for(fitted, flags, "train"), words)
        with fitted.seeded(seed):
            learn_own_draws(fitted, training, sleep, kappa)
    result: dict[str, Any] = {"run": str(folder), "kappa": kappa, "documents": number, "words": words or None}
    result["sleep"] = sleep
    result |= {**budget, "seed": seed, "results": [], "kappa_errors_seen": []}
    for method in methods:
        with fitted.seeded(seed):
            ranks = ranks_by(fitted, texts, method, spent, kappa, batch_size)
        result["results"] += [assess(method, name, values, spent.draws) for name, values in ranks.ranks.items()]
        if method != "prior" and spent.wrong_kappa == 1.0:  # of a method that may be right
            result["kappa_errors_seen"].append(visible_error(method, ranks, spent))
    report(result)
    if figure is not None:
        from pyro_rationale.reporting.plots import save_figure
        from pyro_rationale.reporting.plots.sbc import sbc_figure

        save_figure(sbc_figure(result["results"]), figure)
    write_result(json_path, result)


def report(result: dict[str, Any]) -> None:
    """Print the verdicts, and how large an error in kappa they would have shown."""
    from pyro_rationale.inference.posterior.sbc import COVERAGE

    rows = [
        {
            "statistic": f"{row['method']}: {row['statistic']}",
            "ranks": "uniform" if row["uniform"] else "NOT UNIFORM",
            "p": row["p"],
            "mean rank (0 to 1)": row["mean_rank"],
        }
        for row in result["results"]
    ]
    title = f"{result['run']}: {result['documents']} simulated documents, ranks among {result['draws']} draws"
    show(f"{title}, kappa = {result['kappa']:.4g}", rows)
    Terminal().say(
        f"uniform: the ranks' distribution function stays within the band that holds {100 * COVERAGE:.0f} % of all "
        f"curves of right methods; of {len(rows)} verdicts, {(1 - COVERAGE) * len(rows):.1f} are expected to be wrong "
        "by chance"
    )
    for seen in result["kappa_errors_seen"]:
        Terminal().say(f"{seen['method']}: {power_line(seen, result['documents'])}")
    if result["wrong_kappa"] == 1.0:
        failed = {row["method"] for row in result["results"] if not row["uniform"]}
        for method in filter(failed.__contains__, ADVICE):
            Terminal().say(f"{method}: {ADVICE[method]}")
    if result["wrong_kappa"] != 1.0:
        Terminal().say(f"on purpose: drawn with kappa {result['wrong_kappa']:g} times too large")


def power_line(seen: dict[str, Any], documents: int) -> str:
    """A sentence that says how wrong kappa would have to be for so many documents to show it."""
    from pyro_rationale.inference.posterior.sbc import FACTORS, POWER

    above, below = seen["above"], seen["below"]
    if above is None and below is None:
        return f"no error in kappa up to a factor {FACTORS[-1]:g} would be seen; raise --number"
    parts = [f"{above:.2f} times too large" if above else "", f"{below:.2f} of what it should be" if below else ""]
    wrong = " or ".join(filter(None, parts))
    often = f"in {100 * POWER:.0f} % of such studies"
    return f"{documents} documents show, {often}, a kappa {wrong}; a smaller error may pass"
