"""The first test documents of a run with their rationales, as Markdown: nobody chose them. Or the worst ones.

Where targets have rationales of their own, the phrases of each stand below.

    python benchmarks/rationales.py --run RUN [--count 10] [--worst]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import torch

from pyro_rationale.cli.common import run_command
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.document import spans_of
from pyro_rationale.experiments.baselines import ModelRationalizer
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.text_spans import markdown


def worst_first(documents: Sequence[Document], masks: Sequence[Mask]) -> list[int]:
    """Numbers of the annotated documents, those whose rationale agrees least (F1) with the annotation first."""

    def f1(i: int) -> float:
        gold = documents[i].gold or ()
        hits = sum(a and b for a, b in zip(gold, masks[i], strict=True))
        return 2 * hits / max(1, sum(gold) + sum(masks[i]))

    return sorted((i for i, document in enumerate(documents) if document.gold is not None), key=f1)


def phrases(document: Document, mask: Mask) -> list[str]:
    """The kept runs of a text, as they are written."""
    return [document.text[document.offsets[i][0] : document.offsets[j - 1][1]] for i, j in spans_of(mask)]


@click.command()
@click.option("--run", "folder", required=True, type=click.Path(path_type=Path), help="folder of a fitted run")
@click.option("--count", default=10, show_default=True, help="documents")
@click.option("--worst", is_flag=True, help="those that agree least with the annotation, which stands in braces")
def main(folder: Path, count: int, worst: bool) -> None:
    """Print them."""
    torch.set_num_threads(1)
    fitted = FittedModel.load(folder, "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    if worst:
        documents = tuple(documents[i] for i in worst_first(documents, ModelRationalizer(fitted).masks(documents)))
    documents = documents[:count]
    options, task = PredictOptions(alternatives=0), fitted.task
    for document, reading in zip(documents, predict(fitted, documents, options), strict=True):
        lines = task.lines(reading.predicted, reading.values, reading.interval, options.level, reading.classes)
        told = "; ".join(lines)
        truth = ", ".join(task.true_lines(document.targets))
        text = markdown(document, reading.kept, document.gold if worst else None)
        click.echo(f"- {text}\n  <br>*{told}; true {truth}*")
        for name, own in zip(fitted.spec.names, reading.aspects, strict=False):
            click.echo(f"  <br>{name}: {' / '.join(phrases(document, own.kept)) or 'nothing'}")
        click.echo()


if __name__ == "__main__":
    run_command(main)
