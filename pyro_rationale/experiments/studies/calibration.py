"""Word marginals against planted or annotated gold: `python -m pyro_rationale.study calibration --run RUN [RUN ...]`.

Gold has two layers. `clause`: every word of the clauses that speak of the rated aspect, as annotators mark them.
`opinion`: the words in there that the rating was computed from. A model that is told to keep few words keeps opinion
words; against clauses it must look sure of what it leaves out and wrong, and calibration against clauses measures
that difference of purpose, not its probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.evaluation.calibration import Words, calibration_metrics, fit_temperature
from pyro_rationale.evaluation.evaluate import evaluate_documents
from pyro_rationale.experiments.studies.common import Row, batches_of, run_documents, show
from pyro_rationale.fitted import FittedModel
from pyro_rationale.options import (
    check_writable,
    device_option,
    json_option,
    options_from,
    run_option,
    split_option,
    write_result,
)

LAYERS = ("clause", "opinion")
QUALITY = ("precision", "recall", "opinion_recall", "empty", "selected", "mse")


def flags_of(document: Document, layer: str) -> tuple[bool, ...] | None:
    """Gold flags of one layer, or `None` where nobody gave them."""
    return document.gold if layer == "clause" else document.opinion


@torch.no_grad()
def marginals(
    fitted: FittedModel, documents: Sequence[Document], see_target: bool = False, seed: int = 0
) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """P(word is kept) under q(z | x), or q(z | x, y), for each document `(words,)`.

    Args:
        fitted: a run.
        documents: with targets if `see_target`.
        see_target: let the guide see them.
        seed: of the draws by which a recurrent guide estimates its marginals.
    """
    found: list[Any] = [None] * len(documents)
    with fitted.seeded(seed):
        for batch in batches_of(fitted, documents):
            q = fitted.guide.posterior(batch, see_target=True) if see_target else fitted.guide.posterior(batch)
            mean = q.discrete().mean.double().clamp(0.0, 1.0).cpu().numpy()
            assert batch.index is not None
            for row, index in zip(mean, batch.index.tolist(), strict=True):
                found[index] = row[: len(documents[index].tokens)]
    return found


def words_of(
    documents: Sequence[Document], probabilities: Sequence[np.ndarray[Any, np.dtype[np.float64]]], layer: str
) -> Words:
    """The words of those documents that have gold flags in this layer.

    Raises:
        DataError: none has.
    """
    known = [i for i, document in enumerate(documents) if flags_of(document, layer) is not None]
    if not known:
        raise DataError(f"--gold {layer}: no document has {layer} words marked; use --data synthetic or annotations")
    return Words(
        np.concatenate([probabilities[i] for i in known]),
        np.concatenate([np.array(flags_of(documents[i], layer), dtype=bool) for i in known]),
        np.concatenate([np.full(len(documents[i].tokens), i) for i in known]),
    )


def measure(
    fitted: FittedModel,
    documents: Sequence[Document],
    dev: Sequence[Document] | None,
    layers: Sequence[str],
    bins: int = 15,
) -> list[dict[str, Any]]:
    """One result per view of the guide (text, or text and target), layer of gold, and rescaling."""
    results = []
    views = (False, True) if fitted.guide.target is not None else (False,)
    for see_target in views:
        probabilities = marginals(fitted, documents, see_target)
        for layer in layers:
            words = words_of(documents, probabilities, layer)
            facts = {"reads": "x, y" if see_target else "x", "gold": layer}
            results.append({**facts, "rescaled": False, "temperature": 1.0, **calibration_metrics(words, bins)})
            if dev is not None:
                temperature = fit_temperature(words_of(dev, marginals(fitted, dev, see_target), layer))
                rescaled = calibration_metrics(words.rescaled(temperature), bins)
                results.append({**facts, "rescaled": True, "temperature": temperature, **rescaled})
    return results


def row_of(run: str, result: dict[str, Any]) -> Row:
    """What the terminal shows of a result."""
    everything, ambiguous = result["all"], result["ambiguous"] or {}
    return {
        "run": run,
        "reads": result["reads"],
        "gold": result["gold"],
        "T": f"{result['temperature']:.2f}" if result["rescaled"] else "",
        "ECE": everything["ece"],
        "95 %": f"{everything['ece_low']:.4f}-{everything['ece_high']:.4f}",
        "MCE": everything["mce"],
        "gold share": everything["gold"],
        "Brier": everything["brier"],
        "skill": everything["skill"],
        "ambiguous": f"{100 * ambiguous.get('share', 0.0):.1f} %",
        "their ECE": ambiguous.get("ece"),
        "confidence": ambiguous.get("marginal"),
        "accuracy": ambiguous.get("gold"),
    }


@click.command("calibration")
@run_option
@click.argument("more", nargs=-1, type=click.Path(path_type=Path))
@options_from(DataOptions, show_defaults=False)
@split_option
@click.option(
    "--gold", default="both", show_default=True, type=click.Choice((*LAYERS, "both")), help="what ought to be kept"
)
@click.option("--bins", default=15, show_default=True, type=click.IntRange(min=1), help="of the reliability curve")
@click.option(
    "--rescale/--no-rescale", default=False, show_default=True, help="also divide logits by a temperature fitted on dev"
)
@click.option("--figure", type=click.Path(path_type=Path), help="draw the reliability curves into this file")
@device_option
@json_option
def study(
    flags: DataOptions,
    folder: Path,
    more: tuple[Path, ...],
    split: str,
    gold: str,
    bins: int,
    rescale: bool,
    figure: Path | None,
    device: str,
    json_path: Path | None,
) -> None:
    """Compare word marginals with gold words, for one run or several (--run RUN [RUN ...]).

    "gold share" is also the ECE of who keeps nothing. "skill" is that of the Brier score over a constant. "ambiguous"
    are words with a marginal above .05 and gold words; "confidence" and "accuracy" are their mean marginal and share of gold.
    """
    check_writable("--json", json_path)
    if figure is not None:
        from pyro_rationale.reporting.plots import check_figure

        check_figure(figure)
    layers = LAYERS if gold == "both" else (gold,)
    runs: list[dict[str, Any]] = []
    for path in (folder, *more):
        fitted, documents = run_documents(path, flags, split, device)
        dev = run_documents(path, flags, "dev", device)[1] if rescale else None
        if dev is not None and split in ("dev", "all"):
            raise ConfigError(f"--rescale fits on the dev split; measure on another than --split {split}")
        quality = evaluate_documents(fitted, documents)
        options = fitted.config.model
        runs.append(
            {
                "run": str(path),
                "guide": options.guide,
                "tau": fitted.config.tau,
                "nats": options.nats,
                "quality": {name: quality[name] for name in QUALITY if name in quality},
                "documents": len(documents),
                "results": measure(fitted, documents, dev, layers, bins),
            }
        )
    show("word marginals against gold", [row_of(Path(r["run"]).name, part) for r in runs for part in r["results"]], 3)
    show(
        "the same runs by their most probable masks",
        [{"run": Path(r["run"]).name, "tau": r["tau"], "nats": r["nats"], **r["quality"]} for r in runs],
    )
    write_result(json_path, {"bins": bins, "split": split, "runs": runs})
    if figure is not None:
        from pyro_rationale.reporting.plots import save_figure
        from pyro_rationale.reporting.plots.calibration import calibration_figure

        save_figure(calibration_figure(runs), figure)
