"""A picture of a test document of a run: words shaded by the probability that they are kept, the rationale underlined.

    python benchmarks/picture.py --run RUN --number 10 rationale.png
"""

from __future__ import annotations

from pathlib import Path

import click
import torch

from pyro_rationale.cli.common import run_command
from pyro_rationale.data import load_corpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.predictor import Prediction, predict
from pyro_rationale.reporting.plots import plot_rationale, require_matplotlib
from pyro_rationale.tasks import Task

COLUMNS = 58  # letters in a line: legible on a phone, too


def draw(reading: Prediction, task: Task, level: float, path: Path) -> None:
    """Write the picture, on a ground of its own, so that it can be read on dark pages as well."""
    from matplotlib.figure import Figure

    document = reading.document
    words = [document.text[start:end] for start, end in document.offsets]
    ends = [0, *(end for _, end in document.offsets)]
    spaced = [start > before for (start, _), before in zip(document.offsets, ends, strict=False)]
    lines = 1 + document.offsets[-1][1] / (COLUMNS - 4)
    made = Figure(figsize=(6.4, 0.75 + 0.24 * lines), dpi=150, facecolor="white")
    made.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    axes = made.subplots()
    said = task.lines(reading.predicted, reading.values, reading.interval, level, reading.classes)
    told = "; ".join(line.split("  (averaged")[0] for line in said)
    heading = f"{told}; true {', '.join(task.true_lines(document.targets))}"
    axes.set_title(heading, loc="left", fontsize=10, fontweight="bold", parse_math=False)
    legend = "shade: probability that a word is kept; underlined: the most probable rationale"
    made.supxlabel(legend, fontsize=8, x=0.015, ha="left")
    plot_rationale(axes, words, reading.inclusion, reading.kept, document.gold, COLUMNS, spaced)
    made.savefig(path)


@click.command()
@click.option("--run", "folder", required=True, type=click.Path(path_type=Path), help="folder of a fitted run")
@click.option("--number", default=1, show_default=True, type=click.IntRange(min=1), help="which test document")
@click.argument("path", type=click.Path(path_type=Path))
def main(folder: Path, number: int, path: Path) -> None:
    """Draw a test document into PATH (.png, .svg, .pdf)."""
    torch.set_num_threads(1)
    require_matplotlib()
    fitted = FittedModel.load(folder, "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    if number > len(documents):
        raise ConfigError(f"--number {number}: there are {len(documents)} test documents")
    options = PredictOptions(alternatives=0)
    (reading,) = predict(fitted, documents[number - 1 : number], options)
    draw(reading, fitted.task, options.level, path)


if __name__ == "__main__":
    run_command(main)
