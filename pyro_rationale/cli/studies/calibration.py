"""Word marginals against gold: `python -m pyro_rationale.study calibration --run RUN [RUN ...]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_rationale.cli.outputs import check_output
from pyro_rationale.cli.studies._common import documents_for, run_documents, run_options, show
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import write_result

if TYPE_CHECKING:
    from pyro_rationale.experiments.studies.common import Row

LAYERS = ("clause", "opinion")


def row_of(run: str, result: dict[str, Any]) -> Row:
    """Row of a result on the terminal."""
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
@run_options
@click.argument("more", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--gold", default="both", show_default=True, type=click.Choice((*LAYERS, "both")), help="what ought to be kept"
)
@click.option("--bins", default=15, show_default=True, type=click.IntRange(min=1), help="of the reliability curve")
@click.option(
    "--rescale/--no-rescale", default=False, show_default=True, help="also divide logits by a temperature fitted on dev"
)
@click.option("--figure", type=click.Path(path_type=Path), help="draw the reliability curves into this file")
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
    are words with a marginal above .05 and gold words; "confidence" and "accuracy" are their mean marginal and share of
    gold.
    """
    from pyro_rationale.evaluation.evaluate import evaluate_documents
    from pyro_rationale.experiments.studies.calibration import QUALITY, measure

    check_output("--json", json_path)
    check_output("--figure", figure)
    if figure is not None:
        from pyro_rationale.reporting.plots import check_figure

        check_figure(figure)
    layers = LAYERS if gold == "both" else (gold,)
    runs: list[dict[str, Any]] = []
    for path in (folder, *more):
        fitted, documents = run_documents(path, flags, split, device, ensembles=True)
        dev = documents_for(fitted, flags, "dev") if rescale else None
        if dev is not None and split in ("dev", "all"):
            raise ConfigError(f"--rescale fits on the dev split; measure on another than --split {split}")
        quality = evaluate_documents(fitted, documents, "mode")
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
